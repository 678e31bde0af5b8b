#!/usr/bin/env bash
# Makes the container image of each platform from the binaries of boards/build.sh, by podman or docker.
#
#   boards/docker/build-image.sh             all boards that are a container's platform (BOARD_OCI_PLATFORM)
#   boards/docker/build-image.sh BOARD ...   these
#
# It writes to target/images: for each platform waypost_VERSION_PLATFORM.tar, for `docker load` and `podman load`, and
# waypost_VERSION_oci.tar with all of them, for a registry. Nothing is compiled here: boards/build.sh does that. The same
# binaries give the same files, byte for byte.
set -euo pipefail
# shellcheck source=boards/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
images=target/images
work=$images/work

# Sets `engine` to the command, and `build_flags` and `save_flags` to what it needs.
find_engine() {
  if command -v podman >/dev/null; then
    # Storage of its own, so that nothing is left in the user's. Podman's own format has no health checks, and its cache
    # gives a step of one platform to another, with the wrong platform written in.
    engine=(podman --storage-driver vfs --root "$PWD/$work/storage" --runroot "$PWD/$work/run")
    build_flags=(--format docker --identity-label=false --no-cache) save_flags=(--quiet)
  elif command -v docker >/dev/null; then
    engine=(env DOCKER_BUILDKIT=1 docker) build_flags=(--provenance=false) save_flags=()
  else
    fail "neither podman nor docker is here; boards/setup-debian.sh container installs podman"
  fi
}

# Builds and saves the image of a board.
build() {
  load_board "$1"
  local content=$work/$BOARD tag=localhost/waypost-build:$BOARD binary
  [ -n "${BOARD_OCI_PLATFORM:-}" ] || fail "$BOARD has no BOARD_OCI_PLATFORM"
  binary=$(binary)
  mkdir "$content"
  cp "$binary" "$content/waypost"
  write_licences "$content/LICENSES"
  "${engine[@]}" build --quiet "${build_flags[@]}" --platform "$BOARD_OCI_PLATFORM" --build-context "compile=$content" \
    --file boards/docker/Dockerfile --tag "$tag" . >/dev/null
  "${engine[@]}" save "${save_flags[@]}" --output "$content.tar" "$tag"
  "${engine[@]}" rmi "$tag" >/dev/null
  echo "$BOARD_OCI_PLATFORM=$content.tar" >>"$work/saved"
}

find_engine
rm -rf "$work" "$images"
mkdir -p "$work"
# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(boards_with OCI_PLATFORM | cut -d' ' -f1)
for board; do
  (build "$board")
done
mapfile -t saved <"$work/saved"
python3 boards/docker/pack.py "$images" waypost "$(version)" "$(source_date_epoch)" "${saved[@]}"
rm -rf "$work"
checksums "$images"
