#!/bin/sh
# Boots systemd in a copy of this machine's root that is thrown away: namespaces of its own for processes, mounts, network
# and control groups, and a layer in memory over the files. For check.sh, which runs it as root.
#
#   boot.sh possible FOLDER      says whether this machine allows it, and why not
#   boot.sh start NAME FOLDER    boots it, in control groups called NAME; its process id is written to FOLDER/pid
#   boot.sh clean NAME           removes the control groups, when it has ended
set -eu

# The roots of the hierarchies of control groups: one, or one for each controller.
hierarchies() {
  for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
    if [ -e "$hierarchy/cgroup.procs" ] && ! [ -L "$hierarchy" ]; then
      echo "$hierarchy"
      [ "$hierarchy" != /sys/fs/cgroup ] || break
    fi
  done
}

namespaces() {
  unshare --mount --pid --fork --kill-child=KILL --uts --ipc --net --cgroup --propagation private "$@"
}

# The mounts that are not allowed everywhere.
possible() {
  # shellcheck disable=SC2016
  namespaces sh -euc 'mount -t tmpfs tmpfs "$1"
    mkdir "$1/upper" "$1/work" "$1/root"
    mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
    mount -t cgroup2 cgroup2 "$1/root/mnt"' possible "$1"
}

start() {
  name=$1 folder=$2
  for hierarchy in $(hierarchies); do
    mkdir "$hierarchy/$name"
    echo $$ 2>/dev/null >"$hierarchy/$name/cgroup.procs" || true
  done
  namespaces "$0" inside "$folder"
}

inside() {
  folder=$1 root=$1/root
  # Of the machine's /proc, which is still mounted here.
  read -r pid _ </proc/self/stat
  mount -t tmpfs tmpfs "$folder"
  mkdir "$folder/upper" "$folder/work" "$root"
  mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$root"

  # As in any container: what is the machine's own can be read, not written.
  mount -t proc proc "$root/proc"
  mount --bind "$root/proc/sys" "$root/proc/sys"
  mount -o remount,bind,ro "$root/proc/sys"
  mount -t sysfs -o ro sysfs "$root/sys"
  if [ -e /sys/fs/cgroup/cgroup.procs ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
  else
    mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
    mkdir "$root/sys/fs/cgroup/unified" "$root/sys/fs/cgroup/systemd"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
    mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
  fi
  for place in run tmp dev; do mount -t tmpfs tmpfs "$root/$place"; done
  for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
  done
  mkdir "$root/dev/pts" "$root/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
  ln -s pts/ptmx "$root/dev/ptmx"

  # Nothing that this machine was told to start, to mount, or (a container is, often) not to start.
  rm -rf "$root/etc/systemd/system" "$root/usr/sbin/policy-rc.d"
  mkdir "$root/etc/systemd/system"
  : >"$root/etc/fstab"

  mkdir -p "$root/machine"
  cd "$root"
  pivot_root . machine
  # The folder of this machine, which lies under the layer.
  umount "/machine$folder" 2>/dev/null || true
  echo "$pid" >"/machine$folder/pid"
  umount -l /machine
  exec env -i container=check PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system \
    --unit=multi-user.target --log-target=journal --show-status=no </dev/null
}

clean() {
  for hierarchy in $(hierarchies); do
    [ ! -d "$hierarchy/$1" ] || find "$hierarchy/$1" -depth -type d -exec rmdir {} \;
  done
}

"$@"
