//! Which kinds certainly live in no namespace.

use std::collections::HashMap;

/// Built-in kinds, and what a document of the kustomization adds.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    /// By apiVersion and kind: whether it is namespaced.
    pub(super) custom: HashMap<(String, String), bool>,
}

impl Scopes {
    pub(crate) fn is_cluster_scoped(&self, api_version: &str, kind: &str) -> bool {
        match builtin(api_version, kind) {
            Some(is_namespaced) => !is_namespaced,
            None if self.custom.is_empty() => false,
            None => self.custom.get(&(api_version.to_owned(), kind.to_owned())) == Some(&false),
        }
    }
}

/// Whether a kind is namespaced; `None` for kinds that nobody knows.
#[rustfmt::skip]
fn builtin(api_version: &str, kind: &str) -> Option<bool> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let cluster = match group {
        "" => version == "v1" && matches!(kind, "ComponentStatus" | "Namespace" | "Node" | "NodeProxyOptions" | "PersistentVolume"),
        "admissionregistration.k8s.io" => is_v1(version) && matches!(kind, "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration"),
        "apiextensions.k8s.io" => is_v1(version) && kind == "CustomResourceDefinition",
        "apiregistration.k8s.io" => is_v1(version) && kind == "APIService",
        "certificates.k8s.io" => is_v1(version) && kind == "CertificateSigningRequest",
        "flowcontrol.apiserver.k8s.io" => version == "v1beta1" && matches!(kind, "FlowSchema" | "PriorityLevelConfiguration"),
        "networking.k8s.io" => is_v1(version) && kind == "IngressClass",
        "node.k8s.io" => is_v1(version) && kind == "RuntimeClass",
        "policy" => version == "v1beta1" && kind == "PodSecurityPolicy",
        "rbac.authorization.k8s.io" => is_v1(version) && matches!(kind, "ClusterRole" | "ClusterRoleBinding"),
        "scheduling.k8s.io" => is_v1(version) && kind == "PriorityClass",
        "storage.k8s.io" => is_v1(version) && (matches!(kind, "CSIDriver" | "StorageClass" | "VolumeAttachment") || (version == "v1" && kind == "CSINode")),
        _ => false,
    };
    if cluster {
        return Some(false);
    }
    let namespaced = match group {
        "" => version == "v1" && matches!(kind, "ConfigMap" | "Endpoints" | "Event" | "LimitRange" | "PersistentVolumeClaim" | "Pod" | "PodTemplate" | "ReplicationController" | "ResourceQuota" | "Secret" | "Service" | "ServiceAccount"),
        "apps" => version == "v1" && matches!(kind, "ControllerRevision" | "DaemonSet" | "Deployment" | "ReplicaSet" | "StatefulSet"),
        "batch" => is_v1(version) && matches!(kind, "CronJob" | "Job"),
        "networking.k8s.io" => is_v1(version) && matches!(kind, "Ingress" | "NetworkPolicy"),
        "policy" => is_v1(version) && kind == "PodDisruptionBudget",
        "rbac.authorization.k8s.io" => is_v1(version) && matches!(kind, "Role" | "RoleBinding"),
        _ => false,
    };
    namespaced.then_some(true)
}

fn is_v1(version: &str) -> bool {
    matches!(version, "v1" | "v1beta1")
}
