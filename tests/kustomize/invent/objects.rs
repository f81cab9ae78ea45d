//! Objects of the kinds that people deploy.

use serde_json::{Value, json};

use super::{IMAGES, Inventor, NAMES, NAMESPACES};

/// Kinds, the everyday ones several times.
const KINDS: [&str; 30] = [
    "Deployment",
    "Deployment",
    "Deployment",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "CronJob",
    "Pod",
    "Service",
    "Service",
    "ConfigMap",
    "ConfigMap",
    "Secret",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ServiceAccount",
    "Ingress",
    "HorizontalPodAutoscaler",
    "PersistentVolumeClaim",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "ValidatingWebhookConfiguration",
    "Namespace",
    "CustomResourceDefinition",
    "StorageClass",
    "Certificate",
    "Foo",
];

const CLUSTER_SCOPED: [&str; 6] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingWebhookConfiguration",
    "Namespace",
    "CustomResourceDefinition",
    "StorageClass",
];

fn api_version(kind: &str) -> &'static str {
    match kind {
        "Deployment" | "StatefulSet" | "DaemonSet" => "apps/v1",
        "Job" | "CronJob" => "batch/v1",
        "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding" => {
            "rbac.authorization.k8s.io/v1"
        }
        "Ingress" | "NetworkPolicy" => "networking.k8s.io/v1",
        "HorizontalPodAutoscaler" => "autoscaling/v2",
        "PodDisruptionBudget" => "policy/v1",
        "ValidatingWebhookConfiguration" => "admissionregistration.k8s.io/v1",
        "CustomResourceDefinition" => "apiextensions.k8s.io/v1",
        "StorageClass" => "storage.k8s.io/v1",
        "Certificate" => "cert-manager.io/v1",
        "Foo" => "ex.io/v1",
        _ => "v1",
    }
}

impl Inventor {
    /// One that is not there yet, if there is one.
    pub(super) fn object(&mut self) -> Value {
        let (mut kind, mut name) = (self.one_of(&KINDS), self.name());
        for _ in 0..30 {
            if self.seen.insert((kind.to_owned(), name.to_owned())) {
                break;
            }
            (kind, name) = (self.one_of(&KINDS), self.name());
        }
        let mut object = json!({
            "apiVersion": api_version(kind), "kind": kind, "metadata": self.metadata(kind, name),
        });
        let Some(fields) = object.as_object_mut() else { return object };
        if let Value::Object(own) = self.fields(kind) {
            fields.extend(own);
        }
        object
    }

    fn metadata(&mut self, kind: &str, name: &str) -> Value {
        let mut metadata = json!({ "name": name });
        if !CLUSTER_SCOPED.contains(&kind) && self.chance(30) {
            metadata["namespace"] = json!(self.one_of(&NAMESPACES));
        }
        if self.chance(40) {
            let label = self.one_of(&["app", "tier", "x/y"]);
            metadata["labels"] = json!({ label: self.one_of(&["a", "b", "web", "true", "1"]) });
        }
        if self.chance(30) {
            for key in self.some(&["note", "example.com/a", "z"], 2) {
                metadata["annotations"][key] = json!(self.text());
            }
        }
        metadata
    }

