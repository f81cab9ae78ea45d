//! Stops declaring fields that are left to others, without their snapping back.
//!
//! A field that its last owner stops declaring is removed, or falls back to its
//! default. So its live value is first applied under a second manager, and only
//! then left out of what we send. That second manager must never keep alive what
//! Git has removed: what it still owns and nobody wants is released as well.

use serde_json::{Map, Value, json};

use super::{
    fields::{self, FieldSet},
    ignore::IgnoredFields,
    pointer::Pointer,
    view::{ListKind, Ours, Ownership, View},
};
use crate::model::{HANDOVER_MANAGER, Manifest};

/// A manifest nests deeper than this only to do harm.
const MAX_DEPTH: usize = 100;

/// What to send in place of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Released {
    /// Without the fields that are left to others.
    pub manifest: Manifest,
    /// To be applied first, as `leeward-handover`; `None` when there is nothing to change there.
    pub hand_over: Option<Value>,
}

/// Splits a manifest into what we go on declaring and what is handed over.
///
/// An object that does not exist yet is created whole (do not call this). The
/// same holds for a list item that is new: it needs all of its fields once.
pub fn release(desired: &Manifest, live: &Value, ignored: Option<&IgnoredFields>) -> Released {
    let ownership = Ownership::of(live);
    let driven = driven(desired, live, &ownership, ignored);
    let desired = &with_live(desired, live, &driven);
    let mut body = desired.body.clone();
    let mut partial = Value::Object(Map::new());
    let mut anything_new = false;
    for target in targets(desired, live, &ownership, ignored, &driven) {
        if target.must_be_handed_over() {
            anything_new |= !target.view.is_partly_owned_by(HANDOVER_MANAGER);
            if let Some(value) = target.view.live {
                insert(&mut partial, &target.steps, value);
            }
        }
        remove(&mut body, &target.path);
    }
    let handed = fields::owned(live, HANDOVER_MANAGER);
    keep_until_taken(&body, live, &ownership, &mut partial);
    let anything_stale = !is_in_either(&handed, &partial, &body);
    let hand_over =
        (anything_new || anything_stale).then(|| addressed(desired, live, partial)).flatten();
    Released { manifest: Manifest { body, ..desired.clone() }, hand_over }
}

/// The fields that an autoscaler decides, that Git does not declare, and that we or our
/// second manager hold from a time when Git did: just left out, the replicas of a
/// Deployment would fall back to 1 until the autoscaler acts.
///
/// Replicas that were handed over once outlive their autoscaler, too: nobody asks for
/// the default by removing it.
fn driven(
    desired: &Manifest,
    live: &Value,
    ownership: &Ownership,
    ignored: Option<&IgnoredFields>,
) -> Vec<Pointer> {
    let replicas = Pointer::of(&["spec", "replicas"]);
    let by_autoscalers = ignored.map(|ignored| ignored.driven.as_slice()).unwrap_or_default();
    let outlives = !by_autoscalers.contains(&replicas);
    let mut fields: Vec<Pointer> =
        by_autoscalers.iter().cloned().chain(outlives.then(|| replicas.clone())).collect();
    fields.retain(|pointer| {
        let view = place(ownership.root(live), pointer);
        let is_handed_over = view.is_partly_owned_by(HANDOVER_MANAGER);
        let is_ours = view.is_partly_ours() && !(outlives && *pointer == replicas);
        pointer.resolved(&desired.body).is_empty() && (is_handed_over || is_ours)
    });
    fields
}

/// The manifest with the live values of these fields.
fn with_live(desired: &Manifest, live: &Value, fields: &[Pointer]) -> Manifest {
    let mut with = desired.clone();
    for pointer in fields {
        let value = pointer.segments().iter().try_fold(live, |value, name| value.get(name));
        if let Some(value) = value {
            let steps: Vec<Step> = pointer.segments().iter().cloned().map(Step::Field).collect();
            insert(&mut with.body, &steps, value);
        }
    }
    with
}

fn place<'a>(root: View<'a>, pointer: &Pointer) -> View<'a> {
    pointer.segments().iter().fold(root, |view, name| view.field(name))
}

/// A declared field that is left to others.
struct Target<'a> {
    /// In the manifest; indices are those of the declared lists.
    path: Vec<String>,
    /// The same place, as a partial object spells it.
    steps: Vec<Step>,
    view: View<'a>,
}

enum Step {
    Field(String),
    /// The item with these keys.
    Item(Map<String, Value>),
}

impl Target<'_> {
    /// Whether the live value would go if we just stopped declaring it.
    fn must_be_handed_over(&self) -> bool {
        let held_by_others = self.view.owners().any(|manager| manager != HANDOVER_MANAGER);
        self.view.is_partly_owned_by(HANDOVER_MANAGER)
            || self.view.ours() == Ours::Perhaps
            || self.view.is_partly_ours() && !held_by_others
    }
}

