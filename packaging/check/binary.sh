#!/bin/bash
# Proves that a released binary stands on its own.
#
#   packaging/check/binary.sh TARGET BINARY
#
# It is static and small; and run by the emulator of its processor it tells its version, checks a
# configuration, renders a folder, builds a kustomization with an encrypted file in it, opens its store with
# neither API server nor repository there, and tells afterwards what the store holds. A second start on the
# same store counts on.
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

# The encrypted file and its throwaway key are test vectors of the real SOPS.
kustomization() { # FOLDER
  local vectors=$repository/agent/sops/src/vectors
  mkdir -p "$1/base" "$1/site"
  install -m600 "$vectors/keys.txt" "$1/age.key"
  cp "$vectors/age.yaml" "$1/base/"
  cat > "$1/base/kustomization.yaml" <<MANIFEST
resources: [age.yaml, web.yaml]
configMapGenerator: [{ name: settings, literals: ["greeting=hello, \${site}"] }]
MANIFEST
  cat > "$1/base/web.yaml" <<MANIFEST
apiVersion: v1
kind: Pod
metadata: { name: web }
spec:
  containers: [{ name: main, image: "pause:1", envFrom: [{ configMapRef: { name: settings } }] }]
MANIFEST
  cat > "$1/site/kustomization.yaml" <<MANIFEST
namePrefix: north-
resources: [../base]
images: [{ name: pause, newTag: "2" }]
patches: [{ target: { kind: Pod }, patch: '[{ "op": "add", "path": "/metadata/labels", "value": { "a": "b" } }]' }]
MANIFEST
}

leeward() { timeout 60 "${run[@]}" "$binary" "$@"; }

# starts N: the agent runs until it has tried to fetch, ends in order by SIGTERM, and has counted its Nth boot.
starts() {
  local agent boot tries=0 log=$work/log-$1
  "${run[@]}" "$binary" run --config "$work/agent.toml" > "$log" 2>&1 &
  agent=$!
  until grep -qs 'Cannot fetch the source; will retry' "$log"; do
    if ! kill -0 $agent 2> /dev/null || [ $((tries += 1)) -gt 300 ]; then
      cat "$log" >&2
      kill -KILL $agent 2> /dev/null || true
      die "the agent did not try to fetch"
    fi
    sleep 0.2
  done
  kill -TERM $agent
  wait $agent || { cat "$log" >&2; die "the agent did not end in order"; }
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
  kustomization "$work/fleet"
  leeward render "$work/fleet/site" --sops-age-key "$work/fleet/age.key" --set site=harbour > "$work/built"
  diff "$packaging/check/built.yaml" "$work/built" || die "render did not build what it should"
  starts 1
  starts 2
  say "$target: the binary stands on its own"
}

main "$@"; exit
