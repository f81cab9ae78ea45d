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
mkdir "$folder/base"
{
    echo 'resources:'
    for i in $(seq 50); do
        echo "- deployment-$i.yaml"
        echo "- service-$i.yaml"
        cat > "$folder/base/deployment-$i.yaml" <<END
apiVersion: apps/v1
kind: Deployment
metadata: {name: app-$i}
spec:
  replicas: 2
  selector: {matchLabels: {app: app-$i}}
  template:
    metadata: {labels: {app: app-$i}}
    spec:
      containers:
      - name: web
        image: registry.example.com/shop/web:1.0.$i
        args: ["--port=8080", "--verbose"]
        env:
        - {name: MODE, value: production}
        - {name: CONFIG, valueFrom: {configMapKeyRef: {name: config-$i, key: a}}}
        ports: [{containerPort: 8080}]
        resources: {limits: {cpu: 100m, memory: 128Mi}}
END
        cat > "$folder/base/service-$i.yaml" <<END
apiVersion: v1
kind: Service
metadata: {name: app-$i}
spec: {selector: {app: app-$i}, ports: [{port: 80, targetPort: 8080}]}
END
    done
} > "$folder/base/kustomization.yaml"
cat > "$folder/kustomization.yaml" <<'END'
resources: [base]
namePrefix: prod-
labels: [{pairs: {team: shop, env: prod}, includeSelectors: true}]
images: [{name: registry.example.com/shop/web, newTag: 2.0.0}]
END

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
