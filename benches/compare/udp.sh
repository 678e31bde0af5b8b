#!/usr/bin/env bash
# Waypost beside two UDP trackers, opentracker and aquatic_udp, and a bare echo: processor time of the server per answer,
# in the same run on the same machine.
#
#   benches/compare/udp.sh [ROUNDS [SECONDS]]
#   SERVERS="echo waypost" WAYPOST=BINARY benches/compare/udp.sh
#
# All do the same work (BEP 15 over loopback): 4,096 peers in 64 torrents, each connected once, then announces with 30 peers
# back, 98 bytes for 200. The echo has one blocking socket and answers a datagram of the same size, unread, with one call
# to receive and one to send: less is not possible without batches. A scrape makes sure that every server has 64 peers in
# every torrent, and each round that every answer has 30.
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
read -ra servers <<<"${SERVERS:-echo opentracker opentracker-worker aquatic aquatic-uring waypost}"
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

# echo_of ANSWER_BYTES PORT
echo_of() { exec "$load" echo --answer-bytes "$1" --target "127.0.0.1:$2"; }

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

start_echo() { echo_of 200 "$1"; }

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
  grep -q '^refusals *0$' "$folder/round" || { cat "$folder/round" >&2; fail "$1 refuses: $2 $3"; }
}

# round WORK NAME BYTES WHAT KIND: one round; prints work, name, answers a second, microseconds of the server an answer,
# size of an answer, memory of the server in KiB. Every answer must have BYTES bytes, or as many as the echo sends.
round() {
  generate "$2" "$4" "$5" --seconds "$seconds"
  awk -v name="$1/$2" -v bytes="$3" '/^rate/ { rate = $2 } /^server cpu/ { cpu = $3 } /^server load/ { load = $3 }
    /^answer size/ { size = $3 } /^of which/ { uneven = $0 } /^resident after/ { memory = $3 }
    END {
      printf "%-28s %8d /s %8.3f us/answer %5d bytes %6d KiB%s\n", name, rate, cpu, size, memory, load < 95 ? " !" : ""
      if (size != bytes || uneven) printf "  answers of other sizes than %d bytes: %s\n", bytes, uneven
    }' "$folder/round" | tee -a "$folder/rounds"
}

# table WORK NAME ...: the medians of one work beside its echo.
table() {
  local name
  printf '\n%-19s %10s %12s %7s %12s\n' "$1" answers/s us/answer ratio resident
  for name in "${@:2}"; do
    awk -v name="$name" -v rate="$(median "$1/$name" 2)" -v cpu="$(median "$1/$name" 4)" \
      -v echo="$(median "$1/echo" 4)" -v memory="$(median "$1/$name" 8)" \
      'BEGIN { printf "%-19s %10d %12.3f %7.2f %8d KiB\n", name, rate, cpu, cpu / echo, memory }'
  done
}

case " ${servers[*]} " in *" opentracker"*) command -v opentracker >/dev/null || apt_install opentracker ;; esac
case " ${servers[*]} " in *" aquatic"*) install_aquatic ;; esac
cargo build --locked --release --example load
[ -n "${WAYPOST:-}" ] || cargo build --locked --release --bin waypost

for name in "${servers[@]}"; do
  start "$name" "start_$name"
  wait_until "$load" tracker connect --target "127.0.0.1:${port[$name]}" --sockets 1 --warmup 0 --requests 1 --seconds 0.1
  generate "$name" tracker announce --seconds 0.2
  [ "$name" = echo ] || generate "$name" tracker scrape --seconds 0.2
done

for number in $(seq "$rounds"); do
  echo "round $number of $rounds"
  for name in "${servers[@]}"; do round announce "$name" 200 tracker announce; done
done
echo
echo "medians of $rounds rounds of $seconds s; opentracker $(dpkg-query -W -f '${Version}' opentracker 2>/dev/null || echo -)," \
  "aquatic_udp $AQUATIC_VERSION, Linux $(uname -r), $(sed -n 's/^model name.*: //p;T;q' /proc/cpuinfo)"
table announce "${servers[@]}"
