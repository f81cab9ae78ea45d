#!/bin/sh
# Whole-process time and memory: ours against the real one, on 100 objects with a prefix, labels and
# an image override. Usage: bench.sh KUSTOMIZE OURS…, for example
#   cargo build --release -p leeward-kustomize --example build
#   tests/kustomize/bench.sh bin/kustomize target/release/examples/build
# Needs GNU time. Prints the median of 21 runs, and the most memory of any.
set -eu
kustomize=$1
shift
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$(dirname "$0")/sample.sh" "$folder"
measure() {
    for _ in $(seq 21); do
        start=$(date +%s%N)
        /usr/bin/time -f %M -o "$folder/memory" "$@" "$folder" > "$folder/output"
        echo "$((($(date +%s%N) - start) / 10000)) $(cat "$folder/memory")"
    done | sort -n | awk -v name="$1" '
        { time[NR] = $1; if ($2 > memory) memory = $2 }
        END { printf "%s: %.2f ms, %.1f MiB\n", name, time[11] / 100, memory / 1024 }'
    cksum < "$folder/output"
}

measure "$kustomize" build
measure "$@"
