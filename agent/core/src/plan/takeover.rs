//! Fields that we own together with a tool that applied the same before us.
//!
//! A field goes from an object when its last owner stops declaring it. What kubectl,
//! Helm, Flux or Argo CD applied once they own for ever, so a field that both have would
//! outlive its removal from Git. So their share in what we own is taken from them, before
//! we send the object. What they alone own stays their own, and a controller that still
//! runs has its share again when it applies the next time.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::fields;
use crate::model::{FIELD_MANAGER, HANDOVER_MANAGER};

/// A field set nests deeper than this only to do harm.
const MAX_DEPTH: usize = 100;

/// Managers of tools that apply manifests as we do, besides kubectl's; the first is
/// what an object was before anybody applied it server-side.
const TOOLS: [&str; 6] = [
    "before-first-apply",
    "helm",
    "helm-controller",
    "kustomize-controller",
    "argocd-controller",
    "argocd-application-controller",
];

/// Whether a manager stands for a tool that applies manifests. Operators and the like,
/// which decide values by themselves, are left their share.
fn is_tool(manager: &str) -> bool {
    TOOLS.contains(&manager)
        || manager
            .strip_prefix("kubectl")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Whether a tool that applies manifests owns fields of ours as well. Reads whole objects and
/// their metadata alike.
pub fn is_shared(object: &Value) -> bool {
    let Some(ours) = our_fields(object) else { return false };
    fields::entries(object)
        .filter(|entry| is_tool(entry.manager) && entry.subresource.is_empty())
        .any(|entry| without(entry.fields, ours, 0).as_ref() != Some(entry.fields))
}

/// What to patch an object with so that fields of ours are ours alone; `None` when they
/// are. Bound to the very state that was read, since the list is replaced as a whole.
pub fn taken_over(live: &Value) -> Option<Value> {
    let ours = our_fields(live).filter(|_| is_shared(live))?.clone();
    let metadata = live.get("metadata")?;
    let mut entries = Vec::new();
    for entry in metadata.get("managedFields")?.as_array()? {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        let mut entry = entry.clone();
        if is_tool(text("manager")) && text("subresource").is_empty() {
            match without(entry.get("fieldsV1")?, &ours, 0) {
                Some(left) => entry["fieldsV1"] = left,
                None => continue,
            }
        }
        entries.push(entry);
    }
    patch_of(live, entries)
}

/// What to patch an object with so that all that a manager owns is ours; `None` when it
/// owns nothing, or we do not. What Git does not declare of it goes with our next apply.
pub fn taken_from(live: &Value, manager: &str) -> Option<Value> {
    our_fields(live)?;
    let metadata = live.get("metadata")?;
    let text = |entry: &Value, name: &str| {
        entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let entries = metadata.get("managedFields")?.as_array()?;
    let is_theirs =
        |entry: &&Value| text(entry, "manager") == manager && text(entry, "subresource").is_empty();
    let theirs: Vec<&Value> = entries.iter().filter(is_theirs).collect();
    if theirs.is_empty() || manager == FIELD_MANAGER || manager == HANDOVER_MANAGER {
        return None;
    }
    let mut left: Vec<Value> = entries.iter().filter(|one| !is_theirs(one)).cloned().collect();
    let ours = left.iter_mut().find(|entry| {
        text(entry, "manager") == FIELD_MANAGER
            && text(entry, "operation") == "Apply"
            && text(entry, "subresource").is_empty()
    })?;
    for entry in theirs {
        add(&mut ours["fieldsV1"], entry.get("fieldsV1")?, 0);
    }
    patch_of(live, left)
}

/// The managers, other than ourselves, that own fields of an object itself.
pub fn managers(live: &Value) -> BTreeSet<String> {
    fields::entries(live)
        .filter(|entry| entry.subresource.is_empty())
        .map(|entry| entry.manager.to_owned())
        .filter(|manager| manager != FIELD_MANAGER && manager != HANDOVER_MANAGER)
        .collect()
}

/// Adds a field set (FieldsV1) to another.
fn add(set: &mut Value, more: &Value, depth: usize) {
    let (Some(fields), Some(others)) = (set.as_object_mut(), more.as_object()) else { return };
    if depth > MAX_DEPTH {
        return;
    }
    for (selector, below) in others {
        match fields.get_mut(selector) {
            Some(known) => add(known, below, depth + 1),
            None => drop(fields.insert(selector.clone(), below.clone())),
        }
    }
}

/// A patch that replaces the field sets of the very state that was read.
fn patch_of(live: &Value, entries: Vec<Value>) -> Option<Value> {
    let metadata = live.get("metadata")?;
    let mut place = Map::new();
    for name in ["name", "namespace", "uid", "resourceVersion"] {
        if let Some(value) = metadata.get(name) {
            place.insert(name.to_owned(), value.clone());
        }
    }
    place.insert("managedFields".to_owned(), Value::Array(entries));
    Some(json!({
        "apiVersion": live.get("apiVersion")?, "kind": live.get("kind")?, "metadata": place,
    }))
}

fn our_fields(object: &Value) -> Option<&Value> {
    let is_ours = |entry: &fields::Entry<'_>| {
        entry.manager == FIELD_MANAGER && entry.operation == "Apply" && entry.subresource.is_empty()
    };
    fields::entries(object).find(is_ours).map(|entry| entry.fields)
}

/// A field set (FieldsV1) without what is in another; `None` when nothing is left.
fn without(set: &Value, other: &Value, depth: usize) -> Option<Value> {
    let (Some(fields), Some(taken)) = (set.as_object(), other.as_object()) else {
        return Some(set.clone());
    };
    if depth > MAX_DEPTH {
        return Some(set.clone());
    }
    // A leaf is in the other when that holds the same place itself.
    if fields.is_empty() {
        let is_held = taken.is_empty() || taken.contains_key(".");
        return (!is_held).then(|| set.clone());
    }
    let mut left = Map::new();
    for (selector, below) in fields {
        let rest = match taken.get(selector) {
            None => Some(below.clone()),
            Some(_) if selector == "." => None,
            Some(other) => without(below, other, depth + 1),
        };
        if let Some(rest) = rest {
            left.insert(selector.clone(), rest);
        }
    }
    (!left.is_empty()).then_some(Value::Object(left))
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "values are made for one call")]
mod tests {
    use super::*;

