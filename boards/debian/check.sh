#!/usr/bin/env bash
# Checks what Debian and its relatives get: the unit, the packages, and, where this machine allows it, the package in
# real use, under a systemd that is booted for it in a copy of this machine's root.
#
#   boards/debian/check.sh              with the binaries of all boards that have a .deb
#   boards/debian/check.sh BOARD ...    with these
set -euo pipefail
# shellcheck source=boards/lib.sh
. "$(dirname "$0")/../lib.sh"
HERE=$ROOT/boards/debian
# Highest score of `systemd-analyze security`, in tenths. 10 = no protection.
MAX_EXPOSURE=15
work=$(mktemp -d)
init=""
trap clean EXIT

clean() {
  [ $? = 0 ] || explain >&2
  [ -z "$init" ] || as_root kill -9 "$init" 2>/dev/null || true
  wait
  [ ! -e "$work/groups" ] || as_root "$HERE/boot.sh" clean "$(cat "$work/groups")"
  rm -rf "$work"
}

check_unit() {
  local score
  # The program need not be installed on the machine that checks.
  sed "s|^ExecStart=/usr/bin/waypost |ExecStart=$(host_binary) |" "$HERE/waypost.service" >"$work/waypost.service"
  same "the complaints of systemd-analyze verify" "" "$(systemd-analyze verify "$work/waypost.service" 2>&1)"
  score=$(systemd-analyze security --offline=yes --threshold=$MAX_EXPOSURE "$HERE/waypost.service" | tail -n 1) ||
    fail "the unit is less hardened than it was: $score"
  for setting in Restart=always StartLimitIntervalSec=0 RestartSec=1 Type=notify WatchdogSec=60; do
    grep -qx "$setting" "$HERE/waypost.service" || fail "the unit gives up: no $setting"
  done
  say "unit: ${score#→ }"
}

check_packages() {
  local board
  "$HERE/build-deb.sh" "$@"
  WAYPOST_PACKAGE_DIR=$work/again SOURCE_DATE_EPOCH=$(source_date_epoch) "$HERE/build-deb.sh" "$@" >/dev/null
  check_reproducible "$work/again"
  for board; do (check_package "$board"); done
  say "packages: two builds are equal, and $# architectures are as they should be"
}

check_package() {
  load_board "$1"
  local file out=$work/$BOARD
  file=$ROOT/target/packages/waypost_$(version)-1_$BOARD_DEB_ARCH.deb
  check_machine "$BOARD_DEB_ARCH"
  same "the name, version and processor of $(basename "$file")" "waypost $(version)-1 $BOARD_DEB_ARCH" \
    "$(dpkg-deb --field "$file" Package Version Architecture | sed 's/.*: //' | paste -sd' ')"
  same "what is in it" "drwxr-xr-x root/root ./
drwxr-xr-x root/root ./etc/
drwxr-xr-x root/root ./etc/default/
-rw-r--r-- root/root ./etc/default/waypost
drwxr-xr-x root/root ./usr/
drwxr-xr-x root/root ./usr/bin/
-rwxr-xr-x root/root ./usr/bin/waypost
drwxr-xr-x root/root ./usr/lib/
drwxr-xr-x root/root ./usr/lib/systemd/
drwxr-xr-x root/root ./usr/lib/systemd/system/
-rw-r--r-- root/root ./usr/lib/systemd/system/waypost.service
drwxr-xr-x root/root ./usr/share/
drwxr-xr-x root/root ./usr/share/doc/
drwxr-xr-x root/root ./usr/share/doc/waypost/
-rw-r--r-- root/root ./usr/share/doc/waypost/LICENSES.gz
-rw-r--r-- root/root ./usr/share/doc/waypost/changelog.Debian.gz
-rw-r--r-- root/root ./usr/share/doc/waypost/copyright
drwxr-xr-x root/root ./usr/share/lintian/
drwxr-xr-x root/root ./usr/share/lintian/overrides/
-rw-r--r-- root/root ./usr/share/lintian/overrides/waypost" "$(dpkg-deb -c "$file" | awk '{ print $1, $2, $6 }')"
  dpkg-deb -R "$file" "$out"
  cmp "$out/usr/bin/waypost" "$(binary)"
  (cd "$out" && md5sum --quiet -c DEBIAN/md5sums)
  same "its settings that are kept" /etc/default/waypost "$(cat "$out/DEBIAN/conffiles")"
  same "the default of MAX_PEERS that it shows" "#MAX_PEERS=$WAYPOST_MAX_PEERS" "$(grep '^#MAX_PEERS=' "$out/etc/default/waypost")"
  same "the complaints of lintian" "" "$(lintian --allow-root --fail-on none "$file" 2>&1)"
}

# Runs a command in the booted copy.
inside() { as_root nsenter --target "$init" --mount --pid --uts --ipc --net --cgroup "$@"; }

# Repeats a command until it succeeds, for at most 20 seconds.
patiently() {
  local deadline=$((SECONDS + 20))
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || { fail "not after 20 seconds: $*"; return 1; }
    sleep 0.1
  done
}

boot() {
  local name=waypost-check-$$
  echo "$name" >"$work/groups"
  as_root "$HERE/boot.sh" start "$name" "$work/boot" >"$work/why" 2>&1 &
  patiently test -s "$work/boot/pid" || fail "$(cat "$work/why")"
  init=$(cat "$work/boot/pid")
  patiently inside systemctl is-active multi-user.target
}

