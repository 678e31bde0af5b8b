#!/usr/bin/env bash
# Shows that `cross test` and boards/build.sh by cross work, with the real cross and this repository's Cross.toml, on a
# machine that reaches no more than package registries. README.md says what this proves and what not.
#
#   boards/cross/prove.sh                       boards whose board.env has BOARD_PROVE_CROSS: what CI has the time for
#   boards/cross/prove.sh [--whole] BOARD ...   these; --whole runs all tests, not only the few that show cross to work
#
# Exits with 77 where containers cannot run. What it made is kept in ~/.cache/waypost and target/cross, for the next run.
set -euo pipefail
# shellcheck source=boards/lib.sh
. "$(dirname "$0")/../lib.sh"
# The exit code for "not here".
CANNOT=77
# That all of the program is right on another processor, boards/test.sh shows. Here the question is whether cross builds
# and runs tests of both kinds: those inside of the program, and those that start it.
tests=(--lib --test find_each_other)
if [ "${1-}" = --whole ]; then tests=() && shift; fi

work=$ROOT/target/cross
cache=$HOME/.cache/waypost/cross
# The name in boards/cross/Dockerfile; here it is a system made from the same packages.
BASE=docker.io/library/debian:bookworm-slim
toolchain=$cache/rustup/toolchains/stable-x86_64-unknown-linux-gnu

