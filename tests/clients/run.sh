#!/usr/bin/env bash
# Real BitTorrent clients find each other through Waypost, and nothing else. Needs Debian, and root or user namespaces.
#
#   tests/clients/run.sh [-b BINARY] [SCENARIO ...]    all scenarios or these, on what `cargo build` makes or on BINARY
#   tests/clients/run.sh -s [SCENARIO ...]             as root, on stand-ins, to try the scenarios: a third session of
#                                                      libtorrent as the DHT node, opentracker as the tracker
#   tests/clients/run.sh -l                            names the scenarios
#
# Each scenario has a network of namespaces to itself, with addresses as on the Internet and no way out:
#
#   dht-*    a seeder and a leecher that know one DHT node, the server: the leecher gets the file by its info-hash alone
#   udp-*    and http-*: the server is the tracker of a private torrent; a file goes from one to the other, and
#            everybody is counted right, from the first announce to the last goodbye
#   mdns-*   on a LAN avahi and python-zeroconf find the server, and the example `lan` finds what they advertise; names
#            that are taken are given up, and strangers get no answer
#   json-*   a peer announced by JSON is one that the client tries
#
# What clients announce is looked at in the JSON API each time. Logs are kept in target/clients/SCENARIO. Ends with 77
# where namespaces cannot be had.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=boards/lib.sh
. boards/lib.sh

OUT=$ROOT/target/clients
# Scenarios at the same time: most of what they do is wait.
JOBS=4

binary="" stand_in=no list=no
while getopts b:sl option; do
  case $option in
    b) binary=$(realpath "$OPTARG") ;;
    s) stand_in=yes ;;
    l) list=yes ;;
    *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))

apt_install python3 python3-libtorrent aria2 iproute2 util-linux avahi-daemon avahi-utils dbus-daemon python3-zeroconf
# Debian's, since the module is for that one.
PYTHON=(/usr/bin/python3 -B tests/clients/scenarios.py)
all=(--list)
if [ "$stand_in" = yes ]; then
  apt_install opentracker
  all+=(--stand-in)
fi
mapfile -t scenarios < <("${PYTHON[@]}" "${all[@]}")
[ "$list" = no ] || { printf '%s\n' "${scenarios[@]}" && exit; }
[ $# = 0 ] || scenarios=("$@")

# The last process namespace to end takes all that runs in it along.
namespaces=(unshare --net --mount --pid --fork --kill-child --mount-proc)
[ "$(id -u)" = 0 ] || namespaces+=(--map-root-user)
if ! why=$("${namespaces[@]}" sh -c 'ip link add type bridge && ip link add type veth' 2>&1); then
  say "skipped: this machine makes no network namespaces with bridges: $why"
  exit 77
fi

arguments=(--out "$OUT")
if [ "$stand_in" = no ]; then
  if [ -z "$binary" ]; then
    cargo build --locked --quiet
    binary=$ROOT/target/debug/waypost
  fi
  # The client's half of what goes on on a LAN.
  cargo build --locked --quiet --example lan
  arguments+=(--waypost "$binary")
fi
printf '%s\0' "${scenarios[@]}" |
  xargs -0 -n 1 -P "$JOBS" "${namespaces[@]}" "${PYTHON[@]}" "${arguments[@]}" ||
  fail "FAILED; logs are in ${OUT#"$ROOT"/}"
say "passed: ${#scenarios[@]} scenarios ($SECONDS s)"
