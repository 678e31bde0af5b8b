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
images=target/images
work=$images/work

# Sets `engine` to the command, and `flags` to what it needs to build.
find_engine() {
  if command -v podman >/dev/null; then
    # Storage of its own, so that nothing is left in the user's. Podman's own format has no health checks, and its cache
    # gives a step of one platform to another, with the wrong platform written in.
    engine=(podman --storage-driver vfs --root "$PWD/$work/storage" --runroot "$PWD/$work/run")
    flags=(--format docker --identity-label=false --no-cache)
  elif command -v docker >/dev/null; then
    engine=(env DOCKER_BUILDKIT=1 docker) flags=()
  else
    fail "neither podman nor docker is here; boards/setup-debian.sh container installs podman"
  fi
}

# Builds and saves the image of a board.
build() {
  local board=$1 platform=$2 tag=localhost/waypost-build:$1
  [ -f "$BUILT/$board/waypost" ] || boards/build.sh "$board"
  "${engine[@]}" build --quiet "${flags[@]}" --platform "$platform" --build-context "compile=$BUILT/$board" \
    --file boards/docker/Dockerfile --tag "$tag" . >/dev/null
  "${engine[@]}" save --output "$work/$board.tar" "$tag" 2>/dev/null
  "${engine[@]}" rmi "$tag" >/dev/null
}

find_engine
rm -rf "$work" "$images"/waypost_*.tar
mkdir -p "$work"
saved=()
while read -r board platform; do
  [ $# = 0 ] || [[ " $* " == *" $board "* ]] || continue
  say "$board: $platform"
  build "$board" "$platform"
  saved+=("$platform=$work/$board.tar")
done < <(boards_with OCI_PLATFORM)
[ ${#saved[@]} -gt 0 ] || fail "none of these is a container's platform: $*"
# Files in an image are as old as the commit.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
python3 boards/docker/pack.py "$images" waypost "$(version)" "$epoch" "${saved[@]}"
rm -rf "$work"
