# shellcheck shell=bash disable=SC2034
# What the scripts of this folder and check.sh share: sourced, never run.
#
# A board is a folder here with a `board.env`. These files are the only list of boards there is: every script goes
# through them, and none names a board.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Where built binaries lie, as BUILT/BOARD/waypost.
BUILT=$ROOT/target/boards
# zig is the linker of every board and brings its C library; cargo-zigbuild is cargo with it. Both come from PyPI.
ZIG_VERSION=0.17.1
ZIGBUILD_VERSION=0.24.0
ZIG_VENV=${WAYPOST_ZIG_VENV:-$HOME/.cache/waypost/zig-$ZIG_VERSION-$ZIGBUILD_VERSION}
unset WAYPOST_ZIG_VENV
# Runs the container of compose.yaml by podman, from PyPI: Debian's knows only some of the limits.
COMPOSE_VERSION=1.6.0
COMPOSE_VENV=$HOME/.cache/waypost/podman-compose-$COMPOSE_VERSION
PATH=$ZIG_VENV/bin:$PATH
# cross, for what proves that it works. Developers have their own.
CROSS_VERSION=0.2.5
CROSS_ROOT=$HOME/.cache/waypost/cross-$CROSS_VERSION

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*"; }
fail() { say "$*" >&2; return 1; }

# Runs a command as root. A password can only be asked for where somebody is.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif [ -t 0 ]; then sudo "$@"; else sudo -n "$@"; fi
}

# A mirror may be slow, and another apt at work.
APT_OPTIONS=(-o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)

# Installs Debian packages, those that are missing.
apt_install() {
  local package missing=()
  for package; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || { fail "please install: ${missing[*]}"; return 1; }
  say "installing by apt: ${missing[*]}"
  # An index that cannot be fetched just now may not be needed; the install says whether it was.
  as_root env DEBIAN_FRONTEND=noninteractive apt-get "${APT_OPTIONS[@]}" update -qq || true
  as_root env DEBIAN_FRONTEND=noninteractive apt-get "${APT_OPTIONS[@]}" install -y -qq --no-install-recommends \
    "${missing[@]}" >/dev/null
}

