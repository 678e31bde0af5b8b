#!/usr/bin/env bash
# The one command: every check a change must pass.
#
#   ./check.sh             all stages
#   ./check.sh fast        what to run before each commit: fmt clippy shell nostd test
#   ./check.sh boards      what is about the boards: size reproduce emulate packages boot container cross
#   ./check.sh STAGE ...   these stages, in this order; `./check.sh list` names them
#
# A failed stage does not stop the others. The tests run last, so that their results end the output.
# A missing tool is installed by apt, cargo or pip, and named when that happens; `fast` installs nothing.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=boards/lib.sh
. boards/lib.sh

BOARDS="size reproduce emulate packages boot container cross"
ALL="fmt clippy features shell nostd doc deny fuzz-build clients $BOARDS test"
FAST="fmt clippy shell nostd test"

# Crates of cargo's that are installed when they are missing.
CARGO_DENY_VERSION=0.20.2
# A target without std, alloc in its build, 64-bit atomics or compare-and-swap: what builds here builds anywhere.
BARE_TARGET=thumbv6m-none-eabi
# What a script ends with when this machine cannot do what it is for, and that is nobody's fault.
SKIPPED=77

fast=no
# What each stage said.
LOGS=target/check

stage_fmt() {
  cargo fmt -- --check
  cargo fmt --manifest-path fuzz/Cargo.toml -- --check
}

stage_clippy() {
  cargo clippy --locked --all-targets -- -D warnings
  cargo clippy --locked --lib --no-default-features -- -D warnings
}

# Each set of features, and the smallest and largest capacities. A misspelt capacity and a
# wrong seed must stop the build.
stage_features() {
  cargo check --locked --lib --no-default-features
  cargo check --locked --all-targets --no-default-features --features std
  cargo check --locked --all-targets --no-default-features --features std,mdns
  cargo check --locked --all-targets --no-default-features --features client
  cargo check --locked --all-targets --all-features
  WAYPOST_MAX_PEERS=16 WAYPOST_MAX_CONNECTIONS=4 WAYPOST_LIMITER_CELLS=256 cargo check --locked
  WAYPOST_MAX_PEERS=65536 WAYPOST_MAX_CONNECTIONS=4096 WAYPOST_LIMITER_CELLS=65536 cargo check --locked
  if WAYPOST_MAX_PERS=16 cargo check --locked 2>/dev/null; then
    fail "a misspelt capacity went unnoticed"
  fi
  if WAYPOST_SEEDS=clippy.toml cargo check --locked 2>/dev/null; then
    fail "seeds that are none went unnoticed"
  fi
}

# Scripts are programs too.
stage_shell() {
  if ! command -v shellcheck >/dev/null; then
    [ "$fast" = no ] || { say "skipped: shellcheck is not installed; ./check.sh shell installs it"; return 0; }
    apt_install shellcheck
  fi
  git grep -lzE '^(#!.*[/ ](ba|da)?sh( |$)|# shellcheck shell=)' | xargs -0 shellcheck --external-sources
}

# The library for a bare target. Only core is built for it: a use of std or of alloc does not compile.
stage_nostd() {
  if [ "$fast" = yes ] && ! find_rust; then
    say "skipped: the sources of core are not installed; ./check.sh nostd installs them"
    return 0
  fi
  find_rust || boards/setup-debian.sh build
  find_rust || fail "no compiler with the sources of core"
  say "$("$RUSTC" --version), $BARE_TARGET"
  RUSTC_BOOTSTRAP=1 "$CARGO" build --locked --lib --no-default-features \
    --target "$BARE_TARGET" -Zbuild-std=core --target-dir target/nostd
}

# The documentation is for those who work on the code, so it shows private items and may link to them.
stage_doc() {
  RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" \
    cargo doc --locked --no-deps --document-private-items
}

