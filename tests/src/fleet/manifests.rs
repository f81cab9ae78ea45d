//! What one cluster of the monorepo runs: 12 files, some 15 KB, in two levels.

/// File names and contents, of the cluster's given version.
pub(super) fn of_cluster(cluster: u32, version: u32) -> Vec<(String, String)> {
    let mut files = vec![
        (String::from("namespace.yaml"), namespace(cluster)),
        (String::from("settings.yaml"), settings(cluster, version)),
        (String::from("network.yaml"), network(cluster)),
        (String::from("access.yaml"), access(cluster)),
    ];
    for (index, app) in ["shop", "till", "stock", "sync"].into_iter().enumerate() {
        let port = 8080 + u32::try_from(index).unwrap_or(0);
        files.push((format!("apps/{app}.yaml"), deployment(cluster, app, port)));
        files.push((format!("apps/{app}-service.yaml"), service(cluster, app, port)));
    }
    files
}

/// The file that a commit to this cluster changes, in that version.
pub(super) fn changed_file(cluster: u32, version: u32) -> (String, String) {
    (String::from("settings.yaml"), settings(cluster, version))
}

fn region(cluster: u32) -> &'static str {
    ["north", "east", "south", "west", "islands"][cluster as usize % 5]
}

fn labels(cluster: u32, name: &str) -> String {
    format!(
        "    app.kubernetes.io/name: {name}\n    app.kubernetes.io/part-of: store\n    \
         example.com/cluster: edge-{cluster:04}\n    example.com/region: {}\n",
        region(cluster)
    )
}

fn namespace(cluster: u32) -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: store-{cluster:04}\n  \
         labels:\n{labels}    pod-security.kubernetes.io/enforce: baseline\n---\napiVersion: \
         v1\nkind: ResourceQuota\nmetadata:\n  name: store\n  namespace: \
         store-{cluster:04}\n  labels:\n{labels}spec:\n  hard:\n    pods: \"{pods}\"\n    \
         requests.cpu: \"{cores}\"\n    requests.memory: {memory}Gi\n",
        labels = labels(cluster, "store"),
        pods = 20 + cluster % 7,
        cores = 4 + cluster % 5,
        memory = 8 + cluster % 9,
    )
}

fn settings(cluster: u32, version: u32) -> String {
    let head = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\n  namespace: \
         store-{cluster:04}\n  labels:\n{}data:\n  version: \"{version}\"\n  store.id: \
         \"{}\"\n  store.timezone: Europe/Paris\n",
        labels(cluster, "settings"),
        100_000 + cluster * 37,
    );
    let network = format!("10.{}.{}", cluster / 250, cluster % 250);
    let lanes = [(10, "front"), (11, "back"), (12, "garden"), (13, "pharmacy"), (14, "fuel")];
    let lanes = lanes.map(|(host, lane)| {
        format!(
            "  lane.{lane}.address: {network}.{host}\n  lane.{lane}.printer: \
             escpos://{network}.{}:9100\n  lane.{lane}.enabled: \"{}\"\n",
            host + 100,
            !(cluster + host).is_multiple_of(3),
        )
    });
    head + &lanes.concat()
}

fn network(cluster: u32) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: inside-only\n  \
         namespace: store-{cluster:04}\n  labels:\n{}spec:\n  podSelector: {{}}\n  policyTypes:\n  \
         - Ingress\n  ingress:\n  - from:\n    - namespaceSelector:\n        matchLabels:\n          \
         kubernetes.io/metadata.name: store-{cluster:04}\n    - ipBlock:\n        cidr: \
         10.{}.{}.0/24\n    ports:\n    - port: 8080\n      protocol: TCP\n    - port: 8081\n      \
         protocol: TCP\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: \
         shop\n  namespace: store-{cluster:04}\n  labels:\n{}spec:\n  rules:\n  - host: \
         shop.edge-{cluster:04}.{}.example.com\n    http:\n      paths:\n      - path: /\n        \
         pathType: Prefix\n        backend:\n          service:\n            name: shop\n            \
         port:\n              number: 80\n",
        labels(cluster, "network"),
        cluster / 250,
        cluster % 250,
        labels(cluster, "shop"),
        region(cluster),
    )
}