healthy() { inside /usr/bin/waypost check --url "http://127.0.0.1:$1" --udp 127.0.0.1:6881; }
# Sets variables in the file of settings, and nothing else.
configure() { printf '%s\n' "$@" | inside tee /etc/default/waypost >/dev/null; }
tells() { inside systemctl show --property StatusText waypost | grep -q "$1"; }
main_pid() { inside systemctl show --property MainPID --value waypost; }
restarted() { [ "$(main_pid)" != "$1" ] && healthy 8080; }

# What happened in the booted copy, when something went wrong there.
explain() {
  [ -z "$init" ] || inside systemctl status --no-pager --lines 0 waypost || true
  [ -z "$init" ] || inside journalctl --no-pager --lines 30 --output cat || true
}

check_in_use() {
  local package status first
  package=$ROOT/target/packages/waypost_$(version)-1_$(dpkg --print-architecture).deb
  if ! [ -e "$package" ]; then
    say "in use: skipped, there is no package for this machine"
    return 0
  fi
  mkdir "$work/boot"
  if ! as_root "$HERE/boot.sh" possible "$work/boot" 2>"$work/why"; then
    say "in use: skipped, systemd cannot be booted in a namespace here: $(tail -n 1 "$work/why")"
    return 0
  fi
  boot
  inside tee /root/waypost.deb <"$package" >/dev/null

  # Installed is running, also after the next boot.
  inside dpkg -i /root/waypost.deb >"$work/dpkg" 2>&1 || fail "$(cat "$work/dpkg")"
  patiently healthy 8080
  inside systemctl is-enabled --quiet waypost || fail "it is not started at boot"
  first=$(main_pid)
  status=$(inside cat "/proc/$first/status")
  for line in 'CapEff:.0000000000000000' 'CapBnd:.0000000000000000' 'NoNewPrivs:.1' 'Seccomp:.2'; do
    grep -q "^$line" <<<"$status" || fail "the running server is not confined, no '$line': $status"
  done
  ! grep -q '^Uid:.0' <<<"$status" || fail "the server runs as root"

  # It told that it is ready, and tells how it goes; one that hangs is ended, and started again.
  patiently tells '^StatusText=[0-9]* peers, room for [0-9]*$'
  inside mkdir -p /etc/systemd/system/waypost.service.d
  printf '[Service]\nWatchdogSec=2\n' | inside tee /etc/systemd/system/waypost.service.d/override.conf >/dev/null
  inside systemctl daemon-reload
  inside systemctl restart waypost
  patiently healthy 8080
  first=$(main_pid)
  sleep 3
  [ "$(main_pid)" = "$first" ] || fail "a server that goes on was taken for one that hangs"
  inside kill -STOP "$first"
  patiently restarted "$first"
  inside rm /etc/systemd/system/waypost.service.d/override.conf
  inside systemctl daemon-reload
  inside systemctl restart waypost
  patiently healthy 8080

  # It is started again, however often it is killed.
  for _ in 1 2 3 4 5 6; do
    first=$(main_pid)
    inside kill -9 "$first"
    patiently restarted "$first"
  done

  # Settings take effect; a wrong one is in the log, and is tried again; the port below 1024 needs what the file says.
  configure PORT=8081 NETWORK=a,b
  inside systemctl restart waypost
  patiently healthy 8081
  configure PORT=http
  ! inside systemctl restart waypost 2>/dev/null || fail "a server that does not start is taken for one that does"
  patiently logged 'waypost: PORT "http": must be a number'
  configure PORT=80
  inside mkdir -p /etc/systemd/system/waypost.service.d
  sed -n 's/^#  //p' "$HERE/default" | inside tee /etc/systemd/system/waypost.service.d/override.conf >/dev/null
  inside systemctl daemon-reload
  inside systemctl restart waypost
  patiently healthy 80

  # An upgrade keeps the settings and restarts; removal stops it and keeps them; purge leaves nothing.
  first=$(main_pid)
  inside dpkg -i --force-confold /root/waypost.deb >"$work/dpkg" 2>&1 || fail "$(cat "$work/dpkg")"
  [ "$(main_pid)" != "$first" ] || fail "an upgrade does not restart the server"
  patiently healthy 80
  first=$(main_pid)
  inside dpkg -r waypost >"$work/dpkg" 2>&1 || fail "$(cat "$work/dpkg")"
  ! inside test -e "/proc/$first" || fail "the server runs on after the package is removed"
  inside grep -qx PORT=80 /etc/default/waypost || fail "removal loses the settings"
  inside dpkg -P waypost >"$work/dpkg" 2>&1 || fail "$(cat "$work/dpkg")"
  same "what is left after a purge" /etc/systemd/system/waypost.service.d \
    "$(inside find /etc /usr /var/lib/systemd -path '*waypost*' -not -path '/usr/share/*' -not -name override.conf)"
  say "in use: installed, confined, killed 6 times, configured, upgraded, removed and purged under $(systemctl --version | head -n 1)"
}
logged() { inside journalctl --unit waypost --output cat --no-pager | grep "$1"; }

# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(boards_with DEB_ARCH | cut -d' ' -f1)
check_unit
check_packages "$@"
check_in_use
