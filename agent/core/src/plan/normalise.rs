//! Rewrites the few declarations that the API server stores under another name or
//! spelling, so that ownership of what is stored can be followed, and removes those
//! that say nothing because the cluster fills the field by its own contract.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use crate::model::Manifest;

/// Annotations that controllers of Kubernetes and kubectl write at their own
/// discretion. In Git they stand only in what was exported from a cluster.
const CONTROLLERS_ANNOTATIONS: [&str; 5] = [
    "deployment.kubernetes.io/revision",
    "kubectl.kubernetes.io/last-applied-configuration",
    "pv.kubernetes.io/bind-completed",
    "pv.kubernetes.io/bound-by-controller",
    "volume.kubernetes.io/selected-node",
];
/// The API groups without a dot of which Kubernetes serves every kind itself. The
/// others of its own end in `k8s.io`, which resources of add-ons may, too.
const BUILT_IN_GROUPS: [&str; 5] = ["", "apps", "autoscaling", "batch", "policy"];

/// Rewrites a manifest into what is stored of it.
#[must_use]
pub fn normalised(mut manifest: Manifest) -> Manifest {
    match (manifest.key.group.as_str(), manifest.key.kind.as_str()) {
        ("", "Secret") => {
            fold_string_data(&mut manifest.body);
            unwrap_base64(&mut manifest.body, "/data");
        }
        ("", "ConfigMap") => unwrap_base64(&mut manifest.body, "/binaryData"),
        _ => {}
    }
    leave_to_the_cluster(&mut manifest);
    manifest
}

/// Folds a Secret's `stringData` into its `data`, as the API server would.
///
/// Sent as it is, we would own `stringData`, which is never stored, and nobody
/// would own `data`: an edit of the stored value would go unseen. Values that
/// are not texts stay where they are, for the API server to refuse.
fn fold_string_data(body: &mut Value) {
    let Some(body) = body.as_object_mut() else { return };
    let Some(Value::Object(texts)) = body.get("stringData") else { return };
    if !texts.values().all(Value::is_string) {
        return;
    }
    let texts = texts.clone();
    let data = body.entry("data").or_insert(Value::Null);
    if data.is_null() {
        *data = Value::Object(Map::new());
    }
    let Some(data) = data.as_object_mut() else { return };
    for (name, text) in &texts {
        let text = text.as_str().unwrap_or_default();
        data.insert(name.clone(), Value::String(STANDARD.encode(text)));
    }
    body.remove("stringData");
}

/// Removes the line ends of base64 that was wrapped, which the API server skips as
/// it reads and does not store.
fn unwrap_base64(body: &mut Value, pointer: &str) {
    let Some(Value::Object(values)) = body.pointer_mut(pointer) else { return };
    for value in values.values_mut() {
        unwrap(value);
    }
}

fn unwrap(value: &mut Value) {
    if let Value::String(text) = value
        && text.contains(['\n', '\r'])
    {
        text.retain(|character| !matches!(character, '\n' | '\r'));
    }
}

/// Removes declarations of fields that the cluster fills whatever they say.
fn leave_to_the_cluster(manifest: &mut Manifest) {
    let is_built_in = is_built_in(&manifest.key.group);
    let key = manifest.key.clone();
    let body = &mut manifest.body;
    if is_built_in {
        // A subresource of its own, which the API server ignores in an object.
        remove(body, "", "status");
    }
    for name in CONTROLLERS_ANNOTATIONS {
        remove(body, "/metadata/annotations", name);
    }
    match (key.group.as_str(), key.kind.as_str()) {
        ("rbac.authorization.k8s.io", "ClusterRole") if aggregates(body) => {
            // The aggregation controller replaces them by those of other roles.
            remove(body, "", "rules");
        }
        ("", "Service") => allocate(body),
        ("", "PersistentVolumeClaim") => remove_if(body, "/spec", "volumeName", is_empty),
        ("apiregistration.k8s.io", "APIService") => without_empty_bundle(body, "/spec"),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            without_empty_bundle(body, "/spec/conversion/webhook/clientConfig");
        }
        (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
        ) => {
            let count = body["webhooks"].as_array().map_or(0, Vec::len);
            for index in 0..count {
                without_empty_bundle(body, &format!("/webhooks/{index}/clientConfig"));
            }
        }
        _ => {}
    }
}

/// Whether the API server itself serves the kinds of a group, each with its status
/// as a subresource. `gateway.networking.k8s.io` and its like are of add-ons.
pub(super) fn is_built_in(group: &str) -> bool {
    BUILT_IN_GROUPS.contains(&group)
        || group.strip_suffix(".k8s.io").is_some_and(|name| {
            !name.contains('.') || name == "rbac.authorization" || name == "flowcontrol.apiserver"
        })
}

/// Whether a ClusterRole takes its rules from others: an empty rule aggregates nothing,
/// and then its own rules count.
fn aggregates(role: &Value) -> bool {
    role.pointer("/aggregationRule/clusterRoleSelectors")
        .and_then(Value::as_array)
        .is_some_and(|selectors| !selectors.is_empty())
}

/// An empty address and the port 0 ask for one that is free.
fn allocate(service: &mut Value) {
    remove_if(service, "/spec", "clusterIP", is_empty);
    remove_if(service, "/spec", "healthCheckNodePort", is_empty);
    let count = service.pointer("/spec/ports").and_then(Value::as_array).map_or(0, Vec::len);
    for index in 0..count {
        remove_if(service, &format!("/spec/ports/{index}"), "nodePort", is_empty);
    }
}

