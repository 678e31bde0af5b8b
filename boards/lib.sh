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
PATH=$ZIG_VENV/bin:$PATH
# cross, for what proves that it works. Developers have their own.
CROSS_VERSION=0.2.5
CROSS_ROOT=$HOME/.cache/waypost/cross-$CROSS_VERSION

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*"; }
fail() { say "$*" >&2; return 1; }

# Runs a command as root.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

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
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq || true
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# The names of all boards.
boards() {
  local file
  for file in "$ROOT"/boards/*/board.env; do basename "$(dirname "$file")"; done
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
  for name in $(compgen -v BOARD_) $(compgen -v WAYPOST_); do unset "$name"; done
  BOARD=$1
  # shellcheck source=/dev/null
  . "$file"
  for name in $(compgen -v WAYPOST_); do export "${name?}"; done
}

# Sets RUSTC and CARGO to a compiler with the sources of its standard library: every board builds its own.
find_rust() {
  local rustc
  for rustc in /usr/bin/rustc "$(command -v rustc || true)"; do
    if [ -n "$rustc" ] && [ -f "$("$rustc" --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library/core/Cargo.toml" ]; then
      export RUSTC=$rustc
      CARGO=$(dirname "$rustc")/cargo
      [ -x "$CARGO" ] || CARGO=cargo
      export CARGO
      return 0
    fi
  done
  return 1
}

# What cargo must know to build for the target of the loaded board by zig. Arguments: more flags for rustc.
# Only variables of the target are used: RUSTFLAGS would replace the flags of .cargo/config.toml.
zig_env() {
  local variable
  variable=CARGO_TARGET_$(echo "$BOARD_TARGET" | tr a-z- A-Z_)_RUSTFLAGS
  # The self-contained start files of rustc's musl targets would be linked beside zig's own.
  export "$variable=-Clink-self-contained=no -Crelocation-model=static $*"
  export RUSTC_BOOTSTRAP=1
}
