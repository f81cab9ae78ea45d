//! Objects of the cluster that an app takes variables from (`substituteFrom`).

use serde::{Deserialize, Serialize};

use super::object::ObjectKey;

/// What kind of object holds variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum VariableKind {
    ConfigMap,
    Secret,
}

/// One item of `substituteFrom`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VariableSource {
    pub kind: VariableKind,
    pub namespace: String,
    pub name: String,
    /// The app does without it where it is not there.
    #[serde(default)]
    pub optional: bool,
}

impl VariableSource {
    pub fn key(&self) -> ObjectKey {
        let kind = match self.kind {
            VariableKind::ConfigMap => "ConfigMap",
            VariableKind::Secret => "Secret",
        };
        key(kind, &self.namespace, &self.name)
    }
}

/// What a revision takes from one Secret: which version of it and which
/// variables, never their values. They are read when it is rendered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SecretVariables {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// The resource version.
    pub version: String,
    /// The variables that it sets, without those that something else sets over it.
    pub variables: Vec<String>,
}

impl SecretVariables {
    pub fn key(&self) -> ObjectKey {
        key("Secret", &self.namespace, &self.name)
    }
}

fn key(kind: &str, namespace: &str, name: &str) -> ObjectKey {
    ObjectKey {
        group: String::new(),
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}