fn targets<'a>(
    desired: &Manifest,
    live: &'a Value,
    ownership: &'a Ownership,
    ignored: Option<&IgnoredFields>,
    driven: &[Pointer],
) -> Vec<Target<'a>> {
    let fields = ignored.iter().flat_map(|ignored| &ignored.pointers).map(|field| &field.pointer);
    let mut pointers: Vec<Pointer> =
        fields.chain(driven).flat_map(|pointer| pointer.resolved(&desired.body)).collect();
    let managers = ignored.map(|ignored| ignored.managers.as_slice()).unwrap_or_default();
    let mut path = Vec::new();
    let root = ownership.root(live);
    leaves(&desired.body, &root, &mut path, &mut |path, view| {
        if managers.iter().any(|manager| view.is_partly_owned_by(manager)) {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            pointers.push(Pointer::of(&path));
        }
    });
    let mut targets: Vec<Target<'a>> = pointers
        .iter()
        .filter_map(|pointer| target(&desired.body, ownership.root(live), pointer.segments()))
        .collect();
    // What contains others first; and from the end, so that indices stay true.
    targets.sort_by(|a, b| a.path.cmp(&b.path));
    targets.dedup_by(|later, earlier| later.path.starts_with(&earlier.path));
    targets.sort_by(|a, b| in_reverse(&a.path, &b.path));
    targets
}

/// Later list items before earlier ones.
fn in_reverse(one: &[String], other: &[String]) -> std::cmp::Ordering {
    let differing = one.iter().zip(other).find(|(a, b)| a != b);
    match differing.map(|(a, b)| (a.parse::<usize>(), b.parse::<usize>(), a, b)) {
        Some((Ok(a), Ok(b), _, _)) => b.cmp(&a),
        Some((_, _, a, b)) => b.cmp(a),
        None => other.len().cmp(&one.len()),
    }
}

/// Follows a pointer into the manifest and the live object at once; stops at a
/// list that has one owner, since a part of it cannot be left out. `None` when
/// the field must be declared because what it is in does not exist yet.
fn target<'a>(body: &Value, root: View<'a>, segments: &[String]) -> Option<Target<'a>> {
    let (mut place, mut view) = (body, root);
    let mut target = (Vec::new(), Vec::new());
    for segment in segments {
        view.live?;
        match place {
            Value::Object(fields) => {
                place = fields.get(segment)?;
                view = view.field(segment);
                target.1.push(Step::Field(segment.clone()));
            }
            Value::Array(items) => {
                let item = items.get(segment.parse::<usize>().ok()?)?;
                let ListKind::Keyed(keys) = view.list_kind(items) else { break };
                let next = view.item(item, &keys);
                target.1.push(Step::Item(live_keys(next.live?, &keys)));
                (place, view) = (item, next);
            }
            _ => return None,
        }
        target.0.push(segment.clone());
    }
    Some(Target { path: target.0, steps: target.1, view })
}

fn live_keys(item: &Value, keys: &[String]) -> Map<String, Value> {
    keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone()))).collect()
}

/// Visits every declared leaf; lists with one owner count as leaves.
fn leaves<'a>(
    declared: &Value,
    view: &View<'a>,
    path: &mut Vec<String>,
    visit: &mut dyn FnMut(&[String], &View<'a>),
) {
    if path.len() > MAX_DEPTH {
        return;
    }
    let mut enter = |segment: String, value: &Value, view: &View<'a>| {
        path.push(segment);
        if !is_identity(path) {
            leaves(value, view, path, visit);
        }
        path.pop();
    };
    match declared {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                enter(name.clone(), value, &view.field(name));
            }
        }
        Value::Array(items) => match view.list_kind(items) {
            ListKind::Keyed(keys) => {
                for (index, item) in items.iter().enumerate() {
                    let item_view = view.item(item, &keys);
                    let Some(fields) = item.as_object() else { continue };
                    for (name, value) in fields.iter().filter(|(name, _)| !keys.contains(name)) {
                        path_pair(&mut enter, index, name, value, &item_view);
                    }
                }
            }
            ListKind::Set | ListKind::Atomic => visit(path, view),
        },
        _ => visit(path, view),
    }
}

/// Enters a field of a list item, which is two segments at once.
fn path_pair<'a>(
    enter: &mut impl FnMut(String, &Value, &View<'a>),
    index: usize,
    name: &str,
    value: &Value,
    item: &View<'a>,
) {
    let field = Value::Object(Map::from_iter([(name.to_owned(), value.clone())]));
    enter(index.to_string(), &field, item);
}

fn is_identity(path: &[String]) -> bool {
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    matches!(names.as_slice(), ["apiVersion" | "kind"] | ["metadata", "name" | "namespace"])
}

