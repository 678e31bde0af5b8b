# shellcheck shell=bash
# What makes a whole system of a board's binary: Debian's kernel and busybox, and the files in `root`. Sourced after
# ../lib.sh, never run.
#
# Nothing is installed, nothing needs root: packages of other processors are fetched through a private copy of apt's
# state in the user's cache, and unpacked there.

# shellcheck disable=SC2153
SYSTEM=$ROOT/boards/system
DEBIAN=$HOME/.cache/waypost/debian
PATH=$PATH:/usr/sbin:/sbin

# The time of every file made here, so that two runs make the same bytes.
SOURCE_DATE_EPOCH=$(source_date_epoch)
export SOURCE_DATE_EPOCH TZ=UTC LC_ALL=C

# Runs a program of apt's for an architecture, with a state of its own.
foreign_apt() {
  local state=$DEBIAN/$1
  shift
  APT_CONFIG=$state/apt.conf "$@"
}

# Debian's own sources of this machine, and of these only the components we need. The firmware is non-free.
debian_sources() {
  if [ -f /etc/apt/sources.list.d/debian.sources ]; then
    sed 's/^Components:.*/Components: main non-free-firmware/' /etc/apt/sources.list.d/debian.sources
  elif grep -q '^deb .* main' /etc/apt/sources.list 2>/dev/null; then
    sed -n 's/^\(deb .* \)main\( .*\)\{0,1\}$/\1main non-free-firmware/p' /etc/apt/sources.list
  else
    fail "this machine has no Debian sources: neither debian.sources nor sources.list names them"
  fi
}

# Reads the index of an architecture, at most once a day.
refresh_index() {
  local arch=$1 state=$DEBIAN/$1 kind=list
  [ -z "$(find "$state/fresh" -mtime -1 2>/dev/null)" ] || return 0
  mkdir -p "$state"/etc/{apt.conf.d,preferences.d} "$state"/{lists,archives}/partial
  touch "$state/status"
  [ ! -f /etc/apt/sources.list.d/debian.sources ] || kind=sources
  debian_sources >"$state/etc/debian.$kind"
  cat >"$state/apt.conf" <<CONF
Dir::Etc "$state/etc";
Dir::Etc::sourcelist "$state/etc/debian.$kind";
Dir::Etc::sourceparts "$state/none";
Dir::State "$state";
Dir::State::status "$state/status";
Dir::Cache "$state";
APT::Architecture "$arch";
APT::Architectures {"$arch";};
Acquire::Languages "none";
APT::Sandbox::User "root";
CONF
  say "reading Debian's index for $arch" >&2
  # One index may be out of step with its mirror, and another do. Whether what we need is there, the download shows.
  foreign_apt "$arch" apt-get "${APT_OPTIONS[@]}" -qq update >"$state/update.log" 2>&1 || true
  ! foreign_apt "$arch" apt-cache show busybox-static >/dev/null 2>&1 || touch "$state/fresh"
}

# Fetches packages of an architecture that are not there yet, and prints the files' names, in order.
fetch_packages() {
  local arch=$1 package
  shift
  mkdir -p "$DEBIAN/packages"
  refresh_index "$arch"
  for package; do
    # The index may be older than what the mirror has: then it is read again.
    fetch_package || { rm -f "$DEBIAN/$arch/fresh" && refresh_index "$arch" && fetch_package; } ||
      { fail "cannot fetch $package for $arch; see $DEBIAN/$arch/update.log"; return 1; }
  done
}

# Fetches `package` of `arch`, if it is not there yet, and prints the file's name.
fetch_package() {
  local packages=$DEBIAN/packages file
  file=$(foreign_apt "$arch" apt-get download --print-uris "$package" | cut -d' ' -f2)
  [ -n "$file" ] || return 1
  if ! [ -f "$packages/$file" ]; then
    say "fetching ${file%.deb}" >&2
    # Into a folder first: apt checks the hash, but an interrupted download must not be taken for a whole one.
    rm -rf "$packages/partial" && mkdir "$packages/partial"
    (cd "$packages/partial" &&
      foreign_apt "$arch" apt-get "${APT_OPTIONS[@]}" -qq -o APT::Sandbox::User=root download "$package") >&2 || return
    mv "$packages/partial/"*.deb "$packages/$file"
  fi
  echo "$packages/$file"
}

