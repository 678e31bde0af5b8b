#!/usr/bin/env bash
# Checks what OpenWrt gets, in seconds: the packages, the init script, and the feed.
#
#   boards/openwrt/check.sh              with the binaries of all boards that OpenWrt runs on
#   boards/openwrt/check.sh BOARD ...    with these
#
# The init script runs under the shell that routers have, against a stub of UCI and procd (stub.sh), and the binary that
# this machine can run is started with just what the script hands over. No procd, opkg or SDK of OpenWrt's takes part.
set -euo pipefail
# shellcheck source=boards/lib.sh
. "$(dirname "$0")/../lib.sh"
HERE=$ROOT/boards/openwrt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Both packages of each architecture: built twice, equal byte for byte, and as the formats and the router want them.
check_packages() {
  local again=$work/again board arch
  "$HERE/build-packages.sh" "$@"
  WAYPOST_PACKAGE_DIR=$again SOURCE_DATE_EPOCH=$(source_date_epoch) "$HERE/build-packages.sh" "$@" >/dev/null
  check_reproducible "$again"
  for board; do
    (
      load_board "$board"
      arch=$BOARD_OPENWRT_ARCH
      check_machine "$arch"
      python3 "$HERE/check_packages.py" "$arch" "$(binary)" "$(version)-r1" "$ROOT/target/packages"
      same "the default of max_peers that waypost.config shows for $BOARD" \
        "#option max_peers '$WAYPOST_MAX_PEERS'" "$(grep -o '#option max_peers .*' "$HERE/files/waypost.config")"
    )
  done
  say "packages: two builds are equal, and $# architectures are as they should be"
}

# Runs the init script with the configuration on standard input, and prints what procd would be told. Arguments:
# variables for the stub.
init() {
  cat >"$work/waypost"
  env -i PATH="$PATH" CONFIG_FOLDER="$work" EXISTING_USER=waypost UJAIL_FILE=/nowhere CAPABILITIES_FILE=/nowhere \
    RELEASE_FILE=/nowhere "$@" busybox ash "$HERE/stub.sh" "$HERE/files/waypost.init"
}

# What each server is told besides its settings.
FIXED='user|waypost
group|waypost'
FIXED_END='limits|nofile=8192 8192|core=0
respawn|3600|5|0
term_timeout|5
file|/usr/bin/waypost
stdout|1
stderr|1
end'

check_init() {
  # What the package installs: one server, of the server's own defaults, started again without end.
  same "the default configuration" "instance|main
command|/usr/bin/waypost|serve
env|NO_MDNS=1
mdns|pscryptochat|tcp|8080|txtvers=1|udp=6881|path=/
$FIXED
$FIXED_END
trigger|waypost" "$(init <"$HERE/files/waypost.config")"

  # Every option in the file, uncommented, reaches the environment, and lists are joined.
  local all
  all=$(sed 's/^\t#\(option\|list\) /\t\1 /' "$HERE/files/waypost.config" | init | grep '^env|')
  same "all options" "$(sed -n "s/^\t#\?\(option\|list\) \([a-z_]*\) '\(.*\)'$/\2 \3/p" "$HERE/files/waypost.config" |
    awk '$1 != "enabled" { v[$1] = v[$1] (v[$1] == "" ? "" : ",") $2 }
         END { v["no_mdns"] = 1; for (name in v) print "env|" toupper(name) "=" v[name] }' | sort)" "$(sort <<<"$all")"

  # Off is off; two sections are two servers, with or without a name; a value is handed over as it is.
  same "a server switched off" "trigger|waypost" "$(printf "config waypost\n option enabled '0'\n" | init)"
  same "two servers" "instance|cfg1
env|PORT=81
env|NETWORK=a b,c;d
env|NO_MDNS=1
mdns|pscryptochat|tcp|81|txtvers=1|udp=6881|path=/
instance|second
env|UDP_PORT=0
env|SERVICE=chess
env|NO_MDNS=1
mdns|chess|tcp|8080|txtvers=1|path=/" "$(init <<'C' | grep '^instance\|^env\|^mdns'
config waypost
	option port '81'
	list network 'a b'
	list network 'c;d'
config other 'ignored'
	option port '82'
config waypost 'second'
	option udp_port '0'
	option service 'chess'
C
)"

  # Without an advert, and with what the server has to refuse.
  same "no advert" "env|NO_MDNS=1" "$(printf "config waypost\n option no_mdns '1'\n" | init | grep '^env\|^mdns')"
  same "a wrong switch" "env|NO_MDNS=perhaps" "$(printf "config waypost\n option no_mdns 'perhaps'\n" | init | grep '^env\|^mdns')"
  same "any free port" "env|PORT=0
env|NO_MDNS=1" "$(printf "config waypost\n option port '0'\n" | init | grep '^env\|^mdns')"

  # Nothing is started as root.
  same "without the user" "trigger|waypost" "$(init EXISTING_USER=nobody <"$HERE/files/waypost.config" | grep -v '^log')"
  init EXISTING_USER=nobody <"$HERE/files/waypost.config" | grep '^log|.*no user waypost' >/dev/null ||
    fail "nothing says that the user is missing"

  check_jail
  say "init script: hands over every option, respawns without end, never runs as root"
}

