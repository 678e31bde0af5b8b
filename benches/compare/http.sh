#!/usr/bin/env bash
# Waypost beside nginx: processor time of the server per small HTTP request, in the same run on the same machine.
#
#   benches/compare/http.sh [ROUNDS [SECONDS]]
#
# nginx serves a fixed body of 12 bytes from memory, with one worker and no log. Waypost serves /health, and /peers of an
# empty network and of one with 50 peers. Both are driven by the same generator over the same number of kept-alive
# connections, alternately, so that whatever else the machine does meets both. Both end a connection after 100 requests.
# The medians are at the end; each ratio is Waypost's processor time over nginx's.
set -euo pipefail
cd "$(dirname "$0")/../.."

rounds=${1:-5}
seconds=${2:-3}
connections=${CONNECTIONS:-64}
nginx=$(command -v nginx || echo /usr/sbin/nginx)
# shellcheck source=benches/compare/lib.sh
. benches/compare/lib.sh
[ -x "$nginx" ] || fail "please install nginx (Debian: nginx-light)"
cargo build --locked --release --bin waypost --example load

nginx_port=$(free_port)
cat >"$folder/nginx.conf" <<CONF
daemon off;
worker_processes 1;
pid $folder/nginx.pid;
error_log $folder/error.log;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 100;
$(nginx_folders "$folder")
  server {
    listen 127.0.0.1:$nginx_port;
    location / { return 200 "hello world\n"; }
  }
}
CONF
"$nginx" -p "$folder" -c "$folder/nginx.conf" 2>>"$folder/error.log" &
pids+=($!)
wait_until accepts "$nginx_port"
nginx_worker=$(tr -d " " <"/proc/${pids[0]}/task/${pids[0]}/children")

waypost_port=$(free_port)
target/release/waypost serve --bind 127.0.0.1 --port "$waypost_port" --udp-port 0 --rate-limit 0 --announce-limit 0 \
  >"$folder/waypost.log" 2>&1 &
pids+=($!)
wait_until accepts "$waypost_port"
waypost=${pids[1]}
"$load" announce --target "127.0.0.1:$waypost_port" --warmup 0 --requests 50 --ids 50 --connections 1 \
  --network fifty >/dev/null

# Runs one round and prints: name, requests a second, microseconds of the server a request, size of an answer.
round() {
  local name=$1 pid=$2 port=$3 path=$4
  "$load" http --target "127.0.0.1:$port" --pid "$pid" --path "$path" --connections "$connections" \
    --seconds "$seconds" >"$folder/round" || { cat "$folder/round" >&2; return 1; }
  grep -q '^refusals *0$' "$folder/round" || { cat "$folder/round" >&2; return 1; }
  awk -v name="$name" '/^rate/ { rate = $2 } /^server cpu/ { cpu = $3 } /^answer size/ { bytes = $3 }
    END { printf "%-14s %9d /s %8.3f us/request %6d bytes\n", name, rate, cpu, bytes }' "$folder/round" |
    tee -a "$folder/rounds"
}

for number in $(seq "$rounds"); do
  echo "round $number of $rounds"
  round nginx "$nginx_worker" "$nginx_port" /
  round health "$waypost" "$waypost_port" /health
  round peers-none "$waypost" "$waypost_port" "/peers?network=none"
  round peers-50 "$waypost" "$waypost_port" "/peers?network=fifty"
done

echo "median of $rounds rounds of $seconds s, $connections connections"
base=$(median nginx 4)
for name in nginx health peers-none peers-50; do
  awk -v name="$name" -v rate="$(median "$name" 2)" -v cpu="$(median "$name" 4)" -v base="$base" \
    'BEGIN { printf "%-14s %9d /s %8.3f us/request   ratio %.2f\n", name, rate, cpu, cpu / base }'
done
