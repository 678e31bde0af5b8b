#!/usr/bin/env bash
# Checks the container images, and runs the one for this machine by podman, as compose.yaml says.
#
#   boards/docker/check.sh             what boards/docker/build-image.sh makes, and compose.yaml
#   boards/docker/check.sh compile     the Dockerfile alone, with the stage that compiles; that takes minutes
#
# It ends with 77 where containers cannot be run. Nothing outside of target/ is written: podman gets settings and storage
# of its own. boards/setup-debian.sh container installs what it needs.
set -euo pipefail
# shellcheck source=boards/lib.sh
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
images=$ROOT/target/images
work=$ROOT/target/container-check${1:+-$1}
compose_file=boards/docker/compose.yaml
image=localhost/waypost
BASE_IMAGE=$(sed -n 's/^FROM .*BUILDPLATFORM \(.*\) AS compile/\1/p' boards/docker/Dockerfile)

# Podman's settings for machines with and without systemd, user namespaces and bridges.
use_podman() {
  local files
  files=$(ulimit -Hn)
  [ "$files" != unlimited ] && [ "$files" -lt 20000 ] || files=20000
  clean_up
  trap clean_up EXIT
  mkdir -p "$work"
  {
    # Podman's defaults may be more than is allowed here. The linker opens many files.
    printf '[containers]\nnetns = "host"\ndefault_ulimits = ["nofile=%s:%s", "nproc=4096:4096"]\n' "$files" "$files"
    printf '[engine]\nevents_logger = "file"\nlock_type = "file"\ntmp_dir = "%s/tmp"\n' "$work"
    ! command -v runc >/dev/null || echo 'runtime = "runc"'
    [ "$(id -u)" != 0 ] || echo 'cgroup_manager = "cgroupfs"'
  } >"$work/containers.conf"
  printf '[storage]\ndriver = "%s"\ngraphroot = "%s/storage"\nrunroot = "%s/run"\n' "$1" "$work" "$work" >"$work/storage.conf"
  export CONTAINERS_CONF=$work/containers.conf CONTAINERS_STORAGE_CONF=$work/storage.conf
}

# Removes containers and storage. What podman has left running to clean up may still be at it.
clean_up() {
  local deadline=$((SECONDS + 10))
  [ -d "$work" ] || return 0
  # Never those of the user: only with settings that lead here.
  [ "${CONTAINERS_STORAGE_CONF-}" != "$work/storage.conf" ] || podman rm --all --force --time 0 >/dev/null 2>&1 || true
  # The overlay driver mounts its folder on itself.
  ! mountpoint -q "$work/storage/overlay" || as_root umount "$work/storage/overlay"
  until rm -rf "$work" 2>/dev/null; do
    [ $SECONDS -lt $deadline ] || { say "cannot remove $work" >&2; return 0; }
    sleep 0.1
  done
}

# Ends with 77 if no container runs here, with what podman says about it.
need_containers() {
  podman load --quiet --input "$images/waypost_$(version)_${BOARD_OCI_PLATFORM//\//-}.tar" >/dev/null
  podman run --rm "$image" --version >"$work/out" 2>"$work/err" ||
    { say "containers cannot be run here, so the image was only built and looked at: $(tail -n 1 "$work/err")"; exit 77; }
  [ "$(cat "$work/out")" = "$(version)" ] || fail "the image is of version $(cat "$work/out"), not $(version)"
}

