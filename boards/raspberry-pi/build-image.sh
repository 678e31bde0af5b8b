#!/usr/bin/env bash
# Makes the card image: a Raspberry Pi that is a Waypost and nothing else, from its power switch on.
#
#   boards/raspberry-pi/build-image.sh              target/boards/raspberry-pi/waypost-raspberry-pi.img
#   boards/raspberry-pi/build-image.sh -o FILE      somewhere else
#   boards/raspberry-pi/build-image.sh -x           also FILE.xz
#
# Needs no root and mounts nothing. Firmware, kernel and busybox come from Debian packages; none of them is in this
# repository. Two runs give the same bytes, as long as Debian has the same versions. README.md says what runs on what.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=boards/lib.sh
. "$here/../lib.sh"
# shellcheck source=boards/system/lib.sh
. "$here/../system/lib.sh"
load_board "$(basename "$here")"

image=$BUILT/$BOARD/waypost-$BOARD.img
compress=no
while getopts o:x option; do
  case $option in
    o) image=$OPTARG ;;
    x) compress=yes ;;
    *) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
  esac
done
binary=$(binary)
files=$BUILT/$BOARD/card
# 64 MiB, a power of two because QEMU insists on it; the partition begins after the first of them.
MIB=64

# The Debian sources of a package and of what is linked into it, as `apt-get source` takes them.
source_of() {
  # shellcheck disable=SC2016
  dpkg-deb --showformat '${source:Package}=${source:Version}, ${Built-Using}' -W "$1" | sed 's/ (= \([^)]*\))/=\1/g;s/, */ /g;s/ *$//'
}

# Everything that is on the card, as a folder.
collect_files() {
  local firmware_deb firmware file
  firmware_deb=$(fetch_packages "$BOARD_KERNEL_ARCH" raspi-firmware)
  firmware=$(unpacked "$firmware_deb")
  rm -rf "$files" && mkdir -p "$files/licences"
  # The loader of the Pi 3 and Zero 2 W, then that of the Pi 4: the ordinary ones, which Raspberry Pi OS uses, too.
  for file in bootcode.bin start.elf fixup.dat start4.elf fixup4.dat; do
    cp "$firmware/usr/lib/raspi-firmware/$file" "$files/"
  done
  cp "$KERNEL/usr/lib/linux-image-$KERNEL_VERSION"/broadcom/bcm{2837,2711}-rpi-*.dtb "$files/"
  gzip -9n <"$KERNEL/boot/vmlinuz-$KERNEL_VERSION" >"$files/kernel8.img"
  make_initramfs "$files/initrd.gz" "$binary"
  cp "$here"/card/* "$SYSTEM/waypost.txt" "$files/"

  cp "$firmware/usr/share/doc/raspi-firmware/copyright" "$files/licences/firmware.txt"
  cp "$KERNEL/usr/share/doc/linux-image-$KERNEL_VERSION/copyright" "$files/licences/linux.txt"
  cp "$BUSYBOX/usr/share/doc/busybox-static/copyright" "$files/licences/busybox.txt"
  # Debian's busybox has Debian's C library in it.
  cp /usr/share/doc/libc6/copyright "$files/licences/glibc.txt"
  # They name these licences, and expect them where Debian has them.
  cp /usr/share/common-licenses/GPL-2 "$files/licences/gpl-2.txt"
  cp /usr/share/common-licenses/LGPL-2.1 "$files/licences/lgpl-2.1.txt"
  write_licences "$files/licences/waypost.txt"
  sed -e "s|@linux@|$(source_of "$KERNEL_DEB")|" -e "s|@busybox@|$(source_of "$BUSYBOX_DEB")|" \
    -e "s|@firmware@|$(source_of "$firmware_deb")|" "$here/licences.txt" >"$files/licences/README.txt"
  # FAT knows no users and no links; what it does keep is the time.
  find "$files" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
}

make_image() {
  local new=$image.new
  rm -f "$new"
  truncate -s "${MIB}M" "$new"
  printf 'label: dos\nlabel-id: 0x77617970\nstart=2048, type=c, bootable\n' | sfdisk -q "$new"
  mkfs.vfat --invariant -F 32 -i 77617970 -n WAYPOST --offset 2048 "$new" $(((MIB * 2048 - 2048) / 2)) >/dev/null
  # In an order that does not depend on the folder's: that of the alphabet.
  (cd "$files" && mcopy -s -m -i "$new@@1M" -- * ::)
  mv "$new" "$image"
}

image=$(realpath "$image")
find_system
collect_files
make_image
say "$image: $(du -k --apparent-size -s "$files" | cut -f1) of $((MIB * 1024)) KiB used, $(basename "$KERNEL_DEB" .deb)"
if [ "$compress" = yes ]; then
  xz -6 -k -f -T1 "$image"
  say "$image.xz: $(stat -c %s "$image.xz") bytes"
fi
sha256sum "$image"
