#!/usr/bin/env bash
# Fuzzes one target with coverage on the stable toolchain, without cargo-fuzz.
#
#   fuzz/run.sh TARGET [SECONDS [LIBFUZZER OPTION ...]]
#
# New inputs go to fuzz/artifacts/corpus/TARGET; what crashes goes to fuzz/artifacts/TARGET. An input worth keeping is
# copied to fuzz/corpus/TARGET, where `cargo test` replays it.
set -euo pipefail
cd "$(dirname "$0")"

target=${1:?give a target: $(cd fuzz_targets && echo *.rs | sed 's/\.rs//g')}
seconds=${2:-60}
shift $(($# < 2 ? $# : 2))
host=$(rustc -vV | sed -n 's/^host: //p')
flags="--cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module"
for option in level=4 inline-8bit-counters pc-table trace-compares; do
  flags="$flags -Cllvm-args=-sanitizer-coverage-$option"
done
env "CARGO_TARGET_$(echo "$host" | tr 'a-z-' 'A-Z_')_RUSTFLAGS=$flags" \
  cargo build --locked --quiet --release --target "$host" --bin "$target"
mkdir -p "artifacts/corpus/$target" "artifacts/$target"
exec "target/$host/release/$target" -max_total_time="$seconds" -max_len=4096 -artifact_prefix="artifacts/$target/" "$@" \
  "artifacts/corpus/$target" "corpus/$target"
