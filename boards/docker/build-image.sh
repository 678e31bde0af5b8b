#!/usr/bin/env bash
# Makes the container image of each platform from the binaries of boards/build.sh, by podman or docker.
#
#   boards/docker/build-image.sh             all boards that are a container's platform (BOARD_OCI_PLATFORM)
#   boards/docker/build-image.sh BOARD ...   these
#
# It writes to target/images: for each platform waypost_VERSION_PLATFORM.tar, for `docker load` and `podman load`, and
# waypost_VERSION_oci.tar with all of them, for a registry. The same binaries give the same files, byte for byte.
set -euo pipefail
# shellcheck source=boards/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
images=$ROOT/target/images
work=$images/work
engine=podman
command -v podman >/dev/null || engine=docker
command -v $engine >/dev/null || fail "neither podman nor docker is here; boards/setup-debian.sh container installs podman"

# The image of a board, as the program that built it saves it.
build() {
  local board=$1 platform=$2 tag=localhost/waypost-build:$1 flags=()
  [ -f "$BUILT/$board/waypost" ] || boards/build.sh "$board"
  # Podman's own format has no health checks. Its layers are a cache, from which it takes steps of another platform, with
  # that platform written in.
  [ $engine = docker ] || flags=(--format docker --identity-label=false --layers=false)
  DOCKER_BUILDKIT=1 $engine build --quiet "${flags[@]}" --platform "$platform" --build-arg BINARY=prebuilt \
    --build-arg BOARD="$board" --file boards/docker/Dockerfile --tag "$tag" . >/dev/null
  $engine save --output "$work/$board.tar" "$tag" 2>/dev/null
  $engine rmi "$tag" >/dev/null
}

mkdir -p "$work"
saved=()
while read -r board platform; do
  [ $# = 0 ] || [[ " $* " == *" $board "* ]] || continue
  say "$board: $platform by $engine"
  build "$board" "$platform"
  saved+=("$platform=$work/$board.tar")
done < <(boards_with OCI_PLATFORM)
[ ${#saved[@]} -gt 0 ] || fail "none of these is a container's platform: $*"
rm -f "$images"/waypost_*.tar
# The commit's time is that of the files in it.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
python3 boards/docker/pack.py "${images#"$ROOT"/}" waypost "$(version)" "$epoch" "${saved[@]}"
rm -r "$work"