/// Fields that were handed over once and that Git decides again stay with the
/// second manager until our own apply has taken them; released first, they
/// would fall back to their defaults for a moment.
fn keep_until_taken(body: &Value, live: &Value, ownership: &Ownership, partial: &mut Value) {
    let mut kept = Vec::new();
    leaves(body, &ownership.root(live), &mut Vec::new(), &mut |path, view| {
        if view.is_partly_owned_by(HANDOVER_MANAGER) && view.ours() == Ours::No {
            kept.push(path.to_vec());
        }
    });
    for path in kept {
        if let Some(target) = target(body, ownership.root(live), &path)
            && let Some(value) = target.view.live
        {
            insert(partial, &target.steps, value);
        }
    }
}

/// Removes a declared field, and the maps that held nothing else.
fn remove(body: &mut Value, path: &[String]) {
    let Some((last, above)) = path.split_last() else { return };
    let parent = above.iter().try_fold(&mut *body, |place, segment| match place {
        Value::Object(fields) => fields.get_mut(segment),
        Value::Array(items) => items.get_mut(segment.parse::<usize>().ok()?),
        _ => None,
    });
    match parent {
        Some(Value::Object(fields)) => {
            fields.remove(last);
            let in_a_map = above.last().is_some_and(|segment| segment.parse::<usize>().is_err());
            if fields.is_empty() && in_a_map {
                remove(body, above);
            }
        }
        Some(Value::Array(items)) => {
            if let Some(index) = last.parse().ok().filter(|index| *index < items.len()) {
                items.remove(index);
            }
        }
        _ => {}
    }
}

fn insert(partial: &mut Value, steps: &[Step], value: &Value) {
    let Some((step, rest)) = steps.split_first() else {
        merge(partial, value);
        return;
    };
    match step {
        Step::Field(name) => {
            if !partial.is_object() {
                *partial = Value::Object(Map::new());
            }
            insert(&mut partial[name.as_str()], rest, value);
        }
        Step::Item(keys) => {
            if !partial.is_array() {
                *partial = Value::Array(Vec::new());
            }
            let Some(items) = partial.as_array_mut() else { return };
            let is_it = |item: &Value| keys.iter().all(|(key, value)| item.get(key) == Some(value));
            let index = items.iter().position(is_it).unwrap_or_else(|| {
                items.push(Value::Object(keys.clone()));
                items.len() - 1
            });
            insert(&mut items[index], rest, value);
        }
    }
}

fn merge(place: &mut Value, value: &Value) {
    match (place, value) {
        (Value::Object(fields), Value::Object(more)) => {
            fields.extend(more.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        (place, value) => *place = value.clone(),
    }
}

/// Whether every field of the set is in the one or in the other.
fn is_in_either(set: &FieldSet, one: &Value, other: &Value) -> bool {
    set.children.iter().all(|(selector, below)| {
        match (part(one, selector), part(other, selector)) {
            (None, None) => false,
            (one, other) => {
                is_in_either(below, one.unwrap_or(&Value::Null), other.unwrap_or(&Value::Null))
            }
        }
    })
}

fn part<'a>(value: &'a Value, selector: &str) -> Option<&'a Value> {
    if let Some(name) = selector.strip_prefix("f:") {
        return value.get(name);
    }
    let items = value.as_array()?;
    if let Some(text) = selector.strip_prefix("k:") {
        let keys: Map<String, Value> = serde_json::from_str(text).ok()?;
        // A default that is not declared (the protocol of a port) does not tell items apart.
        items.iter().find(|item| {
            keys.iter().all(|(key, wanted)| item.get(key).is_none_or(|found| found == wanted))
        })
    } else if let Some(text) = selector.strip_prefix("v:") {
        let wanted: Value = serde_json::from_str(text).ok()?;
        items.iter().find(|item| **item == wanted)
    } else {
        items.get(selector.strip_prefix("i:")?.parse::<usize>().ok()?)
    }
}

/// Makes a partial object one that can be applied: only to the very object that
/// was read, so that one which was deleted meanwhile is not created in parts.
fn addressed(desired: &Manifest, live: &Value, mut partial: Value) -> Option<Value> {
    let metadata = live.get("metadata")?;
    let fields = partial.as_object_mut()?;
    fields.insert("apiVersion".to_owned(), desired.body.get("apiVersion")?.clone());
    fields.insert("kind".to_owned(), desired.body.get("kind")?.clone());
    let place = fields.entry("metadata").or_insert_with(|| json!({})).as_object_mut()?;
    for name in ["name", "namespace", "uid"] {
        if let Some(value) = metadata.get(name) {
            place.insert(name.to_owned(), value.clone());
        }
    }
    Some(partial)
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "values are made for one call")]
mod tests;
