#!/usr/bin/env bash
# Waypost beside two UDP trackers, opentracker and aquatic_udp, a DHT node, libtorrent, and a bare echo: processor time of
# the server per answer, in the same run on the same machine.
#
#   benches/compare/udp.sh [ROUNDS [SECONDS]]
#   WORKS="announce get_peers" SERVERS="echo waypost" WAYPOST=BINARY benches/compare/udp.sh
#
# All trackers do the same work (BEP 15 over loopback): 4,096 peers in 64 torrents, each connected once, then announces with
# 30 peers back, 98 bytes for 200; and connects and scrapes of one torrent by themselves. A scrape before makes sure that
# every server has 64 peers in every torrent, and each round that every answer has 30. Nodes (KRPC) answer queries of the
# same peers. The echo has one blocking socket and answers a datagram of the same size, unread, with one call to receive and
# one to send, as many bytes as Waypost does: less is not possible without batches of system calls.
#
# The servers take turns, so that whatever else the machine does meets all. Each has a processor core of its own, the
# generator has another one and never sleeps; 128 requests are under way. The server's core is busy when its processor time
# is 95 % of the time that passed: rounds with less, of which something else has taken a part, are marked with `!`.
#
# The medians are at the end; each ratio is the server's processor time (all threads, user and system) over the echo's.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=boards/lib.sh
. boards/lib.sh
# shellcheck source=benches/compare/lib.sh
. benches/compare/lib.sh

rounds=${1:-5}
seconds=${2:-3}
waypost=${WAYPOST:-target/release/waypost}
read -ra works <<<"${WORKS:-announce connect scrape ping find_node get_peers announce_peer}"
read -ra servers <<<"${SERVERS:-echo opentracker opentracker-worker aquatic aquatic-uring libtorrent waypost}"
server_core=0
load_core=1
swarms=(--peers 4096 --torrents 64 --sockets 256 --window 128 --spin)
AQUATIC_VERSION=0.9.0
aquatic_root=$HOME/.cache/waypost/aquatic-$AQUATIC_VERSION

[ "$(nproc)" -ge 2 ] || fail "this takes two processor cores"
chmod 755 "$folder"

# cargo install, as Waypost itself is built. Without its default feature `prometheus`, which does not compile with today's
# Rust (metrics 0.22.3) and would do nothing here; with `io-uring`, so that one binary has both ways to wait.
install_aquatic() {
  [ ! -x "$aquatic_root/bin/aquatic_udp" ] || return 0
  command -v cc >/dev/null || apt_install gcc
  say "installing by cargo: aquatic_udp $AQUATIC_VERSION"
  CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 \
    cargo install --quiet --locked --root "$aquatic_root" --target-dir target/aquatic \
    --no-default-features --features mimalloc,io-uring "aquatic_udp@$AQUATIC_VERSION"
}

# Each of these takes a port and replaces itself by the server.

# start_echo SKIP ANSWER_BYTES PORT
start_echo() { exec "$load" echo --skip "$1" --answer-bytes "$2" --target "127.0.0.1:$3"; }

# Debian's build answers for listed torrents only. As it is configured there: one event loop for everything.
start_opentracker() {
  local config=$folder/$1.conf
  seq 0 63 | while read -r torrent; do printf %s "$torrent" | sha256sum | cut -c 1-40; done >"$folder/torrents"
  cat >"$config" <<CONF
${2:-}
listen.udp 127.0.0.1:$1
access.whitelist torrents
tracker.rootdir $folder
tracker.user nobody
CONF
  exec opentracker -f "$config"
}

# The same with one blocking thread for datagrams, its best on a single core.
start_opentracker-worker() { start_opentracker "$1" "listen.udp.workers 1"; }

# One socket worker, which is all there is since 0.9: it keeps the torrents too. By mio, the default build.
start_aquatic() {
  local config=$folder/$1.toml
  cat >"$config" <<CONF
socket_workers = 1
log_level = "error"
[network]
address = "127.0.0.1:$1"
use_io_uring = ${2:-false}
[statistics]
interval = 0
CONF
  exec "$aquatic_root/bin/aquatic_udp" -c "$config"
}

# The same by io_uring, which batches the system calls. Kernels from 6.0 have what it takes, if it is not switched off.
start_aquatic-uring() { start_aquatic "$1" true; }

# A node without its limits on single addresses, and on what it sends.
start_libtorrent() {
  exec /usr/bin/python3 -c 'import libtorrent, signal, sys
session = libtorrent.session({
    "listen_interfaces": "127.0.0.1:" + sys.argv[1], "enable_dht": True, "dht_bootstrap_nodes": "", "alert_mask": 0,
    "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False, "dht_restrict_routing_ips": False,
    "dht_restrict_search_ips": False, "dht_block_ratelimit": 10**9, "dht_upload_rate_limit": 10**9,
    "dht_max_peers_reply": 30})
signal.pause()' "$1"
}

start_waypost() {
  exec "$waypost" serve --bind 127.0.0.1 --port "$(free_port)" --udp-port "$1" --rate-limit 0 --announce-limit 0
}

# Starts a server on the core of servers: start NAME FUNCTION [ARGUMENT ...], to which a free port is added.
declare -A pid port
start() {
  local name=$1
  port[$name]=$(free_port)
  (taskset --cpu-list --pid "$server_core" "$BASHPID" >/dev/null && "${@:2}" "${port[$name]}") >"$folder/$name.log" 2>&1 &
  pid[$name]=$!
  pids+=($!)
}

