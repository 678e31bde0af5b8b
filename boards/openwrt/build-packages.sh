#!/usr/bin/env bash
# Packs the built binaries for OpenWrt: an .ipk and an .apk for each architecture of packages.
#
#   boards/openwrt/build-packages.sh              all boards that OpenWrt runs on
#   boards/openwrt/build-packages.sh BOARD ...    these
#
# The packages are target/packages/waypost_VERSION_ARCH.ipk and .apk, with SHA256SUMS beside them. Nothing is compiled
# here: boards/build.sh does that.
set -euo pipefail
# shellcheck source=boards/lib.sh
. "$(dirname "$0")/../lib.sh"
out=${WAYPOST_PACKAGE_DIR:-$ROOT/target/packages}
unset WAYPOST_PACKAGE_DIR
SOURCE_DATE_EPOCH=$(source_date_epoch)
export SOURCE_DATE_EPOCH

pack() {
  load_board "$1"
  [ -n "${BOARD_OPENWRT_ARCH:-}" ] || fail "$BOARD has no BOARD_OPENWRT_ARCH"
  local binary licences=$out/.licences package
  binary=$(binary)
  write_licences "$licences"
  python3 "$ROOT/boards/openwrt/pack.py" "$BOARD_OPENWRT_ARCH" "$binary" "$licences" "$(version)-r1" "$out" |
    while read -r package; do say "$(basename "$package"), $(stat -c %s "$package") bytes"; done
  rm "$licences"
}

mkdir -p "$out"
# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(boards_with OPENWRT_ARCH | cut -d' ' -f1)
for board; do
  (pack "$board")
done
checksums "$out"
