#!/usr/bin/env bash
# Boots whole systems with the boards' binaries in QEMU, as far as there is a machine for a board, and speaks HTTP and
# UDP to them from outside.
#
#   boards/boot.sh              all boards that have machines
#   boards/boot.sh BOARD ...    these
#
# Checks of each boot: what is announced over HTTP is found over UDP and the other way round; the server is a user of its
# own without capabilities; killed with -9 it is back; a setting it refuses is said once; nothing is mounted; a clock that
# is wrong is not told to anybody. Of a card also: waypost.txt is obeyed, and the boot changed no byte of the card.
# The last lines are a table. Consoles are kept in target/boards/BOARD/MACHINE.log.
set -euo pipefail
# shellcheck source=boards/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=boards/system/lib.sh
. "$(dirname "$0")/system/lib.sh"
TABLE=$(mktemp)
trap 'rm -f "$TABLE"' EXIT

# The settings of the card that is booted, as Windows would write them: one is misspelt, one port needs root elsewhere.
TRIED_SETTINGS='# tried by boot.sh
  HOSTNAME=seed-7
PORT=80
COLOUR=red
PEER_TTL = 77'

# Takes the card apart: sets `card`, a copy of the image with settings of our own, and `files`, what is on it.
take_card() {
  local built=$out/waypost-$BOARD.img
  "$ROOT/boards/$BOARD/build-image.sh" -o "$built"
  "$ROOT/boards/$BOARD/build-image.sh" -o "$out/second.img" >/dev/null
  cmp "$built" "$out/second.img" || fail "$BOARD: two builds of the image differ"
  rm "$out/second.img"
  card=$out/boot.img files=$out/boot.files
  cp "$built" "$card"
  rm -rf "$files" && mkdir "$files"
  printf '\357\273\277%s' "$TRIED_SETTINGS" | sed 's/$/\r/' >"$files/waypost.txt"
  mcopy -o -i "$card@@1M" "$files/waypost.txt" ::
  mcopy -s -n -i "$card@@1M" :: "$files/"
  kernel=$files/kernel8.img initrd=$files/initrd.gz
}

# Boots the machine with these arguments of QEMU, and prints what was measured.
boot_once() {
  python3 "$SYSTEM/boot.py" --qemu "$qemu" --network "$network" --log "$out/${machine%%,*}.log" "${checks[@]}" -- \
    -M "$machine" -m "$memory" "$@" -kernel "$kernel" -initrd "$initrd" -append "$arguments waypost.shell"
}

# Boots one machine, a line of BOARD_MACHINES, and adds a line to the table.
boot_machine() {
  local qemu=$1 machine=$2 memory=$3 network=$4 arguments="" checks=() before="" figures
  shift 4
  while [ "$1" != -- ]; do arguments+=" $1" && shift; done
  shift
  case "$*" in
    *CARD*)
      arguments="$(cat "$files/cmdline.txt") $arguments"
      checks=(--http-port 80 --ttl 77 --says 'there is no setting COLOUR' --says 'ready on "seed-7"'
        --says 'waypost.txt on the card')
      before=$(sha256sum <"$card")
      ;;
    *)
      arguments="net.ifnames=0 panic=10 oops=panic quiet $arguments"
      checks=(--wrong)
      ;;
  esac
  case "$*" in *i6300esb*) checks+=(--watchdog) ;; esac
  set -- "${@//CARD/$card}"
  set -- "${@//FILES/$files}"
  say "$BOARD: $machine, $memory MiB"
  # An emulator on a busy machine loses time and datagrams that no hardware loses: one boot may go wrong, not two.
  figures=$(boot_once "$@") || { say "$BOARD: $machine: once more" >&2 && figures=$(boot_once "$@"); }
  [ -z "$before" ] || [ "$before" = "$(sha256sum <"$card")" ] || fail "$BOARD: the boot wrote to the card"
  printf '%s\t%s\t%s\t%s\n' "$BOARD" "$machine" "$memory" "$figures" >>"$TABLE"
}

boot_board() {
  local out=$BUILT/$1 card="" files="" kernel initrd binary line
  load_board "$1"
  [ -n "${BOARD_MACHINES:-}" ] || fail "$BOARD has no BOARD_MACHINES to be booted on"
  if [ -x "$ROOT/boards/$BOARD/build-image.sh" ]; then
    take_card
  else
    binary=$(binary)
    find_system
    kernel=$(find "$KERNEL/boot" -name 'vmlinu[xz]-*')
    initrd=$out/initrd.gz
    make_initramfs "$initrd" "$binary"
  fi
  while read -r -a line; do
    [ ${#line[@]} = 0 ] || boot_machine "${line[@]}" </dev/null
  done <<<"$BOARD_MACHINES"
}

# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(boards_with KERNEL_PACKAGE | cut -d' ' -f1)
for board; do
  (boot_board "$board")
done
format='%-22s %-18s %7s %9s %9s %12s %10s  %s\n'
# shellcheck disable=SC2059
printf "$format" board machine MiB 'answer s' 'killed s' 'used MiB' 'server KiB' clock
while IFS=$'\t' read -r board machine memory first killed used total server clock; do
  # shellcheck disable=SC2059
  printf "$format" "$board" "$machine" "$memory" "$first" "$killed" "$used of $total" "$server" "$clock"
done <"$TABLE"