# What is in the image of a board: how it runs, and the very binary, which starts.
check_image() {
  load_board "$1"
  local archive config layer unpacked=$work/$BOARD wanted emulator cpus
  archive=$images/waypost_$(version)_${BOARD_OCI_PLATFORM//\//-}.tar
  mkdir -p "$unpacked"
  tar -xf "$archive" -C "$unpacked"
  config=$(cat "$unpacked"/*[0-9a-f].json)
  layer=$(tar -tvf "$unpacked"/*[0-9a-f].tar | awk '{ print $1, $2, $NF }' | paste -sd';')
  for wanted in "\"architecture\":\"$(cut -d/ -f2 <<<"$BOARD_OCI_PLATFORM")\"" '"os":"linux"' '"User":"65534:65534"' \
    '"Entrypoint":["/waypost"]' '"Cmd":["serve"]' '"StopSignal":"SIGTERM"' '"Test":["CMD","/waypost","check"]' \
    '"ExposedPorts":{"6881/udp":{},"8080/tcp":{}}' "\"org.opencontainers.image.version\":\"$(version)\""; do
    [[ $config == *"$wanted"* ]] || fail "$BOARD: the image's configuration lacks $wanted: $config"
  done
  if [[ $BOARD_OCI_PLATFORM == */*/* && $config != *"\"variant\":\"${BOARD_OCI_PLATFORM##*/}\""* ]]; then
    fail "$BOARD: not of variant ${BOARD_OCI_PLATFORM##*/}: $config"
  fi
  [ "$layer" = '-r--r--r-- 0/0 LICENSES;-r-xr-xr-x 0/0 waypost' ] ||
    fail "$BOARD: other files than expected are in the image: $layer"
  tar -xf "$unpacked"/*[0-9a-f].tar -C "$unpacked" waypost
  cmp "$unpacked/waypost" "$BUILT/$BOARD/waypost"
  read -ra cpus <<<"$BOARD_CPUS"
  set_emulator "${cpus[0]}"
  start_server "${emulator[@]}" "$unpacked/waypost"
  ping_server
  stop_server
  say "$BOARD: $BOARD_OCI_PLATFORM, $(stat -c %s "$archive") bytes, starts${emulator[*]:+ under ${emulator[*]}}"
}

# The same again must be the same bytes.
check_reproduced() {
  local before
  before=$(cd "$images" && sha256sum ./*.tar)
  boards/docker/build-image.sh >/dev/null
  [ "$before" = "$(cd "$images" && sha256sum ./*.tar)" ] || fail "the images differ when they are built again: $before"
  say "built twice, byte for byte the same"
}

# The image of all platforms: podman finds each in it. (Last, since podman then takes the one it has for an OCI image, and
# drops the health check.)
check_index() {
  local platform os arch variant id
  while read -r _ platform; do
    IFS=/ read -r os arch variant <<<"$platform"
    id=$(podman pull --quiet --os "$os" --arch "$arch" --variant "$variant" "oci-archive:$images/waypost_$(version)_oci.tar")
    [ "$(podman inspect --format '{{.Architecture}}' "$id")" = "$arch" ] || fail "$platform is not in the OCI image"
  done < <(boards_with OCI_PLATFORM)
}

# Each variable in compose.yaml, commented ones too, is a setting of the server.
check_variables() {
  local variable variables settings
  settings=$("$BUILT/$BOARD/waypost" serve --help | sed -n 's/^  --\([a-z-]*\).*/\1/p' | tr a-z- A-Z_)
  variables=$(sed -n '/^    environment:/,/^$/s/^ *#* *\([A-Z_]*\): .*/\1/p' $compose_file)
  [ -n "$variables" ] || fail "$compose_file: no variables found"
  for variable in $variables; do
    grep -qx "$variable" <<<"$settings" || fail "$compose_file: $variable is no setting"
  done
}

# Starts the service of compose.yaml, on the machine's own network and free ports. Sets `container`, `http` and `udp`.
start_service() {
  read -r http udp < <(python3 -c '
from socket import *
sockets = [socket(AF_INET, kind) for kind in (SOCK_STREAM, SOCK_DGRAM)]
for s in sockets: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))')
  cat >"$work/ports.yaml" <<END
services: {waypost: {network_mode: host, ports: !reset [], environment: {PORT: "$http", UDP_PORT: "$udp"}}}
END
  "$COMPOSE_VENV/bin/podman-compose" --file $compose_file --file "$work/ports.yaml" up --detach --no-build \
    >"$work/out" 2>"$work/err" || { cat "$work/out" "$work/err" >&2; fail "podman-compose up failed"; }
  container=$(podman ps --quiet)
}

# Waits until the server answers this machine over HTTP and UDP.
wait_for_answer() {
  local deadline=$((SECONDS + 10))
  until "$BUILT/$BOARD/waypost" check --url "http://127.0.0.1:$http" --udp "127.0.0.1:$udp" >"$work/out" 2>&1; do
    [ $SECONDS -lt $deadline ] || { podman logs "$container" >&2; fail "no answer from the container: $(cat "$work/out")"; }
    sleep 0.05
  done
}

process_of() { podman inspect --format '{{.State.Pid}}' "$container"; }

# A limit as the kernel has it. Arguments: controller, file of the first and of the second version of control groups.
limit() {
  local group
  group=$(awk -F: -v controller="$1" '$2 == controller { print $3 }' "/proc/$pid/cgroup")
  if [ -n "$group" ]; then cat "/sys/fs/cgroup/$1$group/$2"; else cat "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$pid/cgroup")/$3"; fi
}

