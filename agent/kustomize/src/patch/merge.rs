//! Strategic merge, as Kustomize does it.
//!
//! Mappings merge key by key, null takes a key away, lists are replaced unless
//! the schema says by which keys their items correspond. `$patch` in a mapping
//! or list deletes, replaces or merges it. Items that are new come first.

mod list;

use std::{collections::BTreeSet, fmt};

use leeward_yaml::{Content, Node, Scalar, Style, Tag};

use crate::schema::{Schema, Shape};

type Merged<T> = Result<T, Conflict>;

/// What cannot be merged, and where.
#[derive(Debug)]
pub(super) struct Conflict {
    /// The innermost key first.
    path: Vec<String>,
    message: String,
}

impl Conflict {
    fn new(message: String) -> Self {
        Self { path: Vec::new(), message }
    }

    fn below(mut self, key: &str) -> Self {
        self.path.push(key.to_owned());
        self
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
        if !path.is_empty() {
            write!(f, "{}: ", path.join("."))?;
        }
        write!(f, "{}", self.message)
    }
}

const DIRECTIVE: &str = "$patch";

/// What a merge results in, and which of the two it is: a list keeps an item
/// that was merged, and drops one that was replaced.
#[derive(Debug)]
enum Outcome {
    Nothing,
    Kept(Node),
    Replaced(Node),
}

