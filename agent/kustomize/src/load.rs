//! From the bytes of a file to objects.

use std::rc::Rc;

use leeward_yaml::{self as yaml, Content, Dialect, Documents, Duplicates, Node, edit};

use crate::{
    budget::{Budget, weigh},
    error::{Outcome, Problem, echo},
    resource::{Behavior, Previous, Resource},
    schema::Scopes,
};

/// Annotations in which upstream keeps what it knows of an object. Some are
/// understood when they come in; none of them comes out.
const INTERNAL: &str = "internal.config.kubernetes.io/";

/// Reads all objects of a file. Lists are taken apart.
pub(crate) fn resources(
    bytes: &[u8],
    file: &str,
    duplicates: Duplicates,
    scopes: &Rc<Scopes>,
    budget: &Budget,
) -> Outcome<Vec<Resource>> {
    let name: Rc<str> = file.into();
    let nodes = nodes(bytes, duplicates, budget).map_err(|error| error.at(file, None))?;
    let mut resources = Vec::new();
    for node in expanded(nodes, file)? {
        let mut resource = Resource::new(node, Rc::clone(&name), Rc::clone(scopes));
        take_marks(&mut resource);
        resources.push(resource);
    }
    Ok(resources)
}

/// Every document that is not empty.
fn nodes(bytes: &[u8], duplicates: Duplicates, budget: &Budget) -> Outcome<Vec<Node>> {
    let documents =
        Documents::new(bytes, Dialect::Kustomize, budget.limits.yaml)?.with_duplicates(duplicates);
    let mut nodes = Vec::new();
    for document in documents {
        let mut node = document.map_err(first)?;
        budget.nodes(weigh(&node).nodes)?;
        edit::settle(&mut node);
        if !node.is_nothing() {
            nodes.push(node);
        }
    }
    Ok(nodes)
}

fn first(errors: Vec<yaml::YamlError>) -> Box<crate::BuildError> {
    match errors.into_iter().next() {
        Some(error) => error.into(),
        None => Problem::Empty.into(),
    }
}

/// Takes lists apart: one that is alone in its file in place, others at the end.
fn expanded(nodes: Vec<Node>, file: &str) -> Outcome<Vec<Node>> {
    let alone = nodes.len() == 1;
    let mut queue = std::collections::VecDeque::new();
    for node in nodes {
        let kind = node.get("kind").map(Node::raw).unwrap_or_default();
        let unwraps = matches!(kind, "List" | "ResourceList") && node.get("items").is_some();
        if alone && unwraps {
            queue.extend(items(node));
        } else {
            queue.push_back(node);
        }
    }
    queue.retain(|node| !node.is_blank());
    for node in &queue {
        validate(node).map_err(|error| error.at(file, Some(node.mark)))?;
    }
    let mut found = Vec::new();
    while let Some(node) = queue.pop_front() {
        let is_list = node.get("kind").is_some_and(|kind| kind.raw().ends_with("List"));
        match node.get("items") {
            Some(list) if is_list => {
                if list.is_nothing() {
                    continue;
                }
                if !list.is_sequence() {
                    let message = "items is no list".to_owned();
                    let problem = Problem::Object { object: describe(&node), message };
                    return Err(Box::<crate::BuildError>::from(problem).at(file, Some(node.mark)));
                }
                for mut item in items(node).into_iter().filter(|item| !item.is_blank()) {
                    // Upstream has these from JSON.
                    item.through_json();
                    validate(&item).map_err(|error| error.at(file, Some(item.mark)))?;
                    queue.push_back(item);
                }
            }
            _ => found.push(node),
        }
    }
    Ok(found)
}

fn items(mut list: Node) -> Vec<Node> {
    match list.remove("items").map(|items| items.content) {
        Some(Content::Sequence(items)) => items,
        _ => Vec::new(),
    }
}

/// An object has a kind and, unless it is a list, a name.
pub(crate) fn validate(node: &Node) -> Outcome<()> {
    let problem = |message: &str| -> Outcome<()> {
        Err(Problem::Object { object: describe(node), message: message.to_owned() }.into())
    };
    if !node.is_mapping() {
        return problem("an object must be a mapping with apiVersion, kind and metadata");
    }
    let text = |path: &[&str]| {
        node.at(path).filter(|value| !value.is_blank()).map(Node::raw).unwrap_or_default()
    };
    let kind = text(&["kind"]);
    if kind.is_empty() {
        return problem("kind is missing");
    }
    if !kind.ends_with("List") && text(&["metadata", "name"]).is_empty() {
        return problem("metadata.name is missing");
    }
    Ok(())
}

fn describe(node: &Node) -> String {
    let text = |path: &[&str]| node.at(path).map(Node::raw).unwrap_or_default();
    match (text(&["kind"]), text(&["metadata", "name"])) {
        ("", "") => "object".to_owned(),
        (kind, name) => echo(format!("{kind} {name}").trim()),
    }
}

/// Understands the internal annotations that a file may bring.
fn take_marks(resource: &mut Resource) {
    let Some(annotations) = resource.node.at(&["metadata", "annotations"]) else { return };
    if !annotations.entries().iter().any(|entry| entry.key.starts_with(INTERNAL)) {
        return;
    }
    let text = |name: &str| annotations.get(&format!("{INTERNAL}{name}")).map(Node::raw);
    let list = |name: &str| -> Vec<String> {
        text(name).map(|text| text.split(',').map(str::to_owned).collect()).unwrap_or_default()
    };
    let (names, namespaces, kinds) =
        (list("previousNames"), list("previousNamespaces"), list("previousKinds"));
    if names.len() == namespaces.len() && names.len() == kinds.len() {
        let previous = names.into_iter().zip(namespaces).zip(kinds);
        let previous = previous.map(|((name, namespace), kind)| Previous { name, namespace, kind });
        resource.history = previous.collect();
    }
    let (prefixes, suffixes) = (list("prefixes"), list("suffixes"));
    let needs_hash = text("needsHashSuffix") == Some("enabled");
    let behavior = Behavior::read(text("generatorBehavior").unwrap_or_default());
    resource.prefixes = prefixes;
    resource.suffixes = suffixes;
    resource.needs_hash = needs_hash;
    resource.behavior = behavior;
}

/// Whether upstream takes an annotation away before it prints an object.
pub(crate) fn is_internal_annotation(key: &str) -> bool {
    const KEPT: [&str; 13] = [
        "previousKinds",
        "previousNames",
        "prefixes",
        "suffixes",
        "previousNamespaces",
        "allowNameChange",
        "allowKindChange",
        "refBy",
        "generatorBehavior",
        "needsHashSuffix",
        "path",
        "index",
        "seqindent",
    ];
    const OTHERS: [&str; 5] = [
        "internal.config.kubernetes.io/id",
        "internal.config.kubernetes.io/annotations-migration-resource-id",
        "config.kubernetes.io/path",
        "config.kubernetes.io/index",
        "config.k8s.io/id",
    ];
    key.strip_prefix(INTERNAL).is_some_and(|name| KEPT.contains(&name)) || OTHERS.contains(&key)
}
