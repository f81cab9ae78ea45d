#!/bin/bash
# Finds out which functions run, and writes them to packaging/order/link-order.txt (see agent/build.rs).
#
#   packaging/order/train.sh
#
# Builds the binary for x86-64 with its symbols, and lets it run in qemu's emulator, which logs what it
# translates: `render` of a kustomization, the commands that people ask with, and a daemon that brings 200
# objects into a real control plane and rests. Worth doing again after a change of compiler or of much
# code; nothing breaks without it, the program only takes more memory.
set -euo pipefail
# shellcheck source=../common.sh
source "$(dirname "$0")/../common.sh"

readonly target=x86_64-unknown-linux-musl

# watch BENCH ARGUMENT…: runs a bench with the emulated program; what it ran is traced in $work/BENCH, a file
# a process. That an emulator takes more than is promised is no failure.
watch() {
  local traces=$work/$1 program=$work/$1.sh status=0
  say "watching $1"
  mkdir "$traces"
  cat > "$program" <<SCRIPT
#!/bin/sh
exec qemu-x86_64-static -d in_asm -D "$traces/\$\$.log" "$binary" "\$@"
SCRIPT
  chmod +x "$program"
  (cd "$repository" && LEEWARD_BIN=$program cargo figures "$@") >&2 || status=$?
  [ $status -le 1 ] || die "the bench $1 did not end"
}

main() {
  case ${1:-} in -h | --help) usage; exit 0 ;; esac
  apt_need binutils qemu-user-static
  "$packaging/toolchain.sh" setup "$target"
  work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
  local build=${CARGO_TARGET_DIR:-$repository/target}
  say "compiling with symbols"
  (
    cd "$repository"
    eval "$("$packaging/toolchain.sh" env)"
    CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=$build CARGO_PROFILE_RELEASE_STRIP=none \
      cargo build --quiet --release --locked --package leeward --target "$target"
  )
  binary=$work/leeward
  cp "$build/$target/release/leeward" "$binary"

  watch render --objects 100
  watch footprint --objects 200 --idle-minutes 1
  "$packaging/order/patterns.py" "$binary" "$work/render"/*.log --then "$work/footprint"/*.log > "$work/order"
  cp "$work/order" "$packaging/order/link-order.txt"
}

main "$@"; exit
