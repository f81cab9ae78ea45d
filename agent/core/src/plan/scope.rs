//! Gives every manifest the namespace that it will really have.

use std::collections::{BTreeMap, btree_map::Entry};

use serde_json::Value;

use super::normalise::normalised;
use crate::model::{Kind, Manifest, ObjectFault, ObjectKey, Scope};

/// Where the API server puts a namespaced object that names no namespace in a
/// request to no namespace; also what `kubectl` does on a cluster's own context.
const DEFAULT_NAMESPACE: &str = "default";

/// Manifests whose keys are those of the objects in the cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved {
    pub manifests: Vec<Manifest>,
    /// Nobody knows where objects of these kinds live: the API server does not
    /// serve them and no CRD of the same set declares them.
    pub unknown: Vec<Manifest>,
    /// Two manifests that turn out to be one object.
    pub faults: Vec<ObjectFault>,
}

/// Resolves scopes: `served` is what the API server says, and CRDs in the same
/// set speak for the kinds that it will serve once they are in.
pub fn resolve_scopes(manifests: Vec<Manifest>, served: &BTreeMap<Kind, Scope>) -> Resolved {
    let declared: BTreeMap<Kind, Scope> =
        manifests.iter().filter_map(|manifest| declared_scope(&manifest.body)).collect();
    let mut resolved = Resolved::default();
    let mut origins: BTreeMap<ObjectKey, usize> = BTreeMap::new();
    for manifest in manifests {
        let kind = manifest.key.kind();
        let Some(scope) = served.get(&kind).or_else(|| declared.get(&kind)) else {
            resolved.unknown.push(manifest);
            continue;
        };
        let manifest = normalised(placed(manifest, *scope));
        match origins.entry(manifest.key.clone()) {
            Entry::Vacant(free) => {
                free.insert(resolved.manifests.len());
                resolved.manifests.push(manifest);
            }
            Entry::Occupied(taken) => {
                let first = &resolved.manifests[*taken.get()].origin;
                resolved.faults.push(ObjectFault {
                    object: Some(manifest.key.to_string()),
                    origin: Some(manifest.origin.to_string()),
                    message: format!("the same object is already declared in {first}"),
                });
            }
        }
    }
    resolved
}

fn placed(mut manifest: Manifest, scope: Scope) -> Manifest {
    let namespace = match scope {
        Scope::Cluster => "",
        Scope::Namespaced if manifest.key.namespace.is_empty() => DEFAULT_NAMESPACE,
        Scope::Namespaced => return manifest,
    };
    namespace.clone_into(&mut manifest.key.namespace);
    if let Some(metadata) = manifest.body.get_mut("metadata").and_then(Value::as_object_mut) {
        if namespace.is_empty() {
            metadata.remove("namespace");
        } else {
            metadata.insert("namespace".to_owned(), namespace.into());
        }
    }
    manifest
}

/// The kind that a CustomResourceDefinition declares, and its scope.
pub fn declared_scope(crd: &Value) -> Option<(Kind, Scope)> {
    if !ObjectKey::of(crd)?.is("apiextensions.k8s.io", "CustomResourceDefinition") {
        return None;
    }
    let spec = crd.get("spec")?;
    let kind = Kind::new(spec.get("group")?.as_str()?, spec.get("names")?.get("kind")?.as_str()?);
    let scope = match spec.get("scope")?.as_str()? {
        "Namespaced" => Scope::Namespaced,
        "Cluster" => Scope::Cluster,
        _ => return None,
    };
    Some((kind, scope))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Origin;

    fn manifest(api_version: &str, kind: &str, namespace: Option<&str>, line: u32) -> Manifest {
        let mut body = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}});
        if let Some(namespace) = namespace {
            body["metadata"]["namespace"] = namespace.into();
        }
        Manifest::new(body, Origin { file: "a.yaml".to_owned(), line }).unwrap()
    }

    fn served() -> BTreeMap<Kind, Scope> {
        BTreeMap::from([
            (Kind::new("", "ConfigMap"), Scope::Namespaced),
            (Kind::new("", "Namespace"), Scope::Cluster),
            (Kind::new("apiextensions.k8s.io", "CustomResourceDefinition"), Scope::Cluster),
        ])
    }

    #[test]
    fn a_namespaced_object_without_a_namespace_lives_in_default() {
        let resolved = resolve_scopes(vec![manifest("v1", "ConfigMap", None, 1)], &served());
        assert_eq!(resolved.manifests[0].key.to_string(), "ConfigMap default/a");
        assert_eq!(resolved.manifests[0].body["metadata"]["namespace"], "default");
    }

    #[test]
    fn a_cluster_scoped_object_loses_its_namespace() {
        let resolved = resolve_scopes(vec![manifest("v1", "Namespace", Some("x"), 1)], &served());
        assert_eq!(resolved.manifests[0].key.to_string(), "Namespace a");
        assert_eq!(resolved.manifests[0].body["metadata"].get("namespace"), None);
    }

    #[test]
    fn a_crd_of_the_same_set_says_where_its_objects_live() {
        let mut crd = manifest("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, 1);
        crd.body["spec"] =
            json!({"group": "acme.io", "names": {"kind": "Till"}, "scope": "Cluster"});
        let till = manifest("acme.io/v1", "Till", Some("shop"), 9);
        let resolved = resolve_scopes(vec![till, crd], &served());
        assert_eq!(resolved.manifests[0].key.to_string(), "Till.acme.io a");
        assert!(resolved.unknown.is_empty());
    }

    #[test]
    fn a_kind_that_nobody_declares_is_unknown() {
        let till = manifest("acme.io/v1", "Till", None, 9);
        assert_eq!(resolve_scopes(vec![till.clone()], &served()).unknown, [till]);
    }

    #[test]
    fn one_object_declared_with_and_without_its_namespace_is_a_fault() {
        let twice = vec![
            manifest("v1", "ConfigMap", None, 1),
            manifest("v1", "ConfigMap", Some("default"), 7),
        ];
        let resolved = resolve_scopes(twice, &served());
        assert_eq!(resolved.manifests.len(), 1);
        insta::assert_snapshot!(resolved.faults[0], @"ConfigMap default/a (a.yaml:7): the same object is already declared in a.yaml:1");
    }
}
