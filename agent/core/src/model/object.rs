//! Kubernetes objects as Leeward speaks of them.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::id::Digest;

/// The field manager of everything that Git declares.
pub const FIELD_MANAGER: &str = "leeward";
/// The field manager that keeps the live value of a field which we stop
/// declaring, so that it does not snap back to its default.
pub const HANDOVER_MANAGER: &str = "leeward-handover";
/// Label: the app that owns the object.
pub const APP_LABEL: &str = "leeward.dev/app";
/// Annotation: the commit that last changed the object.
pub const REVISION_ANNOTATION: &str = "leeward.dev/revision";

/// Stands in every text and document where a secret would.
pub const MASK: &str = "<masked>";

/// A kind of object: API group (empty for the core group) and kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Kind {
    pub group: String,
    pub kind: String,
}

impl Kind {
    pub fn new(group: &str, kind: &str) -> Self {
        Self { group: group.to_owned(), kind: kind.to_owned() }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.kind)
        } else {
            write!(f, "{}.{}", self.kind, self.group)
        }
    }
}

/// Whether objects of a kind live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scope {
    Cluster,
    Namespaced,
}

/// Names one object in a cluster. The version is not part of it: the same
/// object can be read and written in several.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// API group, empty for the core group.
    pub group: String,
    pub kind: String,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    pub name: String,
}

impl ObjectKey {
    pub fn kind(&self) -> Kind {
        Kind { group: self.group.clone(), kind: self.kind.clone() }
    }

    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    /// Reads the key of a whole object or of its metadata; `None` when kind or
    /// name is missing.
    pub fn of(object: &Value) -> Option<Self> {
        let api_version = object.get("apiVersion")?.as_str()?;
        let metadata = object.get("metadata")?;
        Some(Self {
            group: api_version.rsplit_once('/').map_or("", |(group, _)| group).to_owned(),
            kind: object.get("kind")?.as_str()?.to_owned(),
            namespace: metadata
                .get("namespace")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            name: metadata.get("name")?.as_str()?.to_owned(),
        })
    }
}

/// `Deployment.apps shop/web`, `Namespace shop`.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if self.namespace.is_empty() {
            write!(f, " {}", self.name)
        } else {
            write!(f, " {}/{}", self.namespace, self.name)
        }
    }
}

/// Where a manifest was read: relative file name and line, counted from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    pub file: String,
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One object as Git declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    pub key: ObjectKey,
    /// The version alone, `v1` of `apps/v1`.
    pub version: String,
    /// The whole object, `apiVersion` and `kind` included.
    pub body: Value,
    pub origin: Origin,
    /// Something in it may have been decrypted, or is a value of a Secret: its values
    /// are shown to nobody. (A Secret's own fields never are.)
    pub secret: bool,
    /// What its digest is made of instead of the body, which holds values of
    /// Secrets: they could be guessed from it.
    pub stand_in: Option<Digest>,
}

impl Manifest {
    /// `None` when `body` lacks apiVersion, kind or a name.
    pub fn new(body: Value, origin: Origin) -> Option<Self> {
        let key = ObjectKey::of(&body)?;
        let api_version = body.get("apiVersion")?.as_str()?;
        let version = api_version.rsplit_once('/').map_or(api_version, |(_, version)| version);
        Some(Self { key, version: version.to_owned(), body, origin, secret: false, stand_in: None })
    }

    pub fn annotation(&self, name: &str) -> Option<&str> {
        annotation(&self.body, name)
    }
}

/// An annotation of a whole object or of its metadata.
pub fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get("metadata")?.get("annotations")?.get(name)?.as_str()
}

/// JSON with sorted keys and no spaces. (`serde_json` sorts keys unless
/// `preserve_order` is on; a test keeps it so.)
pub fn canonical_json(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_json_does_not_depend_on_the_order_of_keys() {
        let one: Value = serde_json::from_str(r#"{"b":1,"a":{"d":2,"c":3}}"#).unwrap();
        assert_eq!(canonical_json(&one), br#"{"a":{"c":3,"d":2},"b":1}"#);
    }

    #[test]
    fn the_core_group_has_an_empty_name() {
        let body = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}});
        let manifest = Manifest::new(body, Origin::default()).unwrap();
        assert_eq!(manifest.key.to_string(), "ConfigMap n/a");
        assert_eq!(manifest.version, "v1");
    }
}
