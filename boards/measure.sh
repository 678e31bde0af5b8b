#!/usr/bin/env bash
# Measures the shipped binary of boards, and holds it against the budgets in their board.env.
#
#   boards/measure.sh [BOARD ...]             all boards, or these
#   boards/measure.sh --write                 all, and puts the table into boards/README.md
#
# Needs what boards/build.sh has built. Checked are its size, that it is static and takes no code from its data, and its
# resident memory after start and after 10,000 requests. See boards/README.md for what the figures mean.
set -euo pipefail
# shellcheck source=boards/lib.sh
. "$(dirname "$0")/lib.sh"
README=$ROOT/boards/README.md
BEGIN='<!-- boards/measure.sh --write writes from here -->'
END='<!-- to here -->'
# Where an emulator puts the memory of its guest: far from its own.
GUEST_BASE=0x400000000000
load=$ROOT/target/debug/examples/load

# What the file itself shows: no interpreter, no library, no memory both writable and executable; on MIPS no use of an
# FPU and no instruction that came after release 2, as the smallest routers have it.
check_file() {
  local file=$1 headers dynamic isa
  headers=$(LC_ALL=C readelf -lW "$file")
  dynamic=$(LC_ALL=C readelf -dW "$file")
  isa=$(LC_ALL=C readelf -AW "$file")
  if grep -q INTERP <<<"$headers" || grep -q NEEDED <<<"$dynamic"; then fail "$BOARD: not statically linked"; fi
  if grep -q 'LOAD.* RWE ' <<<"$headers"; then fail "$BOARD: memory is writable and executable"; fi
  grep -q 'GNU_STACK.* RW  ' <<<"$headers" || fail "$BOARD: the stack is executable"
  case $BOARD_TARGET in mips*)
    grep -q '^FP ABI: Soft float$' <<<"$isa" || fail "$BOARD: needs an FPU"
    grep -q '^ISA: MIPS32r2$' <<<"$isa" || fail "$BOARD: not for MIPS32 release 2"
    ;;
  esac
}

