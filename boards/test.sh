#!/usr/bin/env bash
# Runs the whole test suite as the boards run it: built for their processor and with their capacities, under QEMU.
#
#   boards/test.sh              one board of each target
#   boards/test.sh BOARD ...    these
#
# The tests run on the first CPU of a board; on each of its CPUs the binary it ships (boards/build.sh) is started, asked
# and ended. A board whose processor this machine has needs no emulator. What fails does not stop the others.
set -euo pipefail
# shellcheck source=boards/lib.sh
. "$(dirname "$0")/lib.sh"
out=$ROOT/target/board-tests

# The unit, black-box and doc tests, in a profile made for emulators; see Cargo.toml.
run_tests() {
  local variable cpus
  load_board "$1"
  read -ra cpus <<<"$BOARD_CPUS"
  set_emulator "${cpus[0]}"
  find_rust || { fail "no compiler with the sources of its library; boards/setup-debian.sh installs one"; return 1; }
  # shellcheck disable=SC2119
  zig_env
  variable=CARGO_TARGET_$(echo "$BOARD_TARGET" | tr a-z- A-Z_)_RUNNER
  if [ ${#emulator[@]} -gt 0 ]; then
    export "$variable=${emulator[*]}" WAYPOST_TEST_RUNNER="${emulator[*]}"
  fi
  # A test that hangs fails, too.
  timeout 3600 cargo-zigbuild test --locked --no-fail-fast --profile board-test --target "$BOARD_TARGET" --target-dir "$out" \
    -Zbuild-std=std,panic_abort,test
}

# The shipped binary on one CPU.
try_binary() {
  load_board "$1"
  set_emulator "$2"
  start_server "${emulator[@]}" "$BUILT/$BOARD/waypost"
  ping_server
  stop_server
  say "$BOARD on $2: first answer over HTTP after $server_first_ms ms, answered over UDP, ended with 0"
}

# Runs one part of a board's tests, adds a line to the table, and notes a failure.
part() {
  local board=$1 cpu=$2 what=$3 began=$SECONDS status log=$out/$1.log passed
  shift 3
  printf '\n==== %s, %s: %s\n' "$board" "$cpu" "$what"
  # A plain `if` would switch `set -e` off inside.
  set +e
  (set -e && "$@") 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  set -e
  passed=$(awk '/^test result: /{ n += $4 } END { print n + 0 }' "$log")
  [ "$passed" != 0 ] || passed=yes
  [ "$status" = 0 ] || { passed=FAILED failed+=" $board"; }
  table+=$(printf '%-34s %-12s %-10s %8s %6d s' "$board" "$cpu" "$what" "$passed" $((SECONDS - began)))$'\n'
}

cd "$ROOT"
# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(boards_of_different_targets)
mkdir -p "$out"
table=$(printf '%-34s %-12s %-10s %8s %8s' board CPU what passed time)$'\n' failed=""
for board; do
  names=$(load_board "$board" && echo "$BOARD_CPUS")
  for cpu in $names; do part "$board" "$cpu" binary try_binary "$board" "$cpu"; done
  part "$board" "${names%% *}" tests run_tests "$board"
done
printf '\n==== tests of boards\n%s' "$table"
[ -z "$failed" ] || fail "FAILED:$failed"