# The version that is built.
version() { sed -n 's/^version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml" | head -n 1; }

# The one time of everything that is packed: of the last commit, or, where there is no git, the first of the year.
source_date_epoch() {
  echo "${SOURCE_DATE_EPOCH:-$(git -C "$ROOT" log -1 --format=%ct 2>/dev/null || echo 1767225600)}"
}

# Prints the binary of the loaded board.
binary() {
  local file=$BUILT/$BOARD/waypost
  [ -f "$file" ] || { fail "$BOARD is not built: boards/build.sh $BOARD"; return 1; }
  echo "$file"
}

# Prints the binary that this machine can run.
host_binary() {
  local board
  board=$(own_board) && (load_board "$board" && binary)
}

# Writes the licences of the loaded board's binary to a file.
write_licences() {
  find_rust || CARGO=cargo
  CARGO=$CARGO "$ROOT/boards/third-party.py" "$BOARD_TARGET" "$BOARD_FEATURES" >"$1"
}

# Writes the SHA256SUMS of a folder of packages.
checksums() {
  (cd "$1" && sha256sum waypost_* >SHA256SUMS)
}

# The names of all boards.
boards() {
  local file
  for file in "$ROOT"/boards/*/board.env; do basename "$(dirname "$file")"; done
}

# The boards that have a BOARD_... variable, as lines of BOARD and its value: what each is packaged as.
boards_with() {
  local board variable=BOARD_$1
  for board in $(boards); do
    (load_board "$board" && [ -z "${!variable:-}" ] || echo "$board ${!variable}")
  done
}

# The board whose BOARD_... variable has this value.
board_with() {
  local board value
  while read -r board value; do
    [ "$value" != "$2" ] || { echo "$board"; return; }
  done < <(boards_with "$1")
  fail "no board has BOARD_$1=$2; there are: $(boards_with "$1" | cut -d' ' -f2- | paste -sd' ')"
}

# The board for this machine's processor, of those that are for computers.
own_board() {
  local board processor
  for board in $(boards_with OCI_PLATFORM | cut -d' ' -f1); do
    processor=$(load_board "$board" && echo "${BOARD_TARGET%%-*}")
    case $(uname -m) in "$processor" | "${processor}l") echo "$board" && return ;; esac
  done
  fail "there is no board for $(uname -m)"
}

# The first board of each target: what is built or tested for a target need not be for each of its boards.
boards_of_different_targets() {
  local board seen=" "
  for board in $(boards); do
    (load_board "$board" && echo "$BOARD_TARGET")
  done | paste -d' ' - <(boards) | while read -r target board; do
    case $seen in *" $target "*) continue ;; esac
    seen+="$target "
    echo "$board"
  done
}

# Sets BOARD and the BOARD_... variables to those of a board, and exports its capacities for the build. In a subshell:
# a second board must not inherit from the first.
load_board() {
  local file=$ROOT/boards/$1/board.env name
  [ -f "$file" ] || { fail "no board '$1'; there are: $(boards | paste -sd' ')"; return 1; }
  for name in $(compgen -v BOARD_) $(compgen -v WAYPOST_); do
    # These are for the tests (build.rs), whatever the board.
    case $name in WAYPOST_CORPORA | WAYPOST_SEED) ;; *) unset "$name" ;; esac
  done
  BOARD=$1
  # shellcheck source=/dev/null
  . "$file"
  for name in $(compgen -v WAYPOST_); do export "${name?}"; done
}

# Whether a compiler has the sources of its standard library.
has_sources() {
  local sysroot
  sysroot=$("$1" --print sysroot 2>/dev/null) && [ -f "$sysroot/lib/rustlib/src/rust/library/core/Cargo.toml" ]
}

# Sets RUSTC and CARGO to a compiler with the sources of its standard library: every board builds its own.
find_rust() {
  local rustc
  for rustc in /usr/bin/rustc "$(command -v rustc || true)"; do
    if [ -n "$rustc" ] && has_sources "$rustc"; then
      export RUSTC=$rustc
      CARGO=$(dirname "$rustc")/cargo
      [ -x "$CARGO" ] || CARGO=cargo
      export CARGO
      ! [ -x "$(dirname "$rustc")/rustdoc" ] || export RUSTDOC=${rustc%rustc}rustdoc
      return 0
    fi
  done
  return 1
}

# What cargo must know to build for the target of the loaded board by zig. Arguments: more flags for rustc.
# Only variables of the target are used: RUSTFLAGS would replace the flags of .cargo/config.toml.
zig_env() {
  local target flags
  target=CARGO_TARGET_$(echo "$BOARD_TARGET" | tr a-z- A-Z_)
  # The self-contained start files of rustc's musl targets would be linked beside zig's own.
  flags="-Clink-self-contained=no -Crelocation-model=static ${BOARD_RUSTFLAGS:-} $*"
  # Doc tests are linked by rustdoc. zig keeps a C library for each kind of link, and takes a minute to make one: so let
  # this be the kind that cargo asks for.
  export "${target}_RUSTFLAGS=$flags" "${target}_RUSTDOCFLAGS=$flags -Cstrip=debuginfo"
  export RUSTC_BOOTSTRAP=1
}

# Sets `emulator` to the words that run a program of the loaded board on one of its CPUs; to none where this machine's
# own processor does. Argument: the CPU, by QEMU's name.
set_emulator() {
  local processor=${BOARD_TARGET%%-*}
  processor=${processor%v7}
  emulator=()
  case $(uname -m) in "$processor" | "$processor"v7*) return ;; esac
  emulator=("qemu-$processor-static" -cpu "$1")
}

# Starts the server of COMMAND ... on free ports of 127.0.0.1, without limits on requests, and waits for its first
# answer. Sets `server_pid`, `server_http`, `server_udp` (ports), `server_out` (the lines it printed) and
# `server_first_ms`, from start to that answer.
start_server() {
  local began line in status=none
  server_out=()
  began=${EPOCHREALTIME//[!0-9]/}
  exec {in}< <(exec "$@" serve --port 0 --udp-port auto --bind 127.0.0.1 --rate-limit 0 --announce-limit 0)
  server_pid=$!
  # Whatever ends this shell ends the server.
  trap 'kill "$server_pid" 2>/dev/null || true' EXIT
  until [[ ${server_out[*]-} == *ready* ]]; do
    read -r -t 20 -u "$in" line || { fail "the server did not start: ${server_out[*]-}"; return 1; }
    server_out+=("$line")
    case $line in
      listening*http*) server_http=${line##*:} ;;
      listening*udp*) server_udp=${line##*:} ;;
    esac
  done
  exec {in}<&-
  exec {in}<>"/dev/tcp/127.0.0.1/$server_http"
  printf 'GET /health HTTP/1.1\r\nHost: waypost\r\n\r\n' >&"$in"
  read -r -t 20 -u "$in" status || true
  exec {in}<&-
  [[ $status == "HTTP/1.1 200 "* ]] || { fail "no answer over HTTP but $status"; return 1; }
  server_first_ms=$(((${EPOCHREALTIME//[!0-9]/} - began + 500) / 1000))
}

# Asks the started server over UDP.
ping_server() {
  local in answer
  exec {in}<>"/dev/udp/127.0.0.1/$server_udp"
  printf '{"type":"ping","id":"board","pad":"%090d"}' 0 >&"$in"
  answer=$(timeout 20 dd bs=2048 count=1 status=none <&"$in") || true
  exec {in}<&-
  [[ $answer == *'"pong"'* ]] || { fail "no answer over UDP but '$answer'"; return 1; }
}

# Ends the started server, which must say that it ended well.
stop_server() {
  local status=0
  kill -TERM "$server_pid"
  wait "$server_pid" || status=$?
  trap - EXIT
  [ "$status" = 0 ] || fail "the server ended with $status"
}

# Stops unless two texts are equal: what they are of, the wanted one, and the one that is there.
same() {
  diff -u --label wanted --label there <(echo "$2") <(echo "$3") || fail "not as it should be: $1"
}

# Stops unless the loaded board's binary is for the processor of an architecture of packages.
check_machine() {
  local machine
  case $1 in
    aarch64_* | arm64) machine='little endian AArch64' ;;
    arm_* | armhf) machine='little endian ARM' ;;
    mipsel_*) machine='little endian MIPS R3000' ;;
    mips_*) machine='big endian MIPS R3000' ;;
    amd64) machine='little endian Advanced Micro Devices X86-64' ;;
    *) fail "no processor is known for packages of $1"; return 1 ;;
  esac
  same "the processor of $BOARD, packed for $1" "$machine" \
    "$(LC_ALL=C readelf -h "$(binary)" | sed -n 's/^ *\(Data\|Machine\): *//p' | sed "s/2's complement, //" | paste -sd' ')"
}

# Stops unless the packages that are in target/packages are in a second build, too, equal byte for byte. Arguments: the
# folder of the second build.
check_reproducible() {
  local package
  for package in "$1"/waypost_*; do
    cmp "$package" "$ROOT/target/packages/$(basename "$package")" || { fail "two builds of a package differ"; return 1; }
  done
}
