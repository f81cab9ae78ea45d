#!/bin/bash
# Proves that the image of a release is one, by tools that are not ours.
#
#   packaging/check/image.sh TARGET DIST
#
# skopeo copies it, which checks every digest, and tells its platform; umoci unpacks it; the binary in it is
# that of the release. What `docker load` reads of the archive is checked as well.
set -euo pipefail
# shellcheck source=../common.sh
source "$(dirname "$0")/../common.sh"

main() {
  case ${1:-} in -h | --help) usage; exit 0 ;; esac
  [ $# = 2 ] || { usage >&2; exit 64; }
  local dist target=$1 architecture platform version image
  dist=$(realpath "$2")
  read -r architecture _ _ platform _ < <(target_facts "$target")
  version=$(sed -n 's/^version //p' "$dist/BUILDINFO")
  image=$dist/leeward-$version-oci-$architecture.tar
  apt_need skopeo umoci
  work=$(mktemp -d); trap 'rm -rf "$work"' EXIT

  timeout 120 skopeo --insecure-policy copy --quiet "oci-archive:$image:$version" "oci:$work/oci:$version"
  timeout 120 skopeo --insecure-policy copy --quiet "docker-archive:$image:ghcr.io/leeward-dev/leeward:$version" "dir:$work/docker"
  timeout 60 skopeo inspect --config "oci:$work/oci:$version" > "$work/config.json"
  python3 - "$work/config.json" "$platform" <<'PYTHON'
import json, sys
config = json.load(open(sys.argv[1]))
platform = "/".join(filter(None, (config["architecture"], config.get("variant"))))
assert platform == sys.argv[2], platform
assert config["config"]["Entrypoint"] == ["/usr/bin/leeward"] and config["config"]["Cmd"] == ["run"], config["config"]
PYTHON
  timeout 120 umoci unpack --rootless --image "$work/oci:$version" "$work/bundle" > /dev/null
  tar -xzf "$dist/leeward-$version-$target.tar.gz" -C "$work"
  cmp "$work/bundle/rootfs/usr/bin/leeward" "$work/leeward-$version-$target/leeward"
  [ -x "$work/bundle/rootfs/usr/bin/leeward" ] || die "the binary in the image cannot be run"
  grep -c 'BEGIN CERTIFICATE' "$work/bundle/rootfs/etc/ssl/certs/ca-certificates.crt" > "$work/roots"
  [ "$(cat "$work/roots")" -gt 100 ] || die "the image trusts $(cat "$work/roots") authorities only"
  say "$target: image for $platform, $(stat -c %s "$image") bytes, $(cat "$work/roots") certificate authorities"
}

main "$@"; exit
