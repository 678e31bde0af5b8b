# shellcheck shell=bash
# What the comparisons share: servers that are started, waited for, and ended with the script. Source it with the
# repository as the working directory.

# shellcheck disable=SC2034  # used by those who source this
load=target/release/examples/load
folder=$(mktemp -d)
pids=()

# shellcheck disable=SC2317  # called by the trap
clean_up() {
  [ "${#pids[@]}" = 0 ] || kill "${pids[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$folder"
}
trap clean_up EXIT

fail() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# A port nobody listens on, by TCP or by UDP.
free_port() {
  local port
  for port in $(shuf -i 20000-30000 -n 50); do
    (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
    ! grep -qi "$(printf ':%04X ' "$port")" /proc/net/udp || continue
    echo "$port" && return
  done
  return 1
}

# Runs a command until it succeeds, for at most five seconds.
wait_until() {
  local _
  for _ in $(seq 100); do
    "$@" >/dev/null 2>&1 && return
    sleep 0.05
  done
  fail "in vain: $*"
}

accepts() { (: <>"/dev/tcp/127.0.0.1/$1"); }

# median NAME FIELD: over the lines of $folder/rounds that begin with NAME.
median() {
  awk -v name="$1" -v field="$2" '$1 == name { print $field }' "$folder/rounds" | sort -n |
    awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

# The lines of nginx's configuration that keep its files in a folder: nginx_folders FOLDER
nginx_folders() {
  local what
  for what in client_body proxy fastcgi uwsgi scgi; do
    echo "  ${what}_temp_path $1/${what#client_};"
  done
}
