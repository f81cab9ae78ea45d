//! Lists of manifests, as `kubectl get -o yaml` prints them.

use leeward_yaml::{Content, Dialect, Entry, Node};

/// The items of a `List`, `ConfigMapList`, …; anything else is given back. As
/// in kubectl, items of a typed list need not repeat their kind.
pub(super) fn list_items(mut node: Node) -> Result<Vec<Node>, Node> {
    let text = |node: &Node, field| {
        node.get(field).and_then(|value| value.text(Dialect::Kubernetes)).map(str::to_owned)
    };
    let Some(item_kind) =
        text(&node, "kind").and_then(|kind| kind.strip_suffix("List").map(str::to_owned))
    else {
        return Err(node);
    };
    let api_version = text(&node, "apiVersion").unwrap_or_default();
    let items = node.get("items");
    let is_list = items.is_some_and(|items| {
        matches!(items.content, Content::Sequence(_)) || items.is_null(Dialect::Kubernetes)
    });
    let Content::Mapping(entries) = &mut node.content else { return Err(node) };
    if !is_list {
        return Err(node);
    }
    let items = entries.drain(..).find(|entry| entry.key == "items").map(|entry| entry.value);
    let Some(Content::Sequence(mut items)) = items.map(|items| items.content) else {
        return Ok(Vec::new());
    };
    if !item_kind.is_empty() {
        for item in &mut items {
            complete_type(item, &api_version, &item_kind);
        }
    }
    Ok(items)
}

fn complete_type(item: &mut Node, api_version: &str, kind: &str) {
    if item.get("apiVersion").is_some() || item.get("kind").is_some() {
        return;
    }
    let mark = item.mark;
    if let Content::Mapping(entries) = &mut item.content {
        for (key, text) in [("apiVersion", api_version), ("kind", kind)] {
            entries.push(Entry { key: key.to_owned(), mark, value: Node::text_at(text, mark) });
        }
    }
}
