#!/usr/bin/env bash
# Builds the static, stripped binary of a board.
#
#   boards/build.sh              all boards
#   boards/build.sh BOARD ...    these
#
# The binary is target/boards/BOARD/waypost. It is built by cargo-zigbuild where that is (boards/setup-debian.sh
# installs it, and the compiler), else by cross, in a container; WAYPOST_BUILDER=zig or cross decides. cross needs docker
# or podman, and of rustup a compiler from 1.91 on and its sources: rustup component add rust-src
# Two builds by the same tools are equal byte for byte.
set -euo pipefail
# shellcheck source=boards/lib.sh
. "$(dirname "$0")/lib.sh"
builder=${WAYPOST_BUILDER:-auto}
# Target folders can be moved, so that two builds share nothing.
out=${WAYPOST_BUILD_DIR:-$BUILT}
unset WAYPOST_BUILDER WAYPOST_BUILD_DIR

# How every shipped binary is made, whoever links it. A panic is a trap without words (nothing here should ever panic,
# and a supervisor starts us again), which frees the binary of most of its formatting code.
SMALL=(-Zunstable-options -Cpanic=immediate-abort -Zlocation-detail=none -Zfmt-debug=none -Cforce-unwind-tables=no
  --cfg 'sha2_backend_soft="compact"' -Clink-arg=-Oz '-Clink-arg=-Wl,-T,boards/small.ld')
SMALL_STD=('-Zbuild-std=std,panic_abort' -Zbuild-std-features=optimize_for_size)

build_by_zig() {
  find_rust || { fail "no compiler with the sources of its library; boards/setup-debian.sh installs one"; return 1; }
  zig_env "${SMALL[@]}"
  cargo-zigbuild zigbuild "$@" "${SMALL_STD[@]}"
}

# In the image of ours whatever the target: it has the same linker, and compiles the same with any compiler.
build_by_cross() {
  local target
  command -v cross >/dev/null || { fail "cross is not installed: cargo install cross"; return 1; }
  has_sources rustc ||
    { fail "no sources of the standard library: rustup component add rust-src"; return 1; }
  target=$(echo "$BOARD_TARGET" | tr a-z- A-Z_)
  grep -q "_${target}_LINKER=" boards/cross/Dockerfile ||
    { fail "boards/cross/Dockerfile has no linker for $BOARD_TARGET"; return 1; }
  export "CROSS_TARGET_${target}_DOCKERFILE=boards/cross/Dockerfile"
  export "CROSS_TARGET_${target}_DOCKERFILE_CONTEXT=boards/cross"
  zig_env "${SMALL[@]}"
  cross build "$@" "${SMALL_STD[@]}"
}

build() {
  load_board "$1"
  # Not one folder for both: they have different C libraries for what cargo runs itself.
  local cargo_out=$out/cargo-by-$builder
  say "$BOARD: $BOARD_TARGET by $builder"
  "build_by_$builder" --locked --quiet --bin waypost --profile board --no-default-features --features "$BOARD_FEATURES" \
    --target "$BOARD_TARGET" --target-dir "$cargo_out"
  mkdir -p "$out/$BOARD"
  cp "$cargo_out/$BOARD_TARGET/board/waypost" "$out/$BOARD/waypost"
  say "$BOARD: ${out#"$ROOT"/}/$BOARD/waypost, $(stat -c %s "$out/$BOARD/waypost") bytes"
}

cd "$ROOT"
if [ "$builder" = auto ]; then
  builder=zig
  command -v cargo-zigbuild >/dev/null || ! command -v cross >/dev/null || builder=cross
fi
# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(boards)
for board; do
  (build "$board")
done