# Podman as this script needs it, whatever /etc says; cross passes these variables on.
configure_podman() {
  local files processes
  # zig opens more files at once than the usual 1024. More than what this shell may have, nobody can be given.
  files=$(ulimit -Hn) processes=$(ulimit -Hu)
  [ "$files" != unlimited ] && [ "$files" -lt 20000 ] || files=20000
  [ "$processes" != unlimited ] && [ "$processes" -lt 20000 ] || processes=20000
  cat >"$work/containers.conf" <<EOF
[containers]
netns = "host"
default_ulimits = ["nofile=$files:$files", "nproc=$processes:$processes"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
EOF
  cat >"$work/storage.conf" <<EOF
[storage]
driver = "overlay"
graphroot = "$cache/containers"
runroot = "$work/run"
EOF
  export CONTAINERS_CONF=$work/containers.conf CONTAINERS_STORAGE_CONF=$work/storage.conf
}

# Runs a command that succeeds wherever containers can run.
can() {
  if ! "$@" >"$work/podman.log" 2>&1; then
    say "skipped: containers cannot run here: $(tail -n 1 "$work/podman.log")"
    exit $CANNOT
  fi
}

# Debian as in the official image, with this machine's package sources, certificates and settings of pip.
make_base_image() {
  local sources=/etc/apt/sources.list.d/debian.sources hooks=()
  ! podman image exists "$BASE" || return 0
  [ -f "$sources" ] || sources=/etc/apt/sources.list
  [ ! -d /usr/local/share/ca-certificates ] ||
    hooks+=(--customize-hook='copy-in /usr/local/share/ca-certificates /usr/local/share'
      --customize-hook="chroot \"\$1\" update-ca-certificates >/dev/null 2>&1")
  [ ! -f /etc/pip.conf ] || hooks+=(--customize-hook='copy-in /etc/pip.conf /etc')
  say "making $BASE from packages"
  mmdebstrap --quiet --variant=minbase --include=ca-certificates "${hooks[@]}" bookworm - "$sources" |
    podman import --quiet - "$BASE" >/dev/null
}

# A folder that looks like a toolchain of rustup's, from Debian's compiler with all libraries that it needs: the
# container may be any system. Without a manifest, rustup takes it as one that was made by hand.
make_toolchain() {
  local version program
  version=$(/usr/bin/rustc -vV)
  if [ "$(cat "$toolchain/version" 2>/dev/null)" = "$version" ]; then return; fi
  say "making a toolchain folder from Debian's $(/usr/bin/rustc -V)"
  rm -rf "$toolchain"
  mkdir -p "$toolchain/bin" "$toolchain/lib/rustlib/src/rust"
  for program in rustc rustdoc cargo; do
    cp -L "/usr/bin/$program" "$toolchain/bin/"
    # All libraries but those of glibc, which belong to the system that runs the program.
    ldd "/usr/bin/$program" | sed -n 's|.* => \(/[^ ]*\) .*|\1|p' |
      grep -vE '/(ld-linux-x86-64|lib(c|dl|m|pthread|resolv|rt))\.so' | xargs cp -Lt "$toolchain/lib/"
    patchelf --force-rpath --set-rpath "\$ORIGIN/../lib" "$toolchain/bin/$program"
  done
  cp -rL /usr/lib/rustlib/x86_64-unknown-linux-gnu "$toolchain/lib/rustlib/"
  cp -r /usr/lib/rustlib/src/rust/library "$toolchain/lib/rustlib/src/rust/"
  printf 'version = "12"\ndefault_toolchain = "%s"\nprofile = "minimal"\n' "$(basename "$toolchain")" \
    >"$cache/rustup/settings.toml"
  echo "$version" >"$toolchain/version"
}

# cross 0.2.5 does not know the "(active, default)" in the list of a newer rustup, and would install the toolchain again.
make_rustup_shim() {
  local rustup
  rustup=$(command -v rustup) || { fail "rustup is not installed: cross asks it for the compiler"; return 1; }
  mkdir -p "$work/bin"
  cat >"$work/bin/rustup" <<EOF
#!/bin/sh
[ "\$1 \$2" != "toolchain list" ] || { "$rustup" "\$@" | sed 's/ (.*//'; exit; }
exec "$rustup" "\$@"
EOF
  chmod +x "$work/bin/rustup"
  PATH=$work/bin:$CROSS_ROOT/bin:$PATH
}

# What is in containers at the end was left by a `cross` that was stopped.
clean_up() {
  {
    podman ps --quiet --filter "label=waypost-prove=$$" | xargs --no-run-if-empty podman kill
    # The storage driver mounts its own folder on itself. It stays while another run needs it.
    ! mountpoint -q "$cache/containers/overlay" || umount "$cache/containers/overlay"
  } >/dev/null 2>&1 || true
}

# The crates, and those of the standard library: what runs in a container reaches no network.
fetch() { RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 /usr/bin/cargo fetch --quiet --locked -Zbuild-std --target "$1"; }

# The loaded board's binary, built by cross, serves under the emulator with the board's capacities.
prove_build() {
  local binary=$work/boards/$BOARD/waypost cpus capacity
  (WAYPOST_BUILDER=cross WAYPOST_BUILD_DIR=$work/boards boards/build.sh "$BOARD")
  ! readelf -l "$binary" | grep -q INTERP || { fail "$binary is not statically linked"; return 1; }
  read -ra cpus <<<"$BOARD_CPUS"
  set_emulator "${cpus[0]}"
  start_server "${emulator[@]}" "$binary"
  "${emulator[@]}" "$binary" check --url "http://127.0.0.1:$server_http" --udp "127.0.0.1:$server_udp"
  stop_server
  capacity="$WAYPOST_MAX_PEERS peers, $WAYPOST_MAX_CONNECTIONS connections"
  [[ ${server_out[*]} == *"$capacity"* ]] || fail "not the capacities of $BOARD: ${server_out[*]}"
}

# `cross test` for the target of a board and with its capacities, and the board's binary built by cross.
prove() {
  local image log=$work/$1.log began=$SECONDS
  load_board "$1"
  fetch "$BOARD_TARGET"
  # Targets that Cross.toml has nothing on would run in an image of cross's.
  image=CROSS_TARGET_$(echo "$BOARD_TARGET" | tr a-z- A-Z_)_IMAGE
  if ! grep -q "^\[target.$BOARD_TARGET.dockerfile\]" Cross.toml; then
    podman build --quiet --pull=never --tag localhost/waypost-cross boards/cross >/dev/null
    export "$image=localhost/waypost-cross"
  fi
  # The features of the board: a client that speaks TLS wants a C compiler of the target.
  say "cross test --target $BOARD_TARGET --no-default-features --features $BOARD_FEATURES ${tests[*]}"
  cross test --locked --no-fail-fast --target "$BOARD_TARGET" --no-default-features --features "$BOARD_FEATURES" \
    "${tests[@]}" 2>&1 | tee "$log"
  unset "$image"
  say "$BOARD_TARGET: $(awk '/^test result: ok/ { n += $4 } END { print n + 0 }' "$log") tests passed in cross," \
    "$((SECONDS - began)) s"
  began=$SECONDS
  prove_build
  say "$BOARD_TARGET: the binary of $BOARD by cross is healthy, $((SECONDS - began)) s"
  ! cmp -s "$BUILT/$BOARD/waypost" "$work/boards/$BOARD/waypost" || say "it equals that of boards/build.sh without cross"
}

if [ "$(uname -m)" != x86_64 ]; then say "skipped: the toolchain folder is made for x86_64"; exit $CANNOT; fi
cd "$ROOT"
grep -q " ziglang==$ZIG_VERSION cargo-zigbuild==$ZIGBUILD_VERSION\$" boards/cross/Dockerfile ||
  { fail "boards/cross/Dockerfile has other versions than boards/lib.sh"; exit 1; }
boards/setup-debian.sh cross
mkdir -p "$work" "$cache"
configure_podman
trap clean_up EXIT
can podman info
make_base_image
can podman run --rm --network none "$BASE" true
make_toolchain
make_rustup_shim
export RUSTUP_HOME=$cache/rustup CARGO_TARGET_DIR=$work/tests
export CROSS_CONTAINER_ENGINE=podman CROSS_CUSTOM_TOOLCHAIN=1 CROSS_CONTAINER_OPTS="--network none --label waypost-prove=$$"
export CROSS_BUILD_OPTS="--quiet --pull=never"

# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(boards_with PROVE_CROSS | cut -d' ' -f1)
for board; do
  (prove "$board")
done
say "cross works for: $*"
