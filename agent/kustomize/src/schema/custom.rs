//! An OpenAPI document that a kustomization brings.

use leeward_yaml::{Content, Dialect, Node};

use super::{Definition, Field, MergeList, Schema, Scopes};

const DEFINITIONS: &str = "#/definitions/";
const TYPES: &str = "x-kubernetes-group-version-kind";

/// Schemas inside schemas that are followed; those of Kubernetes have 2.
const DEPTH_MAX: usize = 40;

pub(crate) fn parse(document: &Node) -> (Schema, Scopes) {
    let mut schema = Schema::default();
    for entry in document.get("definitions").map(Node::entries).unwrap_or_default() {
        for (api_version, kind) in types(&entry.value) {
            schema.types.insert((api_version, kind), Some(entry.key.clone()));
        }
        schema.definitions.insert(entry.key.clone(), definition(&entry.value, 0));
    }
    let mut scopes = Scopes::default();
    for path in document.get("paths").map(Node::entries).unwrap_or_default() {
        let Some(get) = path.value.get("get") else { continue };
        let is_namespaced = path.key.contains("namespaces/{namespace}");
        for known in types(get) {
            let scope = scopes.custom.entry(known).or_insert(is_namespaced);
            *scope |= is_namespaced;
        }
    }
    (schema, scopes)
}

fn types(node: &Node) -> Vec<(String, String)> {
    let Some(types) = node.get(TYPES) else { return Vec::new() };
    let list = match &types.content {
        Content::Sequence(items) => items.iter().collect(),
        Content::Mapping(_) => vec![types],
        Content::Scalar(_) => Vec::new(),
    };
    let text = |node: &Node, key| node.get(key).map(|node| node.raw().to_owned());
    list.into_iter()
        .filter_map(|node| {
            let version = text(node, "version")?;
            let group = text(node, "group").filter(|group| !group.is_empty());
            let api_version = match group {
                Some(group) => format!("{group}/{version}"),
                None => version,
            };
            Some((api_version, text(node, "kind")?))
        })
        .collect()
}

fn definition(node: &Node, depth: usize) -> Definition {
    let mut definition = Definition::default();
    for entry in node.get("properties").map(Node::entries).unwrap_or_default() {
        if let Some(field) = field(&entry.value, depth) {
            definition.fields.insert(entry.key.clone(), field);
        }
    }
    let rest = node.get("additionalProperties").filter(|node| node.is_mapping());
    definition.rest = rest.and_then(|node| field(node, depth)).map(Box::new);
    definition
}

fn field(node: &Node, depth: usize) -> Option<Field> {
    if depth > DEPTH_MAX {
        return None;
    }
    if let Some(reference) = node.get("$ref") {
        let name = reference.raw().strip_prefix(DEFINITIONS)?;
        return Some(Field::Reference(name.to_owned()));
    }
    let is_list = node.get("type").and_then(|node| node.text(Dialect::Kubernetes)) == Some("array");
    let strategy = node.get("x-kubernetes-patch-strategy").map(Node::raw).unwrap_or_default();
    if strategy.split(',').any(|word| word == "merge") {
        let several = node.get("x-kubernetes-list-map-keys").map(Node::items);
        let one = node.get("x-kubernetes-patch-merge-key").map(std::slice::from_ref);
        let keys = several.or(one).unwrap_or_default();
        let keys = keys.iter().map(|key| key.raw().to_owned()).collect();
        let items = if is_list { node.get("items") } else { None };
        let element = items.and_then(|node| field(node, depth + 1)).map(Box::new);
        return Some(Field::Merge(MergeList { keys, element }));
    }
    if is_list {
        return None;
    }
    Some(Field::Inline(definition(node, depth + 1)))
}
