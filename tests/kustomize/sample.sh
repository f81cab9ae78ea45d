#!/bin/sh
# The kustomization that is measured: 100 objects with a prefix, labels and an image override.
# Usage: sample.sh FOLDER
set -eu
folder=$1
mkdir -p "$folder/base"
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
