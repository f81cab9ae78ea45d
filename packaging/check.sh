#!/bin/bash
# Proves a release: every target's binary, packages and image, and what lies beside them.
#
#   packaging/check.sh [TARGET…]     checks dist/ (or $DIST); without a target all that it holds
#   packaging/check.sh --ci          makes a release and checks it, unless exactly this has passed before
#
# The power-cut test of a virtual board is not part of it: packaging/vm/powercut.py.
set -euo pipefail
# shellcheck source=common.sh
source "$(dirname "$0")/common.sh"

dist=$(realpath -m "${DIST:-$repository/dist}")

sums_hold() {
  (cd "$dist" && sha256sum --quiet -c SHA256SUMS)
  local unnamed
  unnamed=$(cd "$dist" && find . -type f ! -name SHA256SUMS -printf '%P\n' | grep -vxFf <(cut -c67- SHA256SUMS)) || true
  [ -z "$unnamed" ] || die "SHA256SUMS does not name $unnamed"
}

# By the schema of CycloneDX, in its own library.
sbom_holds() {
  if [ ! -e "$cache/cyclonedx/done" ]; then
    python3 -m venv "$cache/cyclonedx"
    timeout 600 "$cache/cyclonedx/bin/pip" install -q 'cyclonedx-python-lib[json-validation]==11.11.0' >&2
    touch "$cache/cyclonedx/done"
  fi
  "$cache/cyclonedx/bin/python" - "$dist/sbom.cdx.json" <<'PYTHON'
import json, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
text = open(sys.argv[1]).read()
fault = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
assert fault is None, fault
bom = json.loads(text)
known = {component["bom-ref"] for component in bom["components"]} | {bom["metadata"]["component"]["bom-ref"]}
named = {reference for entry in bom["dependencies"] for reference in [entry["ref"], *entry.get("dependsOn", [])]}
assert named <= known, named - known
print(f"sbom.cdx.json: {len(known)} components")
PYTHON
}

archive_holds() { # TARGET
  local name=leeward-$version-$1 listed file
  listed=$(tar -tzf "$dist/$name.tar.gz")
  for file in leeward LICENSE README.md completions/leeward.bash completions/_leeward completions/leeward.fish \
    man/leeward.1 man/leeward-run.1 systemd/leeward.service systemd/leeward.sysusers.conf systemd/leeward.tmpfiles.conf; do
    grep -qxF "$name/$file" <<< "$listed" || die "$name.tar.gz lacks $file"
  done
  ! tar -tvzf "$dist/$name.tar.gz" | awk '{ print $2 }' | grep -vx 0/0 || die "$name.tar.gz names an owner"
}

# The binary runs, and the image is one: by target. The packages differ by their architecture alone, so CI
# installs and removes those of one target only.
check() { # PACKAGES TARGET…, both lists
  local packaged=$1 target unpacked; shift
  version=$(sed -n 's/^version //p' "$dist/BUILDINFO")
  sums_hold
  sbom_holds
  unpacked=$(mktemp -d)
  for target in "$@"; do
    archive_holds "$target"
    tar -xzf "$dist/leeward-$version-$target.tar.gz" -C "$unpacked"
    "$packaging/check/binary.sh" "$target" "$unpacked/leeward-$version-$target/leeward"
    "$packaging/check/image.sh" "$target" "$dist"
  done
  for target in $packaged; do
    as_root env LEEWARD_CACHE="$cache" "$packaging/check/package.sh" "$target" "$dist"
  done
  rm -rf "$unpacked"
}

targets_in_dist() {
  local target
  for target in $ALL_TARGETS; do
    ! compgen -G "$dist/leeward-*-$target.tar.gz" > /dev/null || echo "$target"
  done
}

# What a release is made of, as git names it; with changes that are not committed, nothing.
fingerprint() {
  git -C "$repository" diff --quiet HEAD || return 1
  git -C "$repository" ls-tree HEAD agent packaging systemd Cargo.toml Cargo.lock .cargo LICENSE README.md CHANGELOG.md | sha256sum | cut -c1-16
}

# A cold run compiles everything three times with link-time optimisation, so what has passed is remembered
# beside the other caches.
continuous() {
  local passed fingerprint
  if fingerprint=$(fingerprint) && passed=$cache/release-passed/$fingerprint && [ -e "$passed" ]; then
    say "exactly this release has passed on this machine"
    return
  fi
  # Own folders: neither the tests' target folder nor a release that somebody is making is touched.
  export DIST=$cache/release-ci/dist CARGO_TARGET_DIR=$cache/release-ci/target
  dist=$DIST
  "$packaging/release.sh" "$(sed -n 's/^version = "\(.*\)"/\1/p' "$repository/Cargo.toml" | head -1)"
  # shellcheck disable=SC2086  # a list of words
  check armv7-unknown-linux-musleabihf $ALL_TARGETS
  [ -z "$fingerprint" ] || { mkdir -p "$cache/release-passed"; touch "$passed"; }
}

main() {
  case ${1:-} in
    -h | --help) usage ;;
    --ci) continuous ;;
    *)
      local targets=("$@")
      [ $# -gt 0 ] || mapfile -t targets < <(targets_in_dist)
      check "${targets[*]}" "${targets[@]}"
      ;;
  esac
}

main "$@"; exit
