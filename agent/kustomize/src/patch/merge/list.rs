//! Lists whose items correspond by keys.
//!
//! Upstream finds, merges, removes and appends items in a way that shows in
//! its results when keys are missing or several; what is here takes the same
//! steps. Items are numbered, since one and the same item can be in two lists.

use leeward_yaml::Node;

use super::{DIRECTIVE, Directive, Merged, Outcome, read_directive, walk};
use crate::schema::{MergeList, Schema, Shape};

/// Takes a directive that is an item of its own out of a list.
pub(super) fn directive(items: &mut Vec<Node>) -> Merged<Directive> {
    let Some(at) = items.iter().position(|item| item.get(DIRECTIVE).is_some()) else {
        return Ok(Directive::Merge);
    };
    if items[at].entries().len() > 1 {
        return Ok(Directive::Merge);
    }
    let text = items[at].get(DIRECTIVE).map(Node::raw).unwrap_or_default().to_owned();
    let directive = read_directive(&text)?;
    items.retain(|item| item.get(DIRECTIVE).map(Node::raw) != Some(text.as_str()));
    Ok(directive)
}

/// A list that the patch says nothing about.
pub(super) fn untouched(
    schema: &Schema,
    shape: Shape<'_>,
    list: &MergeList,
    items: Vec<Node>,
) -> Vec<Node> {
    let copy = if has_keys(list, &items) { None } else { Some(items.clone()) };
    let merged = merge(schema, shape, list, items, None);
    merged.ok().or(copy).unwrap_or_default()
}

/// A list that only the patch has: merged with itself.
pub(super) fn added(
    schema: &Schema,
    shape: Shape<'_>,
    list: &MergeList,
    items: Vec<Node>,
) -> Merged<Vec<Node>> {
    let element = schema.element(shape);
    let mut kept = Vec::with_capacity(items.len());
    for item in items {
        if let Some(item) = super::added(schema, element, item)?.into_node()
            && !is_blank_item(&item)
        {
            kept.push(item);
        }
    }
    if !has_keys(list, &kept) {
        return Ok(kept);
    }
    merge(schema, shape, list, kept, None)
}

/// `None` when the patch deletes the list.
pub(super) fn both(
    schema: &Schema,
    shape: Shape<'_>,
    list: &MergeList,
    items: Vec<Node>,
    mut patches: Vec<Node>,
) -> Merged<Option<Vec<Node>>> {
    match directive(&mut patches)? {
        Directive::Delete => return Ok(None),
        Directive::Replace => return added(schema, shape, list, patches).map(Some),
        Directive::Merge => {}
    }
    merge(schema, shape, list, items, Some(patches)).map(Some)
}

fn has_keys(list: &MergeList, items: &[Node]) -> bool {
    match list.keys.first() {
        None => true,
        Some(key) => items.iter().all(|item| item.get(key).is_some()),
    }
}

fn is_blank_item(item: &Node) -> bool {
    item.is_nothing() || (item.is_mapping() && item.is_blank())
}

/// Items of all lists, by number.
struct Arena {
    nodes: Vec<Node>,
}

impl Arena {
    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Whether an item has the value under the key; an empty value stands for
    /// any, an empty key for the item itself.
    fn matches(&self, at: usize, key: &str, value: &str) -> bool {
        let node = &self.nodes[at];
        if key.is_empty() {
            return node.as_scalar().is_some_and(|scalar| scalar.text == value);
        }
        node.get(key).is_some_and(|found| value.is_empty() || found.raw() == value)
    }

    /// The first item that has all values under the keys.
    fn find(&self, list: &[usize], keys: &[&str], values: &[&str]) -> Option<usize> {
        let is_it = |at: &&usize| {
            let node = &self.nodes[**at];
            if keys.first().is_some_and(|key| key.is_empty()) {
                return node
                    .as_scalar()
                    .is_some_and(|s| Some(s.text.as_str()) == values.first().copied());
            }
            node.is_mapping()
                && keys
                    .iter()
                    .zip(values)
                    .all(|(key, value)| node.get(key).is_some_and(|found| found.raw() == *value))
        };
        list.iter().find(is_it).copied()
    }

    /// Puts an item in the place of all that match, or at the end; without an
    /// item, removes all that match.
    fn set(&self, list: &mut Vec<usize>, item: Option<usize>, keys: &[&str], values: &[&str]) {
        let by_mapping = keys.first().is_some_and(|key| !key.is_empty())
            && values.first().is_some_and(|value| !value.is_empty());
        let mut kept = Vec::with_capacity(list.len());
        let mut found = false;
        for at in list.iter().copied() {
            let node = &self.nodes[at];
            if is_blank_item(node) {
                continue;
            }
            if !node.is_mapping() && by_mapping {
                kept.push(at);
                continue;
            }
            // Without values nothing matches, and upstream keeps nothing.
            if values.is_empty() {
                continue;
            }
            if !keys.iter().zip(values).all(|(key, value)| self.matches(at, key, value)) {
                kept.push(at);
                continue;
            }
            found = true;
            kept.extend(item);
        }
        *list = kept;
        if let Some(item) = item
            && !found
            && !self.nodes[item].is_nothing()
        {
            list.push(item);
        }
    }
}

