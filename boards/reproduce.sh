#!/usr/bin/env bash
# Builds boards a second time, from a copy of the source in another folder and with nothing of the first build, and
# compares: both binaries must be equal byte for byte.
#
#   boards/reproduce.sh              one board of each target
#   boards/reproduce.sh BOARD ...    these
#
# The first build is that of boards/build.sh in this folder, which has little to do if it was done already.
set -euo pipefail
# shellcheck source=boards/lib.sh
. "$(dirname "$0")/lib.sh"

cd "$ROOT"
# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(boards_of_different_targets)
boards/build.sh "$@"
# Not below this folder, where cargo would find its settings twice.
other=$(mktemp -d)
trap 'rm -rf "$other"' EXIT
# Untracked files too: what is built is what is here.
git ls-files -z --cached --others --exclude-standard | tar -c --null --files-from=- | tar -x -C "$other"
began=$SECONDS
WAYPOST_BUILD_DIR=$other/out "$other/boards/build.sh" "$@"
failed=""
for board; do
  sha256sum "$BUILT/$board/waypost" "$other/out/$board/waypost"
  cmp "$BUILT/$board/waypost" "$other/out/$board/waypost" || failed+=" $board"
done
say "the second build took $((SECONDS - began)) s"
[ -z "$failed" ] || fail "NOT EQUAL:$failed"
say "equal: $*"