    fn live(theirs: &str, operation: &str, fields: Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {
            "name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7",
            "managedFields": [
                {"manager": "leeward", "operation": "Apply", "fieldsV1": {
                    "f:metadata": {"f:labels": {"f:team": {}}},
                    "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {
                        "k:{\"name\":\"app\"}": {".": {}, "f:name": {}, "f:image": {}}}}}}}},
                {"manager": theirs, "operation": operation, "fieldsV1": fields},
                {"manager": "kubectl-edit", "operation": "Update", "subresource": "scale",
                    "fieldsV1": {"f:spec": {"f:replicas": {}}}}]}})
    }

    fn theirs() -> Value {
        json!({"f:metadata": {"f:labels": {".": {}, "f:team": {}, "f:theirs": {}}},
            "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {
                "k:{\"name\":\"app\"}": {".": {}, "f:name": {}, "f:image": {}, "f:args": {}}}}}}})
    }

    #[test]
    fn what_both_own_is_taken_from_the_tool_and_the_rest_stays_its_own() {
        for tool in ["kubectl-client-side-apply", "helm", "argocd-controller", "kubectl"] {
            assert!(is_shared(&live(tool, "Update", theirs())), "{tool}");
        }
        let live = live("kubectl-client-side-apply", "Update", theirs());
        let patch = taken_over(&live).unwrap();
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        insta::assert_snapshot!(patch["metadata"]["managedFields"][1]["fieldsV1"], @r#"{"f:metadata":{"f:labels":{".":{},"f:theirs":{}}},"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{"f:args":{}}}}}}}"#);
        // Its scaling is another matter.
        assert_eq!(patch["metadata"]["managedFields"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn what_a_person_takes_over_is_ours_as_a_whole() {
        let live = live("helm", "Update", theirs());
        let patch = taken_from(&live, "helm").unwrap();
        let entries = patch["metadata"]["managedFields"].as_array().unwrap();
        assert_eq!(entries.len(), 2);
        let ours = &entries[0]["fieldsV1"];
        assert!(ours["f:metadata"]["f:labels"].get("f:theirs").is_some());
        let app = &ours["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"app\"}"];
        assert!(app.get("f:args").is_some() && app.get("f:image").is_some(), "{app}");
        // An entry of a subresource is no declaration, and what we never applied is not ours.
        assert_eq!(taken_from(&live, "kubectl-edit"), None);
        assert_eq!(taken_from(&live, FIELD_MANAGER), None);
        assert_eq!(managers(&live), BTreeSet::from(["helm".to_owned()]));
    }

    #[test]
    fn an_entry_of_which_nothing_is_left_goes() {
        let live = live("kubectl", "Apply", json!({"f:spec": {"f:replicas": {}}}));
        let patch = taken_over(&live).unwrap();
        assert_eq!(patch["metadata"]["managedFields"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn controllers_and_what_is_not_shared_are_left_alone() {
        for manager in ["kube-controller-manager", "cert-manager-cainjector", "kubectlish"] {
            assert!(!is_shared(&live(manager, "Update", theirs())), "{manager}");
        }
        let own = live("kubectl-edit", "Update", json!({"f:spec": {"f:paused": {}}}));
        assert!(!is_shared(&own) && taken_over(&own).is_none());
        assert!(!is_shared(&json!({"metadata": {"name": "a"}})));
    }
}