impl Outcome {
    fn into_node(self) -> Option<Node> {
        match self {
            Self::Nothing => None,
            Self::Kept(node) | Self::Replaced(node) => Some(node),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

/// Merges a patch into an object; `None` when it deletes it.
pub(super) fn merge(schema: &Schema, object: Node, patch: Node) -> Merged<Option<Node>> {
    Ok(walk(schema, Shape::Unknown, Some(object), Some(patch))?.into_node())
}

/// Both may be absent; each may be null.
fn walk(
    schema: &Schema,
    shape: Shape<'_>,
    dest: Option<Node>,
    patch: Option<Node>,
) -> Merged<Outcome> {
    let shape = known_shape(schema, shape, dest.as_ref(), patch.as_ref());
    match (dest, patch) {
        (None, None) => Ok(Outcome::Nothing),
        (Some(dest), None) => Ok(untouched(schema, shape, dest)),
        (dest, Some(patch)) if patch.is_nothing() => {
            // Nothing to take away, or taken away.
            drop(dest);
            Ok(Outcome::Nothing)
        }
        (dest, Some(patch)) if dest.as_ref().is_none_or(Node::is_nothing) => {
            added(schema, shape, patch)
        }
        (Some(dest), Some(patch)) => both(schema, shape, dest, patch),
        (None, Some(patch)) => added(schema, shape, patch),
    }
}

/// A value whose schema is not known may say itself what it is.
fn known_shape<'s>(
    schema: &'s Schema,
    shape: Shape<'s>,
    dest: Option<&Node>,
    patch: Option<&Node>,
) -> Shape<'s> {
    if !matches!(shape, Shape::Unknown) {
        return shape;
    }
    for node in [dest, patch].into_iter().flatten() {
        let text = |key| node.get(key).map(Node::raw).unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        if !api_version.is_empty() && !kind.is_empty() {
            let found = schema.root(api_version, kind);
            if !matches!(found, Shape::Unknown) {
                return found;
            }
        }
    }
    Shape::Unknown
}

/// What the patch says nothing about. Upstream walks through it all the same:
/// keys without a value go, and items of a list that share a key become one.
fn untouched(schema: &Schema, shape: Shape<'_>, dest: Node) -> Outcome {
    let (mark, flow) = (dest.mark, dest.flow);
    match dest.content {
        Content::Scalar(ref scalar) if scalar.is_null() && scalar.text.is_empty() => {
            Outcome::Nothing
        }
        Content::Scalar(_) => Outcome::Kept(dest),
        Content::Mapping(entries) => {
            let mut kept = Vec::with_capacity(entries.len());
            for mut entry in entries {
                let shape = schema.field(shape, &entry.key);
                let shape = known_shape(schema, shape, Some(&entry.value), None);
                if let Some(mut value) = untouched(schema, shape, entry.value).into_node() {
                    value.quote_ambiguous();
                    entry.value = value;
                    kept.push(entry);
                }
            }
            Outcome::Kept(Node { mark, flow, content: Content::Mapping(kept) })
        }
        Content::Sequence(items) => {
            let items = match shape {
                Shape::List(keys) => list::untouched(schema, shape, keys, items),
                _ => items,
            };
            Outcome::Kept(Node { mark, flow, content: Content::Sequence(items) })
        }
    }
}

/// What only the patch has: cleared of nulls and directives.
fn added(schema: &Schema, shape: Shape<'_>, mut patch: Node) -> Merged<Outcome> {
    if patch.is_nothing() {
        return Ok(Outcome::Nothing);
    }
    let shape = known_shape(schema, shape, None, Some(&patch));
    match &mut patch.content {
        Content::Scalar(_) => {}
        Content::Mapping(_) => {
            if mapping_directive(&mut patch)? == Directive::Delete {
                return Ok(Outcome::Nothing);
            }
            let Content::Mapping(entries) = &mut patch.content else { return Ok(Outcome::Nothing) };
            let mut kept = Vec::with_capacity(entries.len());
            for mut entry in std::mem::take(entries) {
                let shape = schema.field(shape, &entry.key);
                if let Some(value) = added(schema, shape, entry.value)?.into_node() {
                    entry.value = value;
                    kept.push(entry);
                }
            }
            *entries = kept;
        }
        Content::Sequence(items) => {
            if let Shape::List(keys) = shape {
                if list::directive(items)? == Directive::Delete {
                    return Ok(Outcome::Nothing);
                }
                *items = list::added(schema, shape, keys, std::mem::take(items))?;
            }
        }
    }
    Ok(Outcome::Replaced(patch))
}

fn both(schema: &Schema, shape: Shape<'_>, dest: Node, mut patch: Node) -> Merged<Outcome> {
    let (mark, flow) = (dest.mark, dest.flow);
    match (dest.content, &mut patch.content) {
        (Content::Scalar(_), Content::Scalar(_)) => Ok(Outcome::Replaced(patch)),
        (Content::Mapping(entries), Content::Mapping(_)) => {
            match mapping_directive(&mut patch)? {
                Directive::Delete => return Ok(Outcome::Nothing),
                Directive::Replace => return added(schema, shape, patch),
                Directive::Merge => {}
            }
            let dest = Node { mark, flow, content: Content::Mapping(entries) };
            mappings(schema, shape, dest, patch).map(Outcome::Kept)
        }
        (Content::Sequence(items), Content::Sequence(patches)) => {
            let Shape::List(keys) = shape else { return Ok(Outcome::Replaced(patch)) };
            let patches = std::mem::take(patches);
            let merged = list::both(schema, shape, keys, items, patches)?;
            Ok(merged.map_or(Outcome::Nothing, |items| {
                Outcome::Kept(Node { mark, flow, content: Content::Sequence(items) })
            }))
        }
        (dest, _) => {
            let dest = Node { mark, flow, content: dest };
            let message = format!("{} cannot be merged into {}", kind(&patch), kind(&dest));
            Err(Conflict::new(message))
        }
    }
}

/// Merges key by key, in the order of keys.
fn mappings(schema: &Schema, shape: Shape<'_>, mut dest: Node, mut patch: Node) -> Merged<Node> {
    let keys: BTreeSet<String> =
        dest.entries().iter().chain(patch.entries()).map(|entry| entry.key.clone()).collect();
    for key in keys {
        let old = dest
            .get_mut(&key)
            .map(|node| std::mem::replace(node, Node::scalar("", Style::Plain, Tag::Str)));
        let place = old.as_ref().and_then(Node::as_scalar).map(Scalar::place);
        let new = patch.remove(&key);
        let shape = schema.field(shape, &key);
        let merged = walk(schema, shape, old, new).map_err(|conflict| conflict.below(&key))?;
        match merged {
            Outcome::Nothing => {
                dest.remove(&key);
            }
            // Stays as it was, even when it is null.
            Outcome::Kept(mut node) => {
                node.quote_ambiguous();
                dest.put(&key, node);
            }
            Outcome::Replaced(node) => {
                // What was quoted stays quoted, and what was shared shared.
                if let Some(place) = place {
                    dest.put(&key, place);
                }
                dest.set_field(&key, node);
            }
        }
    }
    Ok(dest)
}

/// Takes the directive out of a mapping.
fn mapping_directive(patch: &mut Node) -> Merged<Directive> {
    let Some(found) = patch.get(DIRECTIVE) else { return Ok(Directive::Merge) };
    let directive = read_directive(found.raw())?;
    patch.remove(DIRECTIVE);
    Ok(directive)
}

fn read_directive(text: &str) -> Merged<Directive> {
    match text {
        "merge" => Ok(Directive::Merge),
        "replace" => Ok(Directive::Replace),
        "delete" => Ok(Directive::Delete),
        other => {
            let shown = crate::error::echo(other);
            let message = format!("$patch is {shown:?}: it must be merge, replace or delete");
            Err(Conflict::new(message))
        }
    }
}

fn kind(node: &Node) -> &'static str {
    match node.content {
        Content::Scalar(_) => "a scalar",
        Content::Sequence(_) => "a list",
        Content::Mapping(_) => "a mapping",
    }
}