# The folder with the files of a package, unpacked once.
unpacked() {
  local folder
  folder=$DEBIAN/unpacked/$(basename "$1" .deb)
  if ! [ -d "$folder" ]; then
    rm -rf "$folder.part" && mkdir -p "$folder.part"
    dpkg-deb -x "$1" "$folder.part"
    mv "$folder.part" "$folder"
  fi
  echo "$folder"
}

# Fetches and unpacks what the loaded board's system is made of; sets KERNEL and BUSYBOX to the folders,
# KERNEL_VERSION, and KERNEL_DEB and BUSYBOX_DEB.
find_system() {
  local kernel
  refresh_index "$BOARD_KERNEL_ARCH"
  # The package that always stands for the newest kernel depends on it by its name of today.
  kernel=$(foreign_apt "$BOARD_KERNEL_ARCH" apt-cache depends "$BOARD_KERNEL_PACKAGE" |
    sed -n 's/^ *Depends: \(linux-image-[0-9][^:]*\).*/\1/p' | head -n 1)
  [ -n "$kernel" ] || { fail "Debian has no $BOARD_KERNEL_PACKAGE for $BOARD_KERNEL_ARCH"; return 1; }
  KERNEL_DEB=$(fetch_packages "$BOARD_KERNEL_ARCH" "$kernel")
  BUSYBOX_DEB=$(fetch_packages "$BOARD_KERNEL_ARCH" busybox-static)
  KERNEL=$(unpacked "$KERNEL_DEB")
  BUSYBOX=$(unpacked "$BUSYBOX_DEB")
  KERNEL_VERSION=${kernel#linux-image-}
  # The package leaves this to its installation.
  [ -f "$KERNEL/lib/modules/$KERNEL_VERSION/modules.dep" ] || depmod -b "$KERNEL" "$KERNEL_VERSION"
}

# The files of drivers and of all they depend on, in the order they are to be loaded.
driver_files() {
  local module
  for module; do
    modprobe -d "$KERNEL" -S "$KERNEL_VERSION" --show-depends "$module" ||
      fail "the kernel has no driver '$module'" || return
  done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++'
}

# Copies drivers that are not there yet, compressed: they lie in memory until the last one is loaded. Prints their names.
copy_drivers() {
  local folder=$1 files file name
  shift
  files=$(driver_files "$@")
  for file in $files; do
    name=$(basename "$file" | sed 's/\.ko.*//').ko.xz
    [ ! -f "$folder/$name" ] || continue
    case $file in
      *.xz) cp "$file" "$folder/$name" ;;
      *) xz --check=crc32 <"$file" >"$folder/$name" ;;
    esac
    echo "$name"
  done
}

# Holds waypost.txt against the settings there are: it must name each of them, and none else but HOSTNAME.
check_settings() {
  local names='s/.*Setting { *name: "\([a-z-]*\)".*/\1/p;s/^ *name: "\([a-z-]*\)",$/\1/p'
  diff <(sed -n "$names" "$ROOT/src/config/settings.rs" | tr a-z- A-Z_ | sort) \
    <(sed -n 's/^#\([A-Z_]*\)=.*/\1/p' "$SYSTEM/waypost.txt" | grep -vx HOSTNAME | sort) >&2 ||
    fail "waypost.txt does not name the settings there are (<), or names others (>)"
}

# Makes the initramfs of the loaded board: busybox, drivers, the files in `root`, and a binary.
make_initramfs() {
  local out=$1 binary=$2 root=$BUILT/$BOARD/root modules late
  read -r -a modules <<<"${BOARD_MODULES//$'\n'/ }"
  read -r -a late <<<"${BOARD_LATE_MODULES//$'\n'/ }"
  check_settings
  rm -rf "$root"
  mkdir -p "$root"/{bin,dev,proc,sys,run,mnt,drivers}
  cp -r "$SYSTEM/root/." "$root/"
  cp "$SYSTEM/waypost.txt" "$root/etc/"
  install -m 755 "$BUSYBOX/bin/busybox" "$binary" "$root/bin/"
  ln -s busybox "$root/bin/sh"
  ln -s bin/busybox "$root/init"
  copy_drivers "$root/drivers" "${modules[@]}" >"$root/drivers/first"
  copy_drivers "$root/drivers" "${late[@]}" >"$root/drivers/late"
  chmod -R u+rwX,go+rX,go-w "$root"
  find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  (cd "$root" && find . | sort | cpio --quiet -o -H newc -R 0:0 --reproducible) | gzip -9n >"$out"
  rm -rf "$root"
}
