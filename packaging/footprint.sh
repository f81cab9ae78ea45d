#!/bin/bash
# Writes docs/reference/footprint.md: what the binaries of a release take of a node.
#
#   packaging/footprint.sh [MINUTES]
#
# Measures dist/ (or $DIST), which packaging/release.sh has filled for all three targets: x86-64 on this
# machine, at rest for so many minutes (10); ARM by qemu's user emulators and on virtual boards. Takes half an
# hour, and wants a machine that does nothing else.
set -euo pipefail
# shellcheck source=common.sh
source "$(dirname "$0")/common.sh"

main() {
  case ${1:-} in -h | --help) usage; exit 0 ;; esac
  local dist version target arguments=()
  dist=$(realpath -m "${DIST:-$repository/dist}")
  version=$(sed -n 's/^version //p' "$dist/BUILDINFO")
  "$packaging/vm/vm.sh" setup arm64
  "$packaging/vm/vm.sh" setup armhf
  work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
  for target in $ALL_TARGETS; do
    tar -xzf "$dist/leeward-$version-$target.tar.gz" -C "$work"
    arguments+=(--released "$target=$work/leeward-$version-$target/leeward")
  done
  cd "$repository"
  cargo figures footprint --idle-minutes "${1:-10}" "${arguments[@]}" --page docs/reference/footprint.md
}

main "$@"; exit
