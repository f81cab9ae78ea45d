#!/bin/bash
# Makes the release of the last commit a second time, in another folder, and compares every byte.
#
#   packaging/check/reproducible.sh DIST TARGET…
#
# DIST was made from the same commit for the same targets. Takes as long as the release, so CI does not.
set -euo pipefail
# shellcheck source=../common.sh
source "$(dirname "$0")/../common.sh"

main() {
  case ${1:-} in -h | --help) usage; exit 0 ;; esac
  [ $# -ge 2 ] || { usage >&2; exit 64; }
  local dist version; dist=$(realpath "$1"); shift
  version=$(sed -n 's/^version //p' "$dist/BUILDINFO")
  work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
  git clone -q "$repository" "$work/again"
  DIST=$work/dist CARGO_TARGET_DIR=$work/target "$work/again/packaging/release.sh" "$version" "$@"
  diff "$dist/SHA256SUMS" "$work/dist/SHA256SUMS" || die "the second release differs"
  say "both releases are the same, byte by byte"
}

main "$@"; exit