fn merge(
    schema: &Schema,
    shape: Shape<'_>,
    list: &MergeList,
    items: Vec<Node>,
    patches: Option<Vec<Node>>,
) -> Merged<Vec<Node>> {
    let mut arena = Arena { nodes: Vec::with_capacity(items.len()) };
    let mut dest: Vec<usize> = items.into_iter().map(|node| arena.add(node)).collect();
    let has_patch = patches.is_some();
    let patch: Vec<usize> =
        patches.unwrap_or_default().into_iter().map(|node| arena.add(node)).collect();
    let keys: Vec<&str> = match list.keys.as_slice() {
        [] => vec![""],
        keys => keys.iter().map(String::as_str).collect(),
    };
    let mut wanted = values_of(&arena, &keys, patch.iter().chain(&dest));
    if keys.len() > 1 {
        complete(&mut wanted);
    }
    if wanted.is_empty() {
        return Ok(dest.into_iter().map(|at| arena.nodes[at].clone()).collect());
    }
    let element = schema.element(shape);
    let mut merged = Vec::new();
    let mut valid_keys = keys.clone();
    for values in &wanted {
        let (keys_here, values_here) = valid(&wanted, values, &keys);
        valid_keys.clone_from(&keys_here);
        let (by, with) = valid(std::slice::from_ref(values), values, &keys);
        let old = arena.find(&dest, &by, &with);
        let new = if has_patch { arena.find(&patch, &by, &with) } else { None };
        let (old_node, new_node) =
            (old.map(|at| arena.nodes[at].clone()), new.map(|at| arena.nodes[at].clone()));
        let outcome = walk(schema, element, old_node, new_node)
            .map_err(|conflict| conflict.below(&format!("[{}]", values_here.join("/"))))?;
        let item = match outcome {
            Outcome::Nothing => None,
            Outcome::Kept(node) => Some(match old {
                // The item itself was changed, wherever else it is.
                Some(at) => {
                    arena.nodes[at] = node;
                    at
                }
                None => arena.add(node),
            }),
            Outcome::Replaced(node) => Some(arena.add(node)),
        };
        let Some(item) = item.filter(|at| !is_blank_item(&arena.nodes[*at])) else {
            arena.set(&mut dest, None, &keys_here, &values_here);
            continue;
        };
        for (key, value) in keys_here.iter().zip(&values_here) {
            let node = &mut arena.nodes[item];
            if !key.is_empty() && node.get(key).is_none() && !value.is_empty() {
                node.set_field(key, Node::plain_of(*value));
            }
        }
        arena.set(&mut merged, Some(item), &keys_here, &values_here);
    }
    append(&mut arena, &mut merged, &dest, &valid_keys);
    Ok(merged.into_iter().map(|at| arena.nodes[at].clone()).collect())
}

/// What the items have under the keys; each combination once.
fn values_of<'a>(
    arena: &Arena,
    keys: &[&str],
    items: impl Iterator<Item = &'a usize>,
) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    for at in items {
        let node = &arena.nodes[*at];
        let value = |key: &&str| match *key {
            "" => node.raw().to_owned(),
            key => {
                let field = node.get(key).filter(|field| !field.is_blank());
                field.map(Node::raw).unwrap_or_default().to_owned()
            }
        };
        let values: Vec<String> = keys.iter().map(value).collect();
        if !found.contains(&values) {
            found.push(values);
        }
    }
    found
}

/// A port without a protocol is the one with the same number and a protocol.
fn complete(list: &mut [Vec<String>]) {
    for i in 0..list.len() {
        for j in 0..list.len() {
            if let Some(common) = common(&list[i], &list[j]) {
                list[i].clone_from(&common);
                list[j] = common;
            }
        }
    }
}

fn common(a: &[String], b: &[String]) -> Option<Vec<String>> {
    let mut shares = false;
    let mut values = Vec::with_capacity(a.len());
    for (a, b) in a.iter().zip(b) {
        if a == b {
            shares = true;
        } else if !a.is_empty() && !b.is_empty() {
            return None;
        }
        values.push(if a.is_empty() { b.clone() } else { a.clone() });
    }
    shares.then_some(values)
}

/// The keys that have a value anywhere, and the values under them.
fn valid<'v>(
    all: &[Vec<String>],
    values: &'v [String],
    keys: &[&'v str],
) -> (Vec<&'v str>, Vec<&'v str>) {
    let is_used = |at: usize| all.iter().any(|values| !values[at].is_empty());
    let used: Vec<usize> = (0..keys.len()).filter(|at| is_used(*at)).collect();
    let used = if used.is_empty() { (0..keys.len()).collect() } else { used };
    (
        used.iter().map(|at| keys[*at]).collect(),
        used.iter().map(|at| values[*at].as_str()).collect(),
    )
}

/// Appends what the object had to what is merged.
fn append(arena: &mut Arena, merged: &mut Vec<usize>, dest: &[usize], keys: &[&str]) {
    for at in dest.iter().copied() {
        if keys.first().is_some_and(|key| key.is_empty()) {
            let value = arena.nodes[at].raw().to_owned();
            arena.set(merged, Some(at), &[""], &[&value]);
            continue;
        }
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            match arena.nodes[at].get(key) {
                Some(value) => values.push(value.raw().to_owned()),
                None => merged.push(at),
            }
        }
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        if keys.len() > 1 {
            arena.set(merged, None, keys, &values);
        }
        arena.set(merged, Some(at), keys, &values);
    }
}