fn access(cluster: u32) -> String {
    format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: store\n  namespace: \
         store-{cluster:04}\n  labels:\n{}automountServiceAccountToken: false\n---\napiVersion: \
         rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: store\n  namespace: \
         store-{cluster:04}\n  labels:\n{}rules:\n- apiGroups: [\"\"]\n  resources: [configmaps]\n  \
         verbs: [get, list, watch]\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: \
         RoleBinding\nmetadata:\n  name: store\n  namespace: store-{cluster:04}\n  \
         labels:\n{}roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: Role\n  name: \
         store\nsubjects:\n- kind: ServiceAccount\n  name: store\n  namespace: \
         store-{cluster:04}\n",
        labels(cluster, "store"),
        labels(cluster, "store"),
        labels(cluster, "store"),
    )
}

fn deployment(cluster: u32, app: &str, port: u32) -> String {
    let replicas = 1 + (cluster + port) % 3;
    let millicores = 50 + (cluster * 7 + port) % 200;
    let mebibytes = 64 + (cluster * 3 + port) % 128;
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {app}\n  namespace: \
         store-{cluster:04}\n  labels:\n{labels}spec:\n  replicas: {replicas}\n  \
         revisionHistoryLimit: 2\n  selector:\n    matchLabels:\n      app.kubernetes.io/name: \
         {app}\n      example.com/cluster: edge-{cluster:04}\n  strategy:\n    type: \
         RollingUpdate\n    rollingUpdate:\n      maxSurge: 1\n      maxUnavailable: 0\n  \
         template:\n    metadata:\n      labels:\n        app.kubernetes.io/name: {app}\n        \
         example.com/cluster: edge-{cluster:04}\n      annotations:\n        \
         prometheus.io/scrape: \"true\"\n        prometheus.io/port: \"{port}\"\n    spec:\n      \
         serviceAccountName: store\n      terminationGracePeriodSeconds: 20\n      \
         securityContext:\n        runAsNonRoot: true\n        runAsUser: 10001\n        \
         seccompProfile:\n          type: RuntimeDefault\n      containers:\n      - name: {app}\n        \
         image: registry.example.com/store/{app}:4.{minor}.{patch}\n        args:\n        - \
         --listen=:{port}\n        - --store=edge-{cluster:04}\n        ports:\n        - name: \
         http\n          containerPort: {port}\n        envFrom:\n        - configMapRef:\n            \
         name: settings\n        resources:\n          requests:\n            cpu: \
         {millicores}m\n            memory: {mebibytes}Mi\n          limits:\n            memory: \
         {limit}Mi\n        readinessProbe:\n          httpGet:\n            path: /ready\n            \
         port: http\n          periodSeconds: 5\n        livenessProbe:\n          httpGet:\n            \
         path: /alive\n            port: http\n          initialDelaySeconds: 10\n          \
         periodSeconds: 15\n        securityContext:\n          allowPrivilegeEscalation: false\n          \
         readOnlyRootFilesystem: true\n          capabilities:\n            drop: [ALL]\n        \
         volumeMounts:\n        - name: scratch\n          mountPath: /tmp\n        - name: \
         receipts\n          mountPath: /var/lib/{app}/receipts\n      topologySpreadConstraints:\n      \
         - maxSkew: 1\n        topologyKey: kubernetes.io/hostname\n        whenUnsatisfiable: \
         ScheduleAnyway\n        labelSelector:\n          matchLabels:\n            \
         app.kubernetes.io/name: {app}\n      volumes:\n      - name: scratch\n        emptyDir:\n          \
         sizeLimit: 64Mi\n      - name: receipts\n        emptyDir:\n          sizeLimit: {limit}Mi\n",
        labels = labels(cluster, app),
        minor = cluster % 12,
        patch = cluster % 30,
        limit = mebibytes * 2,
    )
}

fn service(cluster: u32, app: &str, port: u32) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {app}\n  namespace: \
         store-{cluster:04}\n  labels:\n{}  annotations:\n    example.com/owner: \
         store-platform@example.com\n    example.com/runbook: \
         https://runbooks.example.com/store/{app}\nspec:\n  type: ClusterIP\n  selector:\n    \
         app.kubernetes.io/name: {app}\n    example.com/cluster: edge-{cluster:04}\n  ports:\n  - \
         name: http\n    port: 80\n    targetPort: {port}\n    protocol: TCP\n",
        labels(cluster, app),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_has_12_files_of_15_kilobytes_together() {
        let files = of_cluster(42, 1);
        let bytes: usize = files.iter().map(|(_, content)| content.len()).sum();
        assert!(
            files.len() == 12 && (14_500..15_500).contains(&bytes),
            "{} files, {bytes} bytes",
            files.len()
        );
    }
}