# Where there is ujail, the server is in a jail with the files it reads; not on releases whose ujail cannot do it.
check_jail() {
  local capabilities=$HERE/files/waypost.capabilities
  python3 -c 'import json, sys; assert list(json.load(sys.stdin).values()) == [[]] * 5' <"$capabilities"
  same "the jail" "jail|waypost|procfs|ronly
mount|/etc/waypost.json
capabilities|$capabilities
no_new_privs|1" "$(jailed SNAPSHOT)"
  same "the jail of 24.10" "$(jailed SNAPSHOT)" "$(jailed 24.10.1)"
  same "the jail before 23.05" "" "$(jailed 22.03.5 || true)"
}
jailed() {
  echo "DISTRIB_RELEASE='$1'" >"$work/release"
  printf "config waypost\n option config '/etc/waypost.json'\n" |
    init UJAIL_FILE=/bin/sh CAPABILITIES_FILE="$HERE/files/waypost.capabilities" RELEASE_FILE="$work/release" |
    grep '^jail\|^mount\|^capabilities\|^no_new_privs'
}

# Starts the program as procd would, with the environment that the init script makes of the configuration on standard
# input, and leaves what it says in `said`. Returns its exit code, or 0 if it was ready and ended when it was told to.
serve() {
  local environment=() line server
  while read -r line; do environment+=("${line#*|}"); done < <(init | grep '^env|')
  : >"$work/said"
  timeout 20 env -i "${environment[@]}" "$host_binary" serve >"$work/said" 2>&1 &
  server=$!
  while kill -0 "$server" 2>/dev/null; do
    if grep -q '^ready ' "$work/said"; then
      kill "$server"
      break
    fi
    sleep 0.05
  done
  local status=0
  wait "$server" || status=$?
  said=$(cat "$work/said")
  return "$status"
}

check_server() {
  local host_binary said status=0
  host_binary=$(host_binary)
  serve <<'C' || fail "the server did not start: $said"
config waypost 'main'
	option port '0'
	option udp_port 'auto'
	list bind '127.0.0.1'
	list bind '::1'
	option max_peers '77'
	list network 'a'
	list network 'b'
	option require_signed 'on'
C
  local line
  for line in '^listening  http  127.0.0.1:' '^listening  udp   \[::1\]:' '^capacity   77 peers, .*, 2 networks$'; do
    grep -q "$line" <<<"$said" || fail "the server is not as configured, no '$line': $said"
  done
  serve < <(printf "config waypost\n option port 'http'\n") || status=$?
  grep -qx 'waypost: PORT "http": must be a number in 0..=65535' <<<"$said" || fail "the line about a wrong value is: $said"
  same "the exit code of a wrong value" 2 "$status"
  say "server: starts with what the init script hands over, and says what is wrong with a wrong value"
}

# The Makefile of the feed, under a stub of the SDK with the macros that it uses: what is compiled with, and installed.
check_feed() {
  local sdk=$work/sdk board
  mkdir -p "$sdk/include" "$sdk/feeds/packages/lang/rust"
  cp "$HERE/stub_rules.mk" "$sdk/rules.mk"
  touch "$sdk/include/package.mk"
  cp "$HERE/stub_rust.mk" "$sdk/feeds/packages/lang/rust/rust-package.mk"
  for board; do
    (
      load_board "$board"
      local out=$work/feed/$BOARD target
      mkdir -p "$out/built/bin"
      cp "$(binary)" "$out/built/bin/waypost"
      make -s -C "$HERE/feed/waypost" TOPDIR="$sdk" OUT="$out" ARCH="${BOARD_OPENWRT_ARCH%%_*}" \
        ARCH_PACKAGES="$BOARD_OPENWRT_ARCH" all >"$out/said"
      target=$(grep '^cargo ' "$out/said")
      same "the capacities of $BOARD in the feed" "$(compgen -v WAYPOST_ | sort | while read -r name; do echo "$name=${!name}"; done)" \
        "$(tr ' ' '\n' <<<"$target" | grep '^WAYPOST_' | sort)"
      case $BOARD_TARGET in mips*) grep -q -- '--cfg fix_y2038' <<<"$target" || fail "$BOARD would hang: no fix_y2038" ;; esac
      same "the version of the feed" "$(version)" "$(sed -n 's/^version //p' "$out/said")"
      # All that is in the package but its licences.
      same "what the feed installs" \
        "$(python3 "$HERE/check_packages.py" --list "$BOARD_OPENWRT_ARCH" "$(version)-r1" "$ROOT/target/packages" | grep -v share)" \
        "$(cd "$out/root" && find . -mindepth 1 -printf '%m %P\n' | sort -k2)"
      cmp "$out/root/usr/bin/waypost" "$(binary)"
      same "what cargo finds in the source that the feed copies" "$(cargo_targets "$ROOT")" "$(cargo_targets "$out/source")"
    )
  done
  say "feed: installs the same files as the packages, with the same capacities ($# architectures, by a stub of the SDK)"
}

# What of a folder's Cargo.toml there is to build, but tests.
cargo_targets() {
  cargo metadata --locked --offline --no-deps --format-version=1 --manifest-path "$1/Cargo.toml" | python3 -c 'import json, os, sys
for target in json.load(sys.stdin)["packages"][0]["targets"]:
    if "test" not in target["kind"] and os.path.exists(target["src_path"]):
        print(target["kind"], target["name"])' | sort
}

# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(boards_with OPENWRT_ARCH | cut -d' ' -f1)
check_packages "$@"
check_init
check_server
check_feed "$@"
