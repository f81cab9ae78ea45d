//! The transformations that need nothing but objects and field specs.

mod image;
mod namespace;

pub(crate) use image::images;
pub(crate) use namespace::{NamespaceTransform, SubjectMode, namespace};

use std::collections::BTreeMap;

use leeward_yaml::{Node, Style, Tag};

use crate::{
    error::{Outcome, Problem},
    fieldspec::{Create, FieldSpec, apply_all},
    id::Gvk,
    kustomization::Replica,
    resmap::ResMap,
};

const NAME: &str = "metadata/name";

/// Which end of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Prefix,
    Suffix,
}

/// Puts a prefix or suffix on names. CRDs, APIServices and Namespaces are
/// called what they are called.
pub(crate) fn affix(map: &mut ResMap, end: End, text: &str, specs: &[FieldSpec]) -> Outcome<()> {
    for resource in &mut map.list {
        let gvk = resource.original_id().gvk;
        if keeps_its_name(&gvk) {
            continue;
        }
        for spec in specs.iter().filter(|spec| gvk.is_selected_by(&spec.gvk)) {
            if spec.path == NAME && !text.is_empty() {
                match end {
                    End::Prefix => resource.prefixes.push(text.to_owned()),
                    End::Suffix => resource.suffixes.push(text.to_owned()),
                }
                resource.remember();
            }
            let outcome = spec.apply(&mut resource.node, Create::Scalar, &mut |node| {
                let old = node.raw();
                let new = match end {
                    End::Prefix => format!("{text}{old}"),
                    End::Suffix => format!("{old}{text}"),
                };
                set_scalar(node, Node::plain_of(new))
            });
            resource.locate(outcome)?;
        }
    }
    Ok(())
}

fn keeps_its_name(gvk: &Gvk) -> bool {
    matches!(gvk.kind.as_str(), "CustomResourceDefinition" | "Namespace")
        || (gvk.kind == "APIService" && gvk.group == "apiregistration.k8s.io")
}

/// Adds labels or annotations.
pub(crate) fn entries(
    map: &mut ResMap,
    pairs: &BTreeMap<String, String>,
    specs: &[FieldSpec],
) -> Outcome<()> {
    for resource in &mut map.list {
        for (key, value) in pairs {
            resource.shared += 1;
            let value = Node::shared_text(value, resource.shared);
            let outcome = apply_all(specs, &mut resource.node, Create::Mapping, &mut |node| {
                if node.is_nothing() {
                    *node = Node::mapping();
                }
                if !node.is_mapping() {
                    return Err(not("a mapping"));
                }
                node.set_field(key, value.clone());
                Ok(())
            });
            resource.locate(outcome)?;
        }
        resource.spread();
    }
    Ok(())
}

/// Sets the number of replicas of what is, or was, called so.
pub(crate) fn replicas(map: &mut ResMap, replica: &Replica, specs: &[FieldSpec]) -> Outcome<()> {
    let mut found = false;
    for spec in specs {
        let fits =
            |id: &crate::id::ResId| id.name == replica.name && id.gvk.is_selected_by(&spec.gvk);
        for at in map.find_by_any_id(fits) {
            found = true;
            let resource = &mut map.list[at];
            let count = Node::scalar(replica.count.to_string(), Style::Plain, Tag::Int);
            let outcome = spec.apply(&mut resource.node, Create::Scalar, &mut |node| {
                set_scalar(node, count.clone())
            });
            resource.locate(outcome)?;
        }
    }
    if found {
        return Ok(());
    }
    let kinds: Vec<&str> = specs.iter().map(|spec| spec.gvk.kind.as_str()).collect();
    let message = format!("no object of this name is one of {}", kinds.join(", "));
    Err(Problem::Field { field: format!("replicas {}", replica.name), message }.into())
}

/// Replaces a scalar; anything else is an error.
pub(crate) fn set_scalar(node: &mut Node, value: Node) -> Outcome<()> {
    if node.as_scalar().is_none() {
        return Err(not("a scalar"));
    }
    node.set_scalar(value);
    Ok(())
}

pub(crate) fn not(wanted: &str) -> Box<crate::BuildError> {
    let message = format!("{wanted} is expected there");
    Problem::Field { field: String::new(), message }.into()
}
