#!/usr/bin/env bash
# The one command: every check a change must pass.
#
#   ./check.sh             all stages
#   ./check.sh fast        what to run before each commit: fmt clippy nostd test
#   ./check.sh STAGE ...   these stages, in this order; `./check.sh list` names them
#
# A failed stage does not stop the others. The tests run last, so that their results end the output.
# A missing tool is installed by apt or cargo, and named when that happens; `fast` installs nothing.
set -euo pipefail
cd "$(dirname "$0")"

ALL="fmt clippy features nostd doc deny fuzz-build size boards test"
FAST="fmt clippy nostd test"

# Crates of cargo's that are installed when they are missing.
CARGO_DENY_VERSION=0.20.2
# A target without std, alloc in its build, 64-bit atomics or compare-and-swap: what builds here builds anywhere.
BARE_TARGET=thumbv6m-none-eabi
# Largest static binary, in bytes, per profile. It may shrink; it may grow only on purpose. On x86_64 with glibc an empty
# program has 1,131,840 of them. Memory that is not all zero when new lands in the binary and shows up here, too.
BUDGET_BOARD=1800000
BUDGET_RELEASE=2000000

fast=no

say() { printf 'check: %s\n' "$*"; }
fail() { say "$*" >&2; return 1; }

# Runs a command as root.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Installs Debian packages.
apt_install() {
  command -v apt-get >/dev/null || { fail "please install: $*"; return 1; }
  say "installing by apt: $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

stage_fmt() {
  cargo fmt -- --check
  cargo fmt --manifest-path fuzz/Cargo.toml -- --check
}

stage_clippy() {
  cargo clippy --locked --all-targets -- -D warnings
  cargo clippy --locked --lib --no-default-features -- -D warnings
}

# Each set of features, and the smallest and largest capacities. A misspelt capacity must stop the build.
stage_features() {
  cargo check --locked --lib --no-default-features
  cargo check --locked --all-targets --no-default-features --features std
  cargo check --locked --all-targets --all-features
  WAYPOST_MAX_PEERS=16 WAYPOST_MAX_CONNECTIONS=4 WAYPOST_LIMITER_CELLS=256 cargo check --locked
  WAYPOST_MAX_PEERS=65536 WAYPOST_MAX_CONNECTIONS=4096 WAYPOST_LIMITER_CELLS=65536 cargo check --locked
  if WAYPOST_MAX_PERS=16 cargo check --locked 2>/dev/null; then
    fail "a misspelt capacity went unnoticed"
  fi
}

# Finds a compiler with the sources of core: sets `core_rustc` and `core_cargo`.
find_core_sources() {
  local rustc
  for rustc in rustc /usr/bin/rustc; do
    if [ -d "$("$rustc" --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library/core" ]; then
      core_rustc=$rustc core_cargo=cargo
      [ "$rustc" = rustc ] || ! [ -x /usr/bin/cargo ] || core_cargo=/usr/bin/cargo
      return 0
    fi
  done
  return 1
}

# The library for a bare target. Only core is built for it: a use of std or of alloc does not compile.
stage_nostd() {
  if ! find_core_sources; then
    if [ "$fast" = yes ]; then
      say "skipped: the sources of core are not installed; ./check.sh nostd installs them"
      return 0
    fi
    apt_install rustc-web cargo-web rust-web-src
    find_core_sources || fail "no compiler with the sources of core"
  fi
  say "$("$core_rustc" --version), $BARE_TARGET"
  RUSTC_BOOTSTRAP=1 RUSTC=$(command -v "$core_rustc") "$core_cargo" build --locked --lib --no-default-features \
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

# Builds the static binary with a profile, and holds it against a budget in bytes.
static_size() {
  local profile=$1 budget=$2 host folder binary bytes
  host=$(rustc -vV | sed -n 's/^host: //p')
  folder=target/static/$host/$profile
  binary=$folder/waypost
  env "CARGO_TARGET_$(echo "$host" | tr 'a-z-' 'A-Z_')_RUSTFLAGS=-C target-feature=+crt-static" \
    cargo build --locked --quiet --bin waypost --profile "$profile" --target "$host" --target-dir target/static
  LC_ALL=C ldd "$binary" 2>&1 | grep -q 'statically linked\|not a dynamic executable' ||
    fail "$binary is not statically linked"
  bytes=$(stat -c %s "$binary")
  say "$profile: statically linked, $bytes bytes of $budget"
  [ "$bytes" -le "$budget" ] || fail "$binary is larger than its budget"
}

stage_size() {
  static_size board "$BUDGET_BOARD"
  static_size release "$BUDGET_RELEASE"
}

# The program with each board's capacities, on this machine.
stage_boards() {
  local board count=0
  for board in boards/*/board.env; do
    [ -f "$board" ] || continue
    say "$board"
    # shellcheck source=/dev/null
    (set -a && . "./$board" && cargo build --locked --profile board --target-dir target/boards)
    count=$((count + 1))
  done
  [ "$count" -gt 0 ] || say "there is no boards/*/board.env, so there was nothing to build"
}

stage_test() { cargo test --locked --no-fail-fast; }

# Runs one stage and notes how it went.
run_stage() {
  local stage=$1 began=$SECONDS status
  printf '\n==== %s\n' "$stage"
  set +e
  (set -e && "stage_$stage")
  status=$?
  set -e
  local took=$((SECONDS - began))
  if [ "$status" = 0 ]; then
    table+=$(printf '%-12s ok     %5d s' "$stage" "$took")$'\n'
  else
    table+=$(printf '%-12s FAILED %5d s' "$stage" "$took")$'\n'
    failed="$failed $stage"
  fi
  say "$stage took $took s"
}

case "${1:-all}" in
  all) stages=$ALL ;;
  fast) stages=$FAST fast=yes ;;
  list) echo "$ALL" && exit 0 ;;
  -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" && exit 0 ;;
  *) stages=$* ;;
esac
for stage in $stages; do
  case " $ALL " in *" $stage "*) ;; *) fail "no stage '$stage'; there are: $ALL" || exit 2 ;; esac
done

table="" failed=""
for stage in $stages; do
  # The table comes before the tests, whose results are to be the last thing seen.
  [ "$stage" != test ] || [ -z "$table" ] || printf '\n==== so far\n%s' "$table"
  run_stage "$stage"
done

[ "$stage" = test ] || printf '\n==== summary\n%s' "$table"
[ -z "$failed" ] || { fail "FAILED:$failed" || exit 1; }
say "passed: $stages ($SECONDS s)"