# Sets `program` to the words that start the binary so that its memory can be told from an emulator's.
set_program() {
  local cpus
  read -ra cpus <<<"$BOARD_CPUS"
  set_emulator "${cpus[0]}"
  if [ ${#emulator[@]} -gt 0 ]; then
    emulator+=(-B "$GUEST_BASE")
    # What a 64-bit program maps would lie anywhere. (With this x86_64 does not start; there it is not needed, but elsewhere
    # an x86_64 board cannot be measured.)
    ! LC_ALL=C readelf -h "$binary" | grep -q 'Class: *ELF64' || emulator+=(-R 0x100000000)
  fi
  program=("${emulator[@]}" "$binary")
}

# KiB of the started server that are resident: under an emulator, of what lies in its guest's memory.
resident_kib() {
  local window=""
  [ ${#emulator[@]} -eq 0 ] || window=^${GUEST_BASE:2:4}........-
  awk -v window="$window" '/^[0-9a-f]+-/ { counts = $1 ~ window } counts && /^Rss:/ { kib += $2 } END { print kib + 0 }' \
    "/proc/$server_pid/smaps"
}

# Waits until the server has closed what clients have left: it has as many descriptors as without them.
settle() {
  local idle=$1 deadline=$((SECONDS + 20)) now
  while now=("/proc/$server_pid/fd/"*) && [ ${#now[@]} -gt "$idle" ]; do
    [ $SECONDS -lt $deadline ] || { fail "$BOARD: connections are not closed"; return 1; }
    sleep 0.02
  done
}

# One kind of the load: so many answers, and no refusal. Broken connections and lost datagrams do not count: a server whose
# places are all taken parts with clients that are slow, as they are on a busy machine.
load_with() {
  local answers=$1 log=$BUILT/$BOARD/load.log
  shift
  "$load" "$@" --requests "$answers" --warmup 0 --seconds 300 --ids "$WAYPOST_MAX_PEERS" >"$log" || true
  awk -v wanted="$answers" '{ n[$1] = $2 } END { exit n["answers"] < wanted || n["refusals"] != 0 }' "$log" ||
    { cat "$log" >&2; fail "$BOARD: the load went wrong"; }
}

# 10,000 requests. As many connections as the board has places, so that all its buffers are used; and in two rounds, or
# the server would end connections for the number of their requests.
load_server() {
  local idle=("/proc/$server_pid/fd/"*)
  local http=(--target "127.0.0.1:$server_http" --connections "$WAYPOST_MAX_CONNECTIONS")
  for _ in 1 2; do
    load_with 2000 announce "${http[@]}"
    settle ${#idle[@]}
    load_with 2000 http --path /peers "${http[@]}"
    settle ${#idle[@]}
    load_with 1000 udp announce --target "127.0.0.1:$server_udp"
  done
}

# Holds a figure against a budget.
check_budget() {
  local what=$1 figure=$2 budget=$3
  [ "$figure" -gt 0 ] || fail "$BOARD: $what is $figure: not measured"
  [ "$figure" -le "$budget" ] || fail "$BOARD: $what is $figure, more than its budget of $budget"
}

# Prints the row of a board. The figures come first, so that the one over its budget is seen.
measure() {
  local binary=$BUILT/$1/waypost program emulator size idle loaded
  load_board "$1"
  [ -x "$binary" ] || { fail "$binary is missing; boards/build.sh $BOARD builds it"; return 1; }
  check_file "$binary"
  size=$(stat -c %s "$binary")
  set_program
  start_server "${program[@]}"
  ping_server
  idle=$(resident_kib)
  load_server
  loaded=$(resident_kib)
  stop_server
  echo "| \`$BOARD\` | \`$BOARD_TARGET\` | $size | $((100 * size / BOARD_SIZE_BUDGET_BYTES)) % | $idle | $loaded |" \
    "$server_first_ms ms |"
  check_budget size "$size" "$BOARD_SIZE_BUDGET_BYTES"
  check_budget 'idle memory' "$idle" "$BOARD_IDLE_BUDGET_KIB"
  check_budget 'memory after load' "$loaded" "$BOARD_LOAD_BUDGET_KIB"
}

# Puts the table between its two marks.
write_table() {
  local new
  new=$(table=$1 awk -v begin="$BEGIN" -v end="$END" '
    $0 == end { inside = 0 }
    !inside
    $0 == begin { inside = 1; printf "\n%s\n", ENVIRON["table"] }
  ' "$README")
  printf '%s\n' "$new" >"$README"
}

# Whether the written table has each board. Its figures may differ: memory is not the same twice.
check_table() {
  local board rows
  rows=$(awk -v begin="$BEGIN" -v end="$END" '$0 == end { inside = 0 } inside; $0 == begin { inside = 1 }' "$README")
  for board in $(boards); do
    grep -qF "| \`$board\` |" <<<"$rows" || fail "boards/README.md has no row for $board; boards/measure.sh --write adds it"
  done
}

write=no
[ "${1-}" != --write ] || { write=yes && shift; }
[ "$write" = no ] || [ $# = 0 ] || fail "--write measures all boards"
cd "$ROOT"
cargo build --locked --quiet --example load --target-dir "$ROOT/target"
# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(boards)
table='| board | target | size, bytes | of budget | idle, KiB | after load, KiB | first answer |
|---|---|---:|---:|---:|---:|---:|
' failed=""
for board; do
  set +e
  row=$(set -e && measure "$board")
  status=$?
  set -e
  [ "$status" = 0 ] || failed+=" $board"
  table+=${row:+$row$'\n'}
done
printf '%s' "$table"
[ -z "$failed" ] || fail "FAILED:$failed"
[ "$write" = no ] || write_table "$table"
check_table