/// A bundle of certificates that holds none is a place for an injector to fill: tools
/// write `""` or `Cg==` (a line end), since a field of bytes has to be something.
fn without_empty_bundle(body: &mut Value, parent: &str) {
    if let Some(bundle) = body.pointer_mut(&format!("{parent}/caBundle")) {
        unwrap(bundle);
    }
    remove_if(body, parent, "caBundle", |bundle| {
        let bytes = bundle.as_str().and_then(|text| STANDARD.decode(text.trim()).ok());
        bundle.is_null() || bytes.is_some_and(|bytes| bytes.trim_ascii().is_empty())
    });
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value == "" || value.as_u64() == Some(0)
}

fn remove_if(body: &mut Value, parent: &str, name: &str, unless: impl Fn(&Value) -> bool) {
    let fields = body.pointer_mut(parent).and_then(Value::as_object_mut);
    if let Some(fields) = fields
        && fields.get(name).is_some_and(unless)
    {
        fields.remove(name);
    }
}

fn remove(body: &mut Value, parent: &str, name: &str) {
    remove_if(body, parent, name, |_| true);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Origin;

    fn body(value: Value) -> Value {
        normalised(Manifest::new(value, Origin::default()).unwrap()).body
    }

    #[test]
    fn string_data_becomes_data_and_wins_over_it() {
        let secret = body(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"},
            "data": {"user": "eA==", "host": "eQ=="}, "stringData": {"user": "admin"}}));
        assert_eq!(secret["data"], json!({"user": "YWRtaW4=", "host": "eQ=="}));
        assert_eq!(secret.get("stringData"), None);
    }

    #[test]
    fn string_data_that_is_not_text_is_left_for_the_api_server_to_refuse() {
        let given = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"},
            "stringData": {"port": 5432}});
        assert_eq!(body(given.clone()), given);
    }

    #[test]
    fn other_kinds_keep_their_fields() {
        let given = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
            "stringData": {"a": "b"}, "data": {"pem": "a\nb\n"}});
        assert_eq!(body(given.clone()), given);
    }

    #[test]
    fn wrapped_base64_becomes_what_the_api_server_stores() {
        let secret = body(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"},
            "data": {"key": "YWJj\nZGVm\r\n"}}));
        assert_eq!(secret["data"]["key"], "YWJjZGVm");
        let map = body(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
            "data": {"key": "YWJj\n"}, "binaryData": {"key": "YWJj\n"}}));
        assert_eq!(
            (&map["data"]["key"], &map["binaryData"]["key"]),
            (&json!("YWJj\n"), &json!("YWJj"))
        );
    }

    fn role(kind: &str, more: &Value) -> Value {
        let mut role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": {"name": "a"}, "rules": []});
        role.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body(role)
    }

    #[test]
    fn aggregated_rules_are_the_clusters_and_empty_rules_of_others_are_gits() {
        let selectors = json!({"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {}}]}});
        assert_eq!(role("ClusterRole", &selectors).get("rules"), None);
        let nothing = json!({"aggregationRule": {"clusterRoleSelectors": []}});
        assert_eq!(role("ClusterRole", &nothing)["rules"], json!([]));
        assert_eq!(role("ClusterRole", &json!({}))["rules"], json!([]));
        assert_eq!(role("Role", &json!({}))["rules"], json!([]));
    }

    #[test]
    fn a_bundle_without_a_certificate_is_the_injectors_and_another_is_gits() {
        let hook = |bundle: &str| {
            let hooks = json!([{"name": "a", "clientConfig": {"caBundle": bundle, "url": "u"}}]);
            let all = body(json!({"apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "a"},
                "webhooks": hooks}));
            all["webhooks"][0]["clientConfig"].get("caBundle").cloned()
        };
        assert_eq!(hook(""), None);
        assert_eq!(hook("Cg=="), None);
        assert_eq!(hook("YWJj\nZGVm\n"), Some(json!("YWJjZGVm")));
        let definition = body(json!({"apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition", "metadata": {"name": "a"},
            "spec": {"conversion": {"webhook": {"clientConfig": {"caBundle": "Cg=="}}}}}));
        assert_eq!(definition["spec"]["conversion"]["webhook"]["clientConfig"], json!({}));
        let service = body(json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": "a"}, "spec": {"caBundle": "", "group": "g"}}));
        assert_eq!(service["spec"], json!({"group": "g"}));
    }

    #[test]
    fn empties_that_forbid_something_stay_declared() {
        for given in [
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"name": "a"}, "spec": {"podSelector": {}, "ingress": [], "egress": []}}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
                "spec": {"template": {"spec": {"tolerations": [], "hostNetwork": false}}}}),
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "a"},
                "spec": {"storageClassName": ""}}),
        ] {
            assert_eq!(body(given.clone()), given);
        }
    }

    #[test]
    fn what_was_exported_of_controllers_is_not_declared() {
        let exported = body(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "a", "annotations": {"deployment.kubernetes.io/revision": "3", "k": "v"}},
            "status": {"replicas": 3}}));
        assert_eq!(
            exported,
            json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "a", "annotations": {"k": "v"}}})
        );
        let service =
            body(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"},
            "spec": {"clusterIP": "", "ports": [{"port": 80, "nodePort": 0}]}}));
        assert_eq!(service["spec"], json!({"ports": [{"port": 80}]}));
        let headless = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"},
            "spec": {"clusterIP": "None"}});
        assert_eq!(body(headless.clone()), headless);
        let custom = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"name": "a"}, "status": {}});
        assert_eq!(body(custom.clone()), custom);
    }
}