    fn fields(&mut self, kind: &str) -> Value {
        match kind {
            "Deployment" | "StatefulSet" | "DaemonSet" | "Job" | "CronJob" | "Pod" => {
                self.workload(kind)
            }
            "ConfigMap" => json!({ "data": self.data() }),
            "Secret" if self.chance(50) => json!({ "type": "Opaque", "stringData": self.data() }),
            "Secret" => json!({ "data": { "k": "djE=", "tls.crt": "" } }),
            "Role" | "ClusterRole" => {
                let mut rule =
                    json!({ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"] });
                if self.chance(40) {
                    rule["resourceNames"] = json!(self.some(&NAMES, 3));
                }
                json!({ "rules": [rule] })
            }
            "RoleBinding" | "ClusterRoleBinding" => {
                let kind = self.one_of(&["Role", "ClusterRole"]);
                let role = json!({ "apiGroup": api_version("Role").trim_end_matches("/v1"), "kind": kind, "name": self.name() });
                let subjects: Vec<Value> =
                    (0..=self.seed.below(3)).map(|_| self.subject()).collect();
                json!({ "roleRef": role, "subjects": subjects })
            }
            "ServiceAccount" if self.chance(40) => {
                json!({ "imagePullSecrets": [{ "name": self.name() }] })
            }
            "ServiceAccount" | "Namespace" => json!({}),
            "StorageClass" => json!({ "provisioner": "p" }),
            "ValidatingWebhookConfiguration" => {
                json!({ "webhooks": [{ "name": "a.b.c", "clientConfig": {
                "service": { "name": self.name(), "namespace": self.one_of(&NAMESPACES) } } }] })
            }
            _ => json!({ "spec": self.spec(kind) }),
        }
    }

    fn spec(&mut self, kind: &str) -> Value {
        let other = self.name();
        match kind {
            "Service" => {
                let ports: Vec<Value> = self
                    .some(&[80, 443], 2)
                    .into_iter()
                    .map(|port| match self.index(3) {
                        0 => json!({ "port": port, "targetPort": "http", "protocol": "TCP" }),
                        1 => json!({ "port": port, "name": format!("n{port}") }),
                        _ => json!({ "port": port }),
                    })
                    .collect();
                json!({ "ports": ports, "selector": { "app": "a" } })
            }
            "Ingress" => json!({
                "ingressClassName": self.name(), "tls": [{ "secretName": other }],
                "rules": [{ "host": "h", "http": { "paths": [{ "path": "/", "pathType": "Prefix",
                    "backend": { "service": { "name": self.name(), "port": { "number": 80 } } } }] } }],
            }),
            "HorizontalPodAutoscaler" => json!({ "maxReplicas": 3, "scaleTargetRef": {
                "apiVersion": "apps/v1", "kind": self.one_of(&["Deployment", "StatefulSet"]), "name": other } }),
            "PersistentVolumeClaim" => {
                json!({ "storageClassName": other, "volumeName": self.name() })
            }
            "NetworkPolicy" => json!({
                "podSelector": self.one_of(&[json!({}), json!({ "matchLabels": { "app": "a" } })]),
                "ingress": [{ "from": [{ "podSelector": { "matchLabels": { "app": "b" } } }] }],
            }),
            "PodDisruptionBudget" => json!({
                "minAvailable": self.one_of(&[json!(1), json!("50%")]),
                "selector": { "matchLabels": { "app": "a" } },
            }),
            "CustomResourceDefinition" => json!({
                "group": "ex.io", "names": { "kind": "Foo", "plural": "foos" }, "scope": "Namespaced",
                "versions": [{ "name": "v1" }],
            }),
            "Certificate" => {
                json!({ "secretName": other, "issuerRef": { "name": self.name(), "kind": "Issuer" } })
            }
            _ => json!({
                "list": [{ "name": "a", "v": self.text() }, { "name": "b", "v": self.value() }],
                "replicas": 1, "image": self.one_of(&IMAGES), "secretName": other,
                "deep": { "er": [self.value(), self.text()], "empty": self.one_of(&[json!({}), json!([])]) },
            }),
        }
    }

    fn subject(&mut self) -> Value {
        let kind = self.one_of(&["ServiceAccount", "ServiceAccount", "User"]);
        let mut subject = json!({ "kind": kind, "name": self.name() });
        if self.chance(20) {
            subject["name"] = json!("default");
        }
        if kind == "ServiceAccount" && self.chance(70) {
            subject["namespace"] = json!(self.one_of(&NAMESPACES));
        }
        subject
    }

    fn data(&mut self) -> Value {
        let keys = self.some(&["k", "key.txt", "Z", "other"], 3);
        keys.into_iter()
            .map(|key| (key.to_owned(), json!(self.text())))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    fn workload(&mut self, kind: &str) -> Value {
        let pod = self.pod();
        if kind == "Pod" {
            return json!({ "spec": pod });
        }
        let mut spec = json!({ "template": { "spec": pod } });
        if self.chance(80) {
            spec["template"]["metadata"]["labels"]["app"] = json!(self.one_of(&["a", "web"]));
        }
        match kind {
            "Job" => {}
            "CronJob" => {
                spec = json!({ "schedule": "* * * * *", "jobTemplate": { "spec": spec } });
            }
            _ => {
                if self.chance(70) {
                    spec["selector"]["matchLabels"]["app"] = json!("a");
                }
                if kind != "DaemonSet" && self.chance(60) {
                    spec["replicas"] = json!(self.index(6));
                }
                if kind == "StatefulSet" {
                    spec["serviceName"] = json!(self.name());
                    spec["volumeClaimTemplates"] = json!([{ "metadata": { "name": "data" }, "spec": { "storageClassName": self.name() } }]);
                }
            }
        }
        json!({ "spec": spec })
    }

    fn pod(&mut self) -> Value {
        let names = self.some(&["main", "side", "web"], 3);
        let containers: Vec<Value> = names.into_iter().map(|name| self.container(name)).collect();
        let mut pod = json!({ "containers": containers });
        if self.chance(20) {
            pod["initContainers"] = json!([self.container("init")]);
        }
        if self.chance(40) {
            let other = self.name();
            pod["volumes"] = json!([self.one_of(&[
                json!({ "name": "v1", "emptyDir": {} }),
                json!({ "name": "v1", "configMap": { "name": other } }),
                json!({ "name": "v1", "secret": { "secretName": other } }),
                json!({ "name": "v1", "persistentVolumeClaim": { "claimName": other } }),
                json!({ "name": "v1", "projected": { "sources": [{ "configMap": { "name": other } }] } }),
            ])]);
        }
        if self.chance(30) {
            pod["serviceAccountName"] = json!(self.name());
        }
        if self.chance(15) {
            pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
                json!([{ "labelSelector": { "matchLabels": { "app": "a" } }, "topologyKey": "h" }]);
        }
        pod
    }

    pub(super) fn container(&mut self, name: &str) -> Value {
        let mut container = json!({ "name": name, "image": self.one_of(&IMAGES) });
        if self.chance(50) {
            let other = self.name();
            let value = self.text();
            container["env"] = json!(self.some(
                &[
                    json!({ "name": "A", "value": value }),
                    json!({ "name": "B", "valueFrom": { "configMapKeyRef": { "name": other, "key": "k" } } }),
                    json!({ "name": "C", "valueFrom": { "secretKeyRef": { "name": other, "key": "k" } } }),
                ],
                3,
            ));
        }
        if self.chance(40) {
            container["ports"] = json!(self.some(
                &[
                    json!({ "containerPort": 80 }),
                    json!({ "containerPort": 8080, "protocol": "TCP", "name": "http" }),
                    json!({ "containerPort": 53, "protocol": "UDP" }),
                ],
                3,
            ));
        }
        if self.chance(30) {
            container["command"] = json!(["sh", "-c", self.text()]);
        }
        if self.chance(30) {
            container["volumeMounts"] = json!([{ "name": "v1", "mountPath": "/v1" }]);
        }
        container
    }
}
