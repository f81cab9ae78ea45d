//! The namespace of everything that lives in one.

use std::collections::HashMap;

use leeward_yaml::{Node, Style, Tag};

use super::{not, set_scalar};
use crate::{
    error::{Outcome, Problem},
    fieldspec::{Create, FieldSpec, apply_all},
    id::ResId,
    resmap::ResMap,
    resource::Resource,
};

/// Which subjects of role bindings follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SubjectMode {
    /// Those named `default`.
    #[default]
    DefaultOnly,
    AllServiceAccounts,
    Nobody,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct NamespaceTransform {
    pub(crate) namespace: String,
    pub(crate) specs: Vec<FieldSpec>,
    /// Leaves namespaces that are set.
    pub(crate) unset_only: bool,
    pub(crate) subjects: SubjectMode,
}

pub(crate) fn namespace(map: &mut ResMap, transform: &NamespaceTransform) -> Outcome<()> {
    if transform.namespace.is_empty() {
        return Ok(());
    }
    let mut known: HashMap<ResId, usize> = HashMap::new();
    for resource in &map.list {
        *known.entry(resource.id().canonical()).or_default() += 1;
    }
    for resource in map.list.iter_mut().filter(|resource| !resource.node.is_blank()) {
        if let Some(count) = known.get_mut(&resource.id().canonical()) {
            *count -= 1;
        }
        resource.remember();
        let outcome = transform.apply(resource);
        resource.locate(outcome)?;
        let id = resource.id();
        let count = known.entry(id.clone().canonical()).or_default();
        *count += 1;
        if *count > 1 {
            let message = format!("the namespace makes two objects {id}");
            let field = "namespace".to_owned();
            return resource.locate(Err(Problem::Field { field, message }.into()));
        }
    }
    Ok(())
}

impl NamespaceTransform {
    fn apply(&self, resource: &mut Resource) -> Outcome<()> {
        if !resource.is_cluster_scoped() {
            let own = FieldSpec::of_path("metadata/namespace");
            own.apply(&mut resource.node, Create::Scalar, &mut |node| self.set(node))?;
        }
        let is_core = resource.api_version() == "v1";
        let is_binding = is_role_binding(resource.kind());
        if is_binding {
            self.set_subjects(&mut resource.node)?;
        }
        let applies = |spec: &&FieldSpec| {
            let is_subject =
                is_binding && is_role_binding(&spec.gvk.kind) && spec.path == "subjects/namespace";
            // The name of a Namespace is meant, not of what else is called so.
            spec.path != "metadata/namespace"
                && (spec.path != "metadata/name" || is_core)
                && !is_subject
        };
        let specs: Vec<FieldSpec> = self.specs.iter().filter(applies).cloned().collect();
        apply_all(&specs, &mut resource.node, Create::Scalar, &mut |node| self.set(node))
    }

    fn set(&self, node: &mut Node) -> Outcome<()> {
        let is_set =
            !node.is_nothing() && node.as_scalar().is_some_and(|scalar| !scalar.text.is_empty());
        if self.unset_only && is_set {
            return Ok(());
        }
        set_scalar(node, Node::text_of(&self.namespace))
    }

    fn set_subjects(&self, object: &mut Node) -> Outcome<()> {
        if self.subjects == SubjectMode::Nobody {
            return Ok(());
        }
        let Some(subjects) = object.get_mut("subjects").filter(|node| !node.is_nothing()) else {
            return Ok(());
        };
        let Some(subjects) = subjects.items_mut() else { return Err(not("a list of subjects")) };
        for subject in subjects {
            let text = |key| subject.get(key).map(Node::raw).unwrap_or_default();
            let follows = match self.subjects {
                SubjectMode::DefaultOnly => text("name") == "default",
                SubjectMode::AllServiceAccounts => text("kind") == "ServiceAccount",
                SubjectMode::Nobody => false,
            };
            if follows {
                if subject.get("namespace").is_none() {
                    subject.put("namespace", Node::scalar("", Style::Plain, Tag::Str));
                }
                if let Some(node) = subject.get_mut("namespace") {
                    self.set(node)?;
                }
            }
        }
        Ok(())
    }
}

fn is_role_binding(kind: &str) -> bool {
    matches!(kind, "RoleBinding" | "ClusterRoleBinding")
}
