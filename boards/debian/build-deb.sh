#!/usr/bin/env bash
# Packs the built binaries for Debian and its relatives (Raspberry Pi OS, Ubuntu): a .deb for each architecture.
#
#   boards/debian/build-deb.sh              all boards that have such a package
#   boards/debian/build-deb.sh BOARD ...    these
#
# The packages are target/packages/waypost_VERSION_ARCH.deb, with SHA256SUMS beside them. Nothing is compiled here:
# boards/build.sh does that. Two runs give the same bytes.
set -euo pipefail
# shellcheck source=boards/lib.sh
. "$(dirname "$0")/../lib.sh"
HERE=$ROOT/boards/debian
out=${WAYPOST_PACKAGE_DIR:-$ROOT/target/packages}
unset WAYPOST_PACKAGE_DIR
SOURCE_DATE_EPOCH=$(source_date_epoch)
export SOURCE_DATE_EPOCH
maintainer='Waypost maintainers <maintainers@waypost.example>'

# Installs files into the package: MODE PATH SOURCE.
put() { install -D -m "$1" "$3" "$root/$2"; }

description() { sed -n 's/^description = "\(.*\)"/\1/p' "$ROOT/Cargo.toml"; }

write_control() {
  cat <<C
Package: waypost
Version: $version
Architecture: $BOARD_DEB_ARCH
Maintainer: $maintainer
Installed-Size: $(du -k -s --apparent-size "$root" | cut -f1)
Section: net
Priority: optional
Description: bootstrap server for peer-to-peer networks
 $(description).
 .
 A new node asks it who is there, tells it that it is here, and from then on
 talks to its peers directly. It keeps no state and writes nothing.
C
}

write_changelog() {
  cat <<C
waypost ($version) stable; urgency=medium

  * The state of the source at this version.

 -- $maintainer  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
C
}

pack() {
  load_board "$1"
  [ -n "${BOARD_DEB_ARCH:-}" ] || fail "$BOARD has no BOARD_DEB_ARCH"
  local root=$work/$BOARD version binary doc=usr/share/doc/waypost file
  version=$(version)-1
  binary=$(binary)
  umask 022
  put 755 usr/bin/waypost "$binary"
  put 644 usr/lib/systemd/system/waypost.service "$HERE/waypost.service"
  put 644 etc/default/waypost "$HERE/default"
  put 644 $doc/copyright "$HERE/copyright"
  put 644 usr/share/lintian/overrides/waypost "$HERE/lintian-overrides"
  write_licences "$work/licences"
  gzip -9nc "$work/licences" >"$root/$doc/LICENSES.gz"
  write_changelog | gzip -9nc >"$root/$doc/changelog.Debian.gz"
  mkdir "$root/DEBIAN"
  for file in postinst prerm postrm; do put 755 DEBIAN/$file "$HERE/$file"; done
  echo /etc/default/waypost >"$root/DEBIAN/conffiles"
  (cd "$root" && find etc usr -type f -exec md5sum {} + | LC_ALL=C sort -k2) >"$root/DEBIAN/md5sums"
  write_control >"$root/DEBIAN/control"
  file=$out/waypost_${version}_$BOARD_DEB_ARCH.deb
  dpkg-deb --root-owner-group -Zxz --build "$root" "$file" >/dev/null
  say "$(basename "$file"), $(stat -c %s "$file") bytes"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(boards_with DEB_ARCH | cut -d' ' -f1)
for board; do
  (pack "$board")
done
checksums "$out"
