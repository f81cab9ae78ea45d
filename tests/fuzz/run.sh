#!/bin/bash
# Fuzzes: `run.sh [--seconds N] [--together] [TARGET…]`; all targets, 3,600 s each, unless told.
# Installs what it needs (nightly Rust through rustup, cargo-fuzz); a C++ compiler must be there.
# What is found is minimised into tests/fuzz/findings/TARGET; the last lines are a table.
set -euo pipefail
cd "$(dirname "$0")"

cargo_fuzz_version=0.13.2
# Of one input: more is a finding, as is more memory.
input_seconds_max=10
memory_mib_max=512
input_bytes_max=16384

seconds=3600 together=false targets=()
while [ $# -gt 0 ]; do
  case "$1" in
    --seconds) seconds="$2"; shift ;;
    --together) together=true ;;
    -*) sed -n 2,4p "$0" >&2; exit 64 ;;
    *) targets+=("$1") ;;
  esac
  shift
done
[ ${#targets[@]} -gt 0 ] || targets=(yaml kustomization patches substitution sops)
for target in "${targets[@]}"; do
  [ -f "libfuzzer/fuzz_targets/$target.rs" ] || { echo "there is no target $target" >&2; exit 64; }
done

cache="${LEEWARD_CACHE:-$HOME/.cache/leeward}"
export PATH="$cache/tools/bin:$PATH" CARGO_INCREMENTAL=0
cargo +nightly --version >/dev/null 2>&1 || rustup toolchain install nightly --profile minimal
[ "$(cargo-fuzz --version 2>/dev/null)" = "cargo-fuzz $cargo_fuzz_version" ] ||
  cargo install cargo-fuzz --version "=$cargo_fuzz_version" --locked --force --root "$cache/tools"

# The code is safe Rust: its own checks find what a sanitizer would, at a multiple of the speed.
built="${CARGO_TARGET_DIR:-$PWD/../../target}/libfuzzer"
CARGO_TARGET_DIR="$built" cargo +nightly fuzz build --fuzz-dir libfuzzer --sanitizer none --debug-assertions
programs="$built/$(rustc +nightly -vV | sed -n 's/^host: //p')/release"

# What a run has learnt is the start of the next one; too much of it to be committed.
fuzz() {
  local target="$1" learnt="$cache/fuzz/$1" found="findings/$1"
  mkdir -p "$learnt" "$found" "regressions/$target"
  local status=0
  TIMEFORMAT='took %R %U %S'
  { time nice -n 19 "$programs/$target" -artifact_prefix="$found/" -dict="dictionaries/$target.dict" \
    -timeout=$input_seconds_max -rss_limit_mb=$memory_mib_max -max_len=$input_bytes_max \
    -max_total_time="$seconds" -print_final_stats=1 \
    "$learnt" "corpus/$target" "regressions/$target"; } >"$found/log" 2>&1 || status=$?
  [ $status = 0 ] || minimise "$target" || true
  return $status
}

minimise() {
  local input
  for input in "findings/$1"/{crash,oom,timeout}-*; do
    [ -f "$input" ] || continue
    "$programs/$1" -minimize_crash=1 -max_total_time=60 -timeout=$input_seconds_max \
      -rss_limit_mb=$memory_mib_max -exact_artifact_path="findings/$1/minimised-${input##*/}" \
      "$input" >"findings/$1/minimise.log" 2>&1 || true
  done
}

row() {
  local log="findings/$1/log" wall user system executions coverage
  read -r wall user system < <(sed -n 's/^took //p' "$log" | tail -n 1)
  executions="$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
  coverage="$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)"
  printf '%-14s %9s %9s %12s %8s %8s  %s\n' "$1" "${wall%.*}" \
    "$(awk "BEGIN { printf \"%d\", ${user:-0} + ${system:-0} }")" "${executions:-?}" \
    "${coverage#cov: }" "$(find "$cache/fuzz/$1" -type f | wc -l)" \
    "$(find "findings/$1" -name 'crash-*' -o -name 'oom-*' -o -name 'timeout-*' | wc -l)"
}

failed=0
if $together; then
  pids=()
  for target in "${targets[@]}"; do fuzz "$target" & pids+=($!); done
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
else
  for target in "${targets[@]}"; do fuzz "$target" || failed=1; done
fi
printf '%-14s %9s %9s %12s %8s %8s  %s\n' target 'wall s' 'CPU s' executions edges corpus findings
for target in "${targets[@]}"; do row "$target"; done
[ $failed = 0 ] || echo "findings: tests/fuzz/findings; see docs/reference/fuzzing.md" >&2
exit $failed