# Advisories need a database from the network and are left to `cargo deny check advisories`.
stage_deny() {
  if ! command -v cargo-deny >/dev/null; then
    say "installing by cargo: cargo-deny $CARGO_DENY_VERSION"
    cargo install --quiet --locked cargo-deny@"$CARGO_DENY_VERSION"
  fi
  cargo deny --locked check bans licenses sources
}

# The fuzz targets compile and link on stable, and take the committed corpus.
stage_fuzz-build() {
  command -v c++ >/dev/null || apt_install g++
  cargo build --locked --manifest-path fuzz/Cargo.toml
  local corpus
  for corpus in fuzz/corpus/*/; do
    "fuzz/target/debug/$(basename "$corpus")" -runs=0 "$corpus" 2>/dev/null ||
      fail "the corpus of $(basename "$corpus") fails"
  done
}

# libtorrent and aria2 find each other through the server.
stage_clients() {
  cargo build --locked
  tests/clients/run.sh -b target/debug/waypost
}

# The binary of each board, its size, and the memory it has resident.
stage_size() {
  boards/setup-debian.sh build test
  boards/build.sh
  boards/measure.sh
}

# Built elsewhere once more, the binaries are the same.
stage_reproduce() { boards/reproduce.sh; }

# The tests on the processors of the boards.
stage_emulate() {
  boards/setup-debian.sh build test
  boards/test.sh
}

# Packages for OpenWrt and for Debian. They, the images and the containers hold the binaries of the stage `size`.
stage_packages() {
  boards/setup-debian.sh packages
  boards/openwrt/check.sh
  boards/debian/check.sh
}

# Whole systems: the card image of the Raspberry Pi, and routers.
stage_boot() {
  boards/setup-debian.sh images
  boards/boot.sh
}

# The container image.
stage_container() {
  boards/setup-debian.sh container
  boards/docker/check.sh
}

# Cross.toml with the real cross.
stage_cross() {
  boards/setup-debian.sh cross
  boards/cross/prove.sh
}

# The wall clock of some tests is wrong on purpose; others have a name server, or read QR codes.
stage_test() {
  [ "$fast" = yes ] || apt_install faketime dnsmasq-base zbar-tools iproute2 iptables
  cargo test --locked --no-fail-fast
}

# Runs one stage and notes how it went.
run_stage() {
  local stage=$1 began=$SECONDS status
  printf '\n==== %s\n' "$stage"
  set +e
  (set -e && "stage_$stage") 2>&1 | tee "$LOGS/$stage.log"
  status=${PIPESTATUS[0]}
  set -e
  local took=$((SECONDS - began)) how
  case $status in
    0) how=ok ;;
    "$SKIPPED") how=skipped ;;
    *) how=FAILED failed="$failed $stage" ;;
  esac
  table+=$(printf '%-12s %-7s %5d s' "$stage" "$how" "$took")$'\n'
  say "$stage took $took s"
}

case "${1:-all}" in
  all) stages=$ALL ;;
  fast) stages=$FAST fast=yes ;;
  boards) stages=$BOARDS ;;
  list) echo "$ALL" && exit 0 ;;
  -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" && exit 0 ;;
  *) stages=$* ;;
esac
for stage in $stages; do
  case " $ALL " in *" $stage "*) ;; *) fail "no stage '$stage'; there are: $ALL" || exit 2 ;; esac
done

mkdir -p "$LOGS"
table="" failed=""
for stage in $stages; do
  # The table comes before the tests, whose results are to be the last thing seen.
  [ "$stage" != test ] || [ -z "$table" ] || printf '\n==== so far\n%s' "$table"
  run_stage "$stage"
done

[ "$stage" = test ] || printf '\n==== summary\n%s' "$table"
for stage in $failed; do
  printf '\n==== the end of %s, all of it in %s\n' "$stage" "$LOGS/$stage.log"
  tail -n 40 "$LOGS/$stage.log"
done
[ -z "$failed" ] || { fail "FAILED:$failed" || exit 1; }
say "passed: $stages ($SECONDS s)"