# generate NAME WHAT KIND [OPTION ...]: the generator, on its core, with the server NAME.
generate() {
  taskset --cpu-list "$load_core" "$load" "$2" "$3" "${swarms[@]}" --target "127.0.0.1:${port[$1]}" \
    --pid "${pid[$1]}" "${@:4}" >"$folder/round" || { cat "$folder/round" "$folder/$1.log" >&2; fail "$1, $2 $3"; }
  [[ $1 = echo-* ]] || grep -q '^refusals *0$' "$folder/round" || { cat "$folder/round" >&2; fail "$1 refuses: $2 $3"; }
}

# round WORK NAME BYTES: one round; prints both names, answers a second, microseconds of the server an answer, size of an
# answer, memory of the server in KiB. Every answer must have BYTES bytes, if that is not 0.
round() {
  local name=$2 kind=$1 protocol
  protocol=$(protocol "$1")
  if [ "$name" = echo ]; then
    name=echo-$1
    # The transaction of a ping comes back in an answer of any size.
    [ "$protocol" != krpc ] || kind=ping
  fi
  generate "$name" "$protocol" "$kind" --seconds "$seconds"
  awk -v name="$1/$2" -v bytes="$3" '/^rate/ { rate = $2 } /^server cpu/ { cpu = $3 } /^server load/ { load = $3 }
    /^answer size/ { size = $3 } /^of which/ { uneven = $0 } /^resident after/ { memory = $3 }
    END {
      printf "%-28s %8d /s %8.3f us/answer %5d bytes %6d KiB%s\n", name, rate, cpu, size, memory, load < 95 ? " !" : ""
      if (bytes && (size != bytes || uneven))
        printf "  not %d bytes in every answer, but %d on average%s\n", bytes, size, uneven ? ", " uneven : ""
    }' "$folder/round" | tee -a "$folder/rounds"
}

# table WORK NAME ...: the medians of one work beside its echo.
table() {
  local name
  printf '\n%-19s %10s %12s %7s %6s %12s\n' "$1" answers/s us/answer ratio bytes resident
  for name in "${@:2}"; do
    awk -v name="$name" -v rate="$(median "$1/$name" 2)" -v cpu="$(median "$1/$name" 4)" \
      -v bytes="$(median "$1/$name" 6)" -v memory="$(median "$1/$name" 8)" -v echo="$(median "$1/echo" 4)" \
      'BEGIN { printf "%-19s %10d %12.3f %7.2f %6d %8d KiB\n", name, rate, cpu, cpu / echo, bytes, memory }'
  done
}

protocol() {
  case $1 in
    announce | connect | scrape) echo tracker ;;
    *) echo krpc ;;
  esac
}

# servers_of WORK: those that can do it.
servers_of() {
  local name
  for name in "${servers[@]}"; do
    case $(protocol "$1")/$name in
      krpc/*tracker* | krpc/aquatic* | tracker/libtorrent) ;;
      *) echo "$name" ;;
    esac
  done
}

case " ${servers[*]} " in *" opentracker"*) command -v opentracker >/dev/null || apt_install opentracker ;; esac
case " ${servers[*]} " in *" aquatic"*) install_aquatic ;; esac
case " ${servers[*]} " in *" libtorrent "*) apt_install python3-libtorrent ;; esac
cargo build --locked --release --example load
[ -n "${WAYPOST:-}" ] || cargo build --locked --release --bin waypost

answers() { "$load" "$2" "$3" --target "127.0.0.1:${port[$1]}" --sockets 1 --warmup 0 --requests 1 --seconds 0.1; }

# Every server but the echo starts, and knows all peers and, if it is one, all nodes.
for name in "${servers[@]}"; do
  case $name in
    echo) ;;
    libtorrent)
      start "$name" start_libtorrent
      wait_until answers "$name" krpc ping
      ;;
    *)
      start "$name" "start_$name"
      wait_until answers "$name" tracker connect
      generate "$name" tracker announce --seconds 0.2
      generate "$name" tracker scrape --seconds 0.2
      ;;
  esac
done

# Then an echo for each work, with answers of the same size.
declare -A bytes=([announce]=200 [connect]=16 [scrape]=20)
for work in "${works[@]}"; do
  skip=8
  if [ "$(protocol "$work")" = krpc ]; then
    skip=0
    for name in $(servers_of "$work"); do
      [ "$name" != echo ] || continue
      generate "$name" krpc announce_peer --seconds 0.5
      generate "$name" krpc "$work" --seconds 0.5
      bytes[$work]=$(awk '/^answer size/ { print $3 }' "$folder/round")
    done
    [ -n "${bytes[$work]:-}" ] || fail "nobody but the echo can do $work"
  fi
  start "echo-$work" start_echo "$skip" "${bytes[$work]}"
done

for number in $(seq "$rounds"); do
  echo "round $number of $rounds"
  for work in "${works[@]}"; do
    for name in $(servers_of "$work"); do
      if [ "$(protocol "$work")" = krpc ]; then round "$work" "$name" 0; else round "$work" "$name" "${bytes[$work]}"; fi
    done
  done
done
echo
echo "medians of $rounds rounds of $seconds s; opentracker $(dpkg-query -W -f '${Version}' opentracker 2>/dev/null || echo -)," \
  "aquatic_udp $AQUATIC_VERSION, Linux $(uname -r), $(sed -n 's/^model name.*: //p;T;q' /proc/cpuinfo)"
for work in "${works[@]}"; do mapfile -t able < <(servers_of "$work"); table "$work" "${able[@]}"; done
