#!/bin/bash
# Proves that a released binary stands on its own.
#
#   packaging/check/binary.sh TARGET BINARY
#
# It is static and small; and run by the emulator of its processor it tells its version, checks a
# configuration, renders a folder, opens its store with neither API server nor repository there, and tells
# afterwards what the store holds. A second start on the same store counts on.
set -euo pipefail
# shellcheck source=../common.sh
source "$(dirname "$0")/../common.sh"

readonly MAX_BYTES=$((12 * 1024 * 1024))

is_static() { # BINARY
  local kind; kind=$(file -b "$1")
  case $kind in
    *'statically linked'* | *'static-pie linked'*) ;;
    *) die "$1 is not static: $kind" ;;
  esac
  ! readelf -d "$1" | grep -q NEEDED || die "$1 needs shared libraries"
}

is_small() { # BINARY
  local bytes; bytes=$(stat -c %s "$1")
  [ "$bytes" -le $MAX_BYTES ] || die "$1 has $bytes bytes, of $MAX_BYTES"
  printf '%s: %s bytes\n' "$target" "$bytes"
}

# No build machine's folders in what people run.
is_anonymous() { # BINARY
  ! grep -aqE "$HOME/|$repository/|$cache/" "$1" || die "$1 tells where it was built"
}

sample() { # FOLDER
  mkdir -p "$1/apps"
  # The discard port of this machine: a refusal at once, and nobody else is asked.
  cat > "$1/agent.toml" <<CONFIG
[cluster]
name = "sample"
kubeconfig = "$1/kubeconfig"
[source]
url = "http://127.0.0.1:9/fleet.git"
path = "apps"
[store]
path = "$1/store"
[control]
socket = "$1/control.sock"
CONFIG
  cat > "$1/kubeconfig" <<CONFIG
apiVersion: v1
kind: Config
clusters: [{ name: none, cluster: { server: "http://127.0.0.1:9" } }]
users: [{ name: nobody, user: { token: none } }]
contexts: [{ name: none, context: { cluster: none, user: nobody } }]
current-context: none
CONFIG
  cat > "$1/apps/settings.yaml" <<MANIFEST
apiVersion: v1
kind: ConfigMap
metadata: { name: settings, namespace: default }
data: { greeting: hello }
MANIFEST
}

leeward() { timeout 60 "${run[@]}" "$binary" "$@"; }

# starts N: the agent runs for some seconds, ends by SIGTERM, and has counted its Nth boot.
starts() {
  local status=0 boot
  timeout --signal=TERM 8 "${run[@]}" "$binary" run --config "$work/agent.toml" > "$work/log" 2>&1 || status=$?
  [ $status = 124 ] || { cat "$work/log" >&2; die "the agent ended by itself, with $status"; }
  grep -q 'Cannot fetch the source; will retry' "$work/log" || { cat "$work/log" >&2; die "the agent did not try to fetch"; }
  boot=$(leeward status --config "$work/agent.toml" --output json 2> /dev/null |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["agent"]["boot"])')
  [ "$boot" = "$1" ] || die "the store tells boot $boot, not $1"
}

main() {
  case ${1:-} in -h | --help) usage; exit 0 ;; esac
  [ $# = 2 ] || { usage >&2; exit 64; }
  target=$1 binary=$2 run=()
  local qemu
  read -r _ _ _ _ qemu < <(target_facts "$target")
  apt_need file binutils qemu-user-static
  [ "$qemu" = x86_64 ] || run=("qemu-$qemu-static")
  work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
  is_static "$binary"
  is_small "$binary"
  is_anonymous "$binary"
  sample "$work"
  leeward version
  leeward check --offline --config "$work/agent.toml"
  leeward render "$work/apps" | grep -q 'greeting: hello' || die "render printed no greeting"
  starts 1
  starts 2
  say "$target: the binary stands on its own"
}

main "$@"; exit
