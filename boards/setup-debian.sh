#!/usr/bin/env bash
# Installs what the scripts of this folder need on Debian 12 or later, from packages, once.
#
#   boards/setup-debian.sh             everything
#   boards/setup-debian.sh build ...   only for these: build test packages images container cross
#
# What is there already is left alone, so this may be run before each use.
set -euo pipefail
# shellcheck source=boards/lib.sh
. "$(dirname "$0")/lib.sh"

# A compiler with its library's sources, and zig.
setup_build() {
  find_rust || apt_install rustc-web cargo-web rust-web-src
  find_rust || fail "no compiler with the sources of its library: rustup component add rust-src"
  apt_install gcc libc6-dev python3-venv ca-certificates
  if ! [ -x "$ZIG_VENV/bin/cargo-zigbuild" ]; then
    say "installing by pip: ziglang $ZIG_VERSION, cargo-zigbuild $ZIGBUILD_VERSION"
    /usr/bin/python3 -m venv "$ZIG_VENV"
    "$ZIG_VENV/bin/pip" install -q ziglang=="$ZIG_VERSION" cargo-zigbuild=="$ZIGBUILD_VERSION"
  fi
}

# Emulators of other processors for single programs.
setup_test() { apt_install qemu-user-static; }

# What takes packages apart: the shell of routers, make for the feed, readelf, lintian, systemd and what boots it.
setup_packages() { apt_install busybox make binutils lintian systemd util-linux python3; }

# What puts card images together, and emulators of whole machines.
setup_images() {
  apt_install fdisk dosfstools mtools cpio kmod xz-utils python3 qemu-system-arm qemu-system-mips
}

# podman, and a base image for it. Without root it needs more.
install_podman() {
  apt_install podman runc mmdebstrap ca-certificates
  [ "$(id -u)" = 0 ] || apt_install uidmap slirp4netns fuse-overlayfs
}

# Containers.
setup_container() {
  setup_test
  install_podman
  apt_install python3-venv
  if ! [ -x "$COMPOSE_VENV/bin/podman-compose" ]; then
    say "installing by pip: podman-compose $COMPOSE_VERSION"
    /usr/bin/python3 -m venv "$COMPOSE_VENV"
    "$COMPOSE_VENV/bin/pip" install -q podman-compose=="$COMPOSE_VERSION"
  fi
}

# What boards/cross/prove.sh needs: containers, a compiler to put into them, and cross.
setup_cross() {
  setup_test
  install_podman
  apt_install patchelf binutils gcc libc6-dev rustc-web cargo-web rust-web-src
  if ! [ -x "$CROSS_ROOT/bin/cross" ]; then
    say "installing by cargo: cross $CROSS_VERSION"
    cargo install --quiet --locked --root "$CROSS_ROOT" cross@"$CROSS_VERSION"
  fi
}

parts=$(declare -F | sed -n 's/^declare -f setup_//p' | paste -sd' ')
# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- $parts
for part; do
  case " $parts " in *" $part "*) "setup_$part" ;; *) fail "no part '$part'; there are: $parts" || exit 2 ;; esac
done
