# shellcheck shell=dash
# What /etc/rc.common and the functions of UCI and procd are to an init script, as far as ours uses them: run by busybox
# ash with the name of the script. It starts the service of $CONFIG_FOLDER, and prints what procd would be told, a
# parameter a line: its name and its words, separated by |.

SECTIONS=""

# A file of UCI is made of these three words.
config() {
	SECTION=${2:-cfg$((${#SECTIONS} + 1))}
	SECTIONS="$SECTIONS $SECTION"
	eval "TYPE_$SECTION=\$1 "
}
option() {
	eval "OPTION_${SECTION}_$1=\$2"
}
list() {
	local count
	eval "count=\$((\${COUNT_${SECTION}_$1:-0} + 1))"
	eval "COUNT_${SECTION}_$1=$count ITEM_${SECTION}_$1_$count=\$2"
	eval "OPTION_${SECTION}_$1=\"\${OPTION_${SECTION}_$1:+\$OPTION_${SECTION}_$1 }\$2\""
}

config_load() {
	# shellcheck source=/dev/null
	. "$CONFIG_FOLDER/$1"
}
config_foreach() {
	local section type
	for section in $SECTIONS; do
		eval "type=\$TYPE_$section"
		[ "$type" != "$2" ] || "$1" "$section"
	done
}
config_get() {
	eval "$1=\${OPTION_$2_$3:-\$4}"
}
config_get_bool() {
	local bool
	config_get bool "$2" "$3" "$4"
	case "$bool" in
	1 | on | true | yes | enabled) bool=1 ;;
	0 | off | false | no | disabled) bool=0 ;;
	*) bool=$4 ;;
	esac
	eval "$1=$bool"
}
config_list_foreach() {
	local count item i=0
	eval "count=\${COUNT_$1_$2:-0}"
	while [ "$i" -lt "$count" ]; do
		i=$((i + 1))
		eval "item=\$ITEM_$1_$2_$i"
		"$3" "$item"
	done
}

user_exists() {
	[ "$1" = "$EXISTING_USER" ]
}

tell() {
	local IFS='|'
	echo "$*"
}
logger() { tell log "$@"; }
procd_open_instance() { tell instance "$@"; }
procd_close_instance() { tell end; }
procd_set_param() { tell "$@"; }
procd_append_param() { tell "$@"; }
procd_add_jail() { tell jail "$@"; }
procd_add_jail_mount() { tell mount "$@"; }
procd_add_mdns() { tell mdns "$@"; }
procd_add_reload_trigger() { tell trigger "$@"; }

# shellcheck source=boards/openwrt/files/waypost.init
. "$1"
UJAIL=$UJAIL_FILE
CAPABILITIES=$CAPABILITIES_FILE
RELEASE=$RELEASE_FILE
[ "$USE_PROCD" = 1 ] || exit 1
start_service
service_triggers
