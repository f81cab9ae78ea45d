//! Addresses of objects and collections at the API server.

use std::fmt::Write as _;

use leeward_core::model::{ClusterFault, KindVersion, ObjectKey, Scope};

use super::discovery::Resource;

/// The path of a group and version: `/api/v1`, `/apis/apps/v1`.
pub(super) fn group_version(kind: &KindVersion) -> String {
    if kind.kind.group.is_empty() {
        format!("/api/{}", encode(&kind.version))
    } else {
        format!("/apis/{}/{}", encode(&kind.kind.group), encode(&kind.version))
    }
}

/// The path of all objects of a kind, in one namespace or (empty) in all.
pub(super) fn collection(kind: &KindVersion, resource: &Resource, namespace: &str) -> String {
    let base = group_version(kind);
    if namespace.is_empty() || resource.scope == Scope::Cluster {
        format!("{base}/{}", resource.plural)
    } else {
        format!("{base}/namespaces/{}/{}", encode(namespace), resource.plural)
    }
}

/// The path of one object. Refuses what would address something else.
pub(super) fn object(
    kind: &KindVersion,
    resource: &Resource,
    key: &ObjectKey,
) -> Result<String, ClusterFault> {
    let invalid = |what: &str| ClusterFault::Invalid { message: what.to_owned() };
    if !is_segment(&key.name) {
        return Err(invalid("the name is empty, `.` or `..`, or contains `/` or `%`"));
    }
    match (resource.scope, key.namespace.as_str()) {
        (Scope::Namespaced, "") => Err(invalid("objects of this kind need a namespace")),
        (Scope::Namespaced, namespace) if !is_segment(namespace) => {
            Err(invalid("the namespace is `.` or `..`, or contains `/` or `%`"))
        }
        _ => Ok(format!("{}/{}", collection(kind, resource, &key.namespace), encode(&key.name))),
    }
}

/// The API server's own rule for names in a path: Go's router would resolve
/// the dots, and with them reach another object.
fn is_segment(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && !text.contains(['/', '%'])
}

/// Percent-encodes everything but RFC 3986 unreserved characters.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use leeward_core::model::Kind;

    use super::*;

    fn address(group: &str, scope: Scope, namespace: &str, name: &str) -> String {
        let kind = KindVersion { kind: Kind::new(group, "Thing"), version: "v1".into() };
        let resource = Resource { plural: "things".into(), scope };
        let key = ObjectKey {
            group: group.into(),
            kind: "Thing".into(),
            namespace: namespace.into(),
            name: name.into(),
        };
        object(&kind, &resource, &key).unwrap_or_else(|fault| fault.to_string())
    }

    #[test]
    fn objects_are_addressed_by_group_version_namespace_and_name() {
        insta::assert_snapshot!(
            [
                address("", Scope::Namespaced, "shop", "web"),
                address("apps", Scope::Namespaced, "shop", "web"),
                address("rbac.authorization.k8s.io", Scope::Cluster, "", "system:node"),
                address("", Scope::Namespaced, "", "web"),
                address("", Scope::Namespaced, "shop", ".."),
                address("", Scope::Namespaced, "a/b", "web"),
                address("", Scope::Cluster, "", "a/b"),
            ].join("\n"), @r"
        /api/v1/namespaces/shop/things/web
        /apis/apps/v1/namespaces/shop/things/web
        /apis/rbac.authorization.k8s.io/v1/things/system%3Anode
        objects of this kind need a namespace
        the name is empty, `.` or `..`, or contains `/` or `%`
        the namespace is `.` or `..`, or contains `/` or `%`
        the name is empty, `.` or `..`, or contains `/` or `%`
        ");
    }
}
