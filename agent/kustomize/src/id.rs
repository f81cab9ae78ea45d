//! What objects are called: group, version, kind, name, namespace.

use std::fmt;

/// What upstream writes for the namespace of an object that has none by nature.
pub(crate) const CLUSTER: &str = "_non_namespaceable_";
const DEFAULT: &str = "default";

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Gvk {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
}

impl Gvk {
    /// Whether an empty part of `selector`, or an equal one, stands for each part.
    pub(crate) fn is_selected_by(&self, selector: &Gvk) -> bool {
        let fits = |wanted: &str, own: &str| wanted.is_empty() || wanted == own;
        fits(&selector.group, &self.group)
            && fits(&selector.version, &self.version)
            && fits(&selector.kind, &self.kind)
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |text: &str, other: &'static str| {
            if text.is_empty() { other.to_owned() } else { text.to_owned() }
        };
        let Self { group, version, kind } = self;
        write!(f, "{}.{}.{}", or(kind, "[noKind]"), or(version, "[noVer]"), or(group, "[noGrp]"))
    }
}

/// Group and version of an `apiVersion`.
pub(crate) fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ResId {
    pub(crate) gvk: Gvk,
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// Known to live in no namespace.
    pub(crate) is_cluster_scoped: bool,
}

impl ResId {
    pub(crate) fn effective_namespace(&self) -> &str {
        effective(&self.namespace, self.is_cluster_scoped)
    }

    pub(crate) fn same_namespace(&self, other: &Self) -> bool {
        self.effective_namespace() == other.effective_namespace()
    }

    pub(crate) fn same_gvk_and_name(&self, other: &Self) -> bool {
        self.name == other.name && self.gvk == other.gvk
    }

    /// The same object, a missing namespace being `default`.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.same_namespace(other) && self.same_gvk_and_name(other)
    }

    /// With the namespace that counts, so that equal means the same object.
    pub(crate) fn canonical(mut self) -> Self {
        self.namespace = self.effective_namespace().to_owned();
        self.is_cluster_scoped = false;
        self
    }
}

fn effective(namespace: &str, is_cluster_scoped: bool) -> &str {
    if is_cluster_scoped {
        CLUSTER
    } else if namespace.is_empty() {
        DEFAULT
    } else {
        namespace
    }
}

/// `Deployment web`, `Deployment shop/web`.
impl fmt::Display for ResId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.gvk.kind.is_empty() { "object" } else { &self.gvk.kind };
        match self.namespace.as_str() {
            "" | CLUSTER => write!(f, "{kind} {}", self.name),
            namespace => write!(f, "{kind} {namespace}/{}", self.name),
        }
    }
}

/// Kinds that others need come first, kinds that get in the way of others last.
pub(crate) const FIRST: [&str; 22] = [
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];
pub(crate) const LAST: [&str; 2] =
    ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// Where a kind stands: below zero before the rest, above behind it.
pub(crate) fn kind_rank(kind: &str) -> i32 {
    rank(kind, &FIRST, &LAST)
}

pub(crate) fn rank<T: AsRef<str>>(kind: &str, first: &[T], last: &[T]) -> i32 {
    let position = |list: &[T]| list.iter().rposition(|name| name.as_ref() == kind);
    let count = |at: usize| i32::try_from(at).unwrap_or(i32::MAX / 2);
    match (position(last), position(first)) {
        (Some(at), _) => 1 + count(at),
        (None, Some(at)) => count(at) - count(first.len()),
        (None, None) => 0,
    }
}
