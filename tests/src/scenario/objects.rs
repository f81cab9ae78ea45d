//! Manifests for scenarios, as JSON, and what a test reads from live objects.

use serde_json::{Value, json};

/// Runs well on simulated nodes, and on real ones for ever.
pub const GOOD_IMAGE: &str = "registry.k8s.io/pause:3.10";

/// Several manifests as one file of YAML documents; JSON is YAML.
pub fn documents(manifests: &[Value]) -> String {
    manifests.iter().map(|manifest| format!("---\n{manifest:#}\n")).collect()
}

pub fn namespace(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })
}

pub fn config_map(namespace: &str, name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": namespace },
        "data": { "key": value },
    })
}

/// One replica, whose label `app` is the name.
pub fn deployment(namespace: &str, name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name, "namespace": namespace },
        "spec": { "replicas": 1, "selector": selector(name), "template": pod(name, image) },
    })
}

/// A claim of 1 GiB.
pub fn claim(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": "1Gi" } },
        },
    })
}

/// `leeward.yaml` with these apps, each in the folder of its own name, and with what
/// more is said of it.
pub fn apps(entries: &[(&str, &str)]) -> String {
    let lines: String = entries
        .iter()
        .map(|(name, more)| format!("- name: {name}\n  path: {name}\n{more}"))
        .collect();
    format!("apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps:\n{lines}")
}

pub fn service(namespace: &str, name: &str, port: u32) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name, "namespace": namespace },
        "spec": { "selector": { "app": name }, "ports": [{ "name": "http", "port": port }] },
    })
}

/// So many objects, a third each of ConfigMaps, Deployments and Services, of
/// which the Deployments have this many replicas.
pub fn thirds(namespace: &str, count: usize, replicas: u32) -> Vec<Value> {
    let group = |index: usize| {
        let mut web = deployment(namespace, &format!("web-{index}"), GOOD_IMAGE);
        web["spec"]["replicas"] = json!(replicas);
        [
            config_map(namespace, &format!("map-{index}"), "1"),
            web,
            service(namespace, &format!("service-{index}"), 80),
        ]
    };
    (0..count.div_ceil(3)).flat_map(group).take(count).collect()
}

/// A namespaced kind of the group `GROUP`, which keeps whatever its objects say.
pub fn definition(group: &str, kind: &str) -> Value {
    let singular = kind.to_lowercase();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{singular}s.{group}") },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": { "kind": kind, "singular": singular, "plural": format!("{singular}s") },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                }},
            }],
        },
    })
}

/// An object of such a kind.
pub fn custom(group: &str, kind: &str, namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": format!("{group}/v1"),
        "kind": kind,
        "metadata": { "name": name, "namespace": namespace },
        "spec": { "size": 3 },
    })
}

pub fn selector(name: &str) -> Value {
    json!({ "matchLabels": { "app": name } })
}

pub fn pod(name: &str, image: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": name } },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{ "name": "main", "image": image }],
        },
    })
}

/// The manifest with one more annotation.
#[must_use]
pub fn annotated(mut manifest: Value, name: &str, value: &str) -> Value {
    manifest["metadata"]["annotations"][name] = json!(value);
    manifest
}

/// The text at an RFC 6901 pointer; empty when there is none.
pub fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub fn uid(object: &Value) -> String {
    text(object, "/metadata/uid")
}

/// The image of a workload's first container.
pub fn image(object: &Value) -> String {
    text(object, "/spec/template/spec/containers/0/image")
}

/// The store's revision at which an object was written last; ascending in time.
pub fn written_at(object: &Value) -> u64 {
    text(object, "/metadata/resourceVersion").parse().unwrap_or_default()
}

/// Whether a condition of an object is true.
pub fn is_condition(object: &Value, name: &str) -> bool {
    object["status"]["conditions"].as_array().is_some_and(|conditions| {
        conditions.iter().any(|one| one["type"] == name && one["status"] == "True")
    })
}

/// A Deployment whose pods are all of its newest template and ready.
pub fn is_rolled_out(object: &Value) -> bool {
    let status = &object["status"];
    let wanted = &object["spec"]["replicas"];
    status["observedGeneration"] == object["metadata"]["generation"]
        && [&status["replicas"], &status["updatedReplicas"], &status["availableReplicas"]]
            .iter()
            .all(|count| *count == wanted)
}

/// A policy of this name that refuses some operations on ConfigMaps or Deployments
/// of the namespace of the same name unless they fit a CEL expression; and its binding.
pub fn policy(name: &str, operations: &[&str], resource: &str, expression: &str) -> [Value; 2] {
    let group = if resource == "deployments" { "apps" } else { "" };
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": name },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": { "resourceRules": [{
                "apiGroups": [group], "apiVersions": ["v1"], "operations": operations,
                "resources": [resource],
            }] },
            "validations": [{ "expression": expression, "message": "refused by policy" }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": name },
        "spec": {
            "policyName": name, "validationActions": ["Deny"],
            "matchResources": { "namespaceSelector": {
                "matchLabels": { "kubernetes.io/metadata.name": name } } },
        },
    });
    [policy, binding]
}