# What the kernel says about the process: who it is, what it may do, what it may use.
check_confined() {
  local pid status wanted
  pid=$(process_of)
  status=$(tr '\t' ' ' <"/proc/$pid/status")
  wanted=("NoNewPrivs: 1" "CapInh: 0000000000000000" "CapPrm: 0000000000000000" "CapEff: 0000000000000000"
    "CapBnd: 0000000000000000" "CapAmb: 0000000000000000")
  # In a user namespace it has other numbers outside.
  [ "$(id -u)" != 0 ] || wanted+=("Uid: 65534 65534 65534 65534" "Gid: 65534 65534 65534 65534")
  for wanted in "${wanted[@]}"; do
    grep -qx "$wanted" <<<"$status" || fail "the process does not have '$wanted': $status"
  done
  # The server renounces new privileges by itself, too.
  [[ $(podman inspect --format '{{.HostConfig.SecurityOpt}}' "$container") == *no-new-privileges* ]] ||
    fail "compose.yaml does not refuse new privileges"
  awk '$5 == "/" { print $6 }' "/proc/$pid/mountinfo" | grep -q '^ro' || fail "the root is not mounted read-only"
  if [ "$(limit memory memory.limit_in_bytes memory.max)" != $((32 << 20)) ]; then fail "memory is not limited to 32 MiB"; fi
  if [ "$(limit pids pids.max pids.max)" != 16 ]; then fail "processes are not limited to 16"; fi
  say "as nobody, no capabilities, root read-only; $(sed -n 's/^VmRSS: *//p' <<<"$status") resident of 32 MiB allowed"
}

# Ends the process with a signal, and waits until it is gone. Sets `took_ms`.
end_process() {
  local pid began=${EPOCHREALTIME//[!0-9]/} deadline=$((SECONDS + 10))
  pid=$(process_of)
  as_root kill "-$1" "$pid"
  while [ -e "/proc/$pid" ]; do
    [ $SECONDS -lt $deadline ] || fail "SIG$1 does not end it"
    sleep 0.01
  done
  took_ms=$(((${EPOCHREALTIME//[!0-9]/} - began) / 1000))
}

# The life of the service: answers, is healthy, comes back, stops when told.
check_service() {
  local container http udp took_ms began=${EPOCHREALTIME//[!0-9]/}
  start_service
  wait_for_answer
  say "podman-compose up: HTTP and UDP answered after $(((${EPOCHREALTIME//[!0-9]/} - began) / 1000)) ms"
  check_confined
  podman healthcheck run "$container" >/dev/null || fail "the health check fails"
  say "health check: $(podman exec "$container" /waypost check)"
  end_process KILL
  wait_for_answer
  say "after SIGKILL: restarted, answers"
  end_process TERM
  [ "$took_ms" -lt 1000 ] || fail "it took $took_ms ms to end"
  wait_for_answer
  podman stop --time 5 "$container" >/dev/null 2>&1
  [ "$(podman inspect --format '{{.State.ExitCode}}' "$container")" = 0 ] || fail "it did not end with 0"
  say "SIGTERM: ended after $took_ms ms; podman stop: exit code 0"
}

check_images() {
  local board
  boards/docker/build-image.sh
  check_reproduced
  use_podman vfs
  for board in $(boards_with OCI_PLATFORM | cut -d' ' -f1); do (check_image "$board"); done
  load_board "$(own_board)"
  check_variables
  need_containers
  check_service
  check_index
}

# The image that a machine without the registry lacks, made of Debian's packages. It trusts what this machine trusts.
make_base_image() {
  local release=${BASE_IMAGE##*:}
  say "$BASE_IMAGE cannot be pulled; making one by mmdebstrap"
  mmdebstrap --quiet --variant=minbase --include=ca-certificates \
    --customize-hook='copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs' "${release%-slim}" "$work/base.tar"
  podman import --quiet "$work/base.tar" "$BASE_IMAGE" >/dev/null
}

# What one does who has nothing but a program for containers.
check_compile() {
  local began
  use_podman overlay
  podman pull --quiet "$BASE_IMAGE" >/dev/null 2>&1 || make_base_image
  began=$SECONDS
  podman build --format docker --file boards/docker/Dockerfile --tag "$image" . >"$work/log" 2>&1 ||
    { tail -n 40 "$work/log" >&2; fail "the Dockerfile does not build"; }
  say "compiled in $((SECONDS - began)) s"
  load_board "$(own_board)"
  podman run --rm "$image" --version
  podman save --quiet "$image" | tar -xO --wildcards '*.tar' | tar -x -i -C "$work" waypost
  cmp "$work/waypost" "$BUILT/$BOARD/waypost" && say "$BOARD: the very bytes of boards/build.sh"
  check_service
}

case "${1-}" in
  '') check_images ;;
  compile) check_compile ;;
  *) fail "usage: $0 [compile]" || exit 2 ;;
esac
say passed
