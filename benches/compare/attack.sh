#!/usr/bin/env bash
# How long a good client waits while slow clients attack: Waypost beside nginx, on the same machine.
#
#   benches/compare/attack.sh [SECONDS]
#   ATTACKERS=1280 CONNECTIONS=256 WAYPOST=BINARY benches/compare/attack.sh
#
# Five times as many attackers as there are places for connections hold what they can get, a quarter of them each by a slow
# head, a slow body, answers that are not read, and idle connections; who is thrown out comes back at once. Each has a /24 of
# its own, so that no limit on addresses or networks helps. The good client asks for /health again and again, each time by a
# connection of its own, and counts from the first SYN to the last byte. All is in a network namespace, with addresses of the
# Internet: a LAN would be trusted. nginx has as many connections, and is asked for 12 bytes; it
# turns away who comes while all are taken.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ "${INSIDE:-}" != yes ]; then
  cargo build --locked --release --bin waypost --example load
  namespaces=(unshare --net --kill-child --fork)
  [ "$(id -u)" = 0 ] || namespaces+=(--map-root-user)
  INSIDE=yes exec "${namespaces[@]}" "$0" "$@"
fi

seconds=${1:-10}
connections=${CONNECTIONS:-256}
attackers=${ATTACKERS:-$((5 * connections))}
waypost=${WAYPOST:-target/release/waypost}
nginx=$(command -v nginx || echo /usr/sbin/nginx)
server=81.255.0.1
# shellcheck source=benches/compare/lib.sh
. benches/compare/lib.sh
[ -x "$nginx" ] || fail "please install nginx (Debian: nginx-light)"
ip link set lo up
ip route add local 81.0.0.0/8 dev lo
ulimit -n 8192

cat >"$folder/nginx.conf" <<CONF
daemon off;
master_process off;
pid $folder/nginx.pid;
error_log $folder/error.log;
events { worker_connections $((connections + 2)); }
http {
  access_log off;
$(nginx_folders "$folder")
  server {
    listen 8081 backlog=1024;
    location / { return 200 "hello world\n"; }
  }
}
CONF
"$nginx" -p "$folder" -c "$folder/nginx.conf" 2>>"$folder/error.log" &
pids+=($!)
"$waypost" serve --port 8080 --udp-port 0 --rate-limit 0 --announce-limit 0 >"$folder/waypost.log" 2>&1 &
pids+=($!)
wait_until accepts 8080
wait_until accepts 8081

for name in waypost nginx; do
  port=8080
  [ $name = waypost ] || port=8081
  echo "$name, $attackers attackers"
  "$load" attack --target "$server:$port" --from 81.0.0.0 --connections "$attackers" --path /health --warmup 3 \
    --seconds "$seconds" | tee "$folder/$name" || true
done
# figure NAME LINE: of one of the two.
figure() { awk -v line="$2" '$1 " " $2 == line { print $3 }' "$folder/$1"; }
for name in waypost nginx; do
  echo "$name under attack: $(figure $name 'attacked served') served, $(figure $name 'attacked failed') not," \
    "p99 $(figure $name 'attacked p99') ms"
done
awk -v us="$(figure waypost 'attacked p99')" -v them="$(figure nginx 'attacked p99')" \
  'BEGIN { if (them == "") print "no ratio: nginx served nobody"; else printf "p99 over that of nginx: %.3f\n", us / them }'
