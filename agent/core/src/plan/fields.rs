//! Managed fields: who owns which field of a live object (FieldsV1).
//!
//! FieldsV1 is JSON whose keys are `f:<name>` (a field), `k:<json object>` (a
//! list item by its keys), `v:<json value>` (an item of a set), `i:<index>` and
//! `.` (the thing itself). An empty object at the end of a path is an owned leaf.

use std::collections::BTreeMap;

use serde_json::Value;

/// Deeper than any object of the API server; a bound for our own recursion.
const MAX_DEPTH: usize = 100;

/// One entry of `metadata.managedFields`.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub manager: &'a str,
    /// `Apply` or `Update`.
    pub operation: &'a str,
    /// Empty unless it was written through one, as `scale` is by autoscalers.
    pub subresource: &'a str,
    /// RFC 3339 in UTC, so that texts compare as times; empty when missing.
    pub time: &'a str,
    pub fields: &'a Value,
}

/// The entries of a whole live object or of its metadata; none when there are none.
pub fn entries(live: &Value) -> impl Iterator<Item = Entry<'_>> {
    live.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten().map(
        |entry| {
            let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
            Entry {
                manager: text("manager"),
                operation: text("operation"),
                subresource: text("subresource"),
                time: text("time"),
                fields: entry.get("fieldsV1").unwrap_or(&Value::Null),
            }
        },
    )
}

/// Everything that a manager owns in a live object, in all of its entries.
pub fn owned(live: &Value, manager: &str) -> FieldSet {
    let mut all = FieldSet::default();
    for entry in entries(live).filter(|entry| entry.manager == manager) {
        all.add(entry.fields, 0);
    }
    all
}

/// A set of fields, as a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    /// The thing at this place itself is in the set, not only something below it.
    pub itself: bool,
    /// By selector as FieldsV1 spells it, `f:spec` or `k:{"name":"web"}`.
    pub children: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    pub fn parse(fields: &Value) -> Self {
        let mut set = Self::default();
        set.add(fields, 0);
        set
    }

    fn add(&mut self, fields: &Value, depth: usize) {
        let Some(fields) = fields.as_object().filter(|_| depth < MAX_DEPTH) else { return };
        // At the root an empty object is an empty set, not an owned object.
        self.itself |= fields.contains_key(".") || (fields.is_empty() && depth > 0);
        for (selector, below) in fields.iter().filter(|(selector, _)| *selector != ".") {
            self.children.entry(selector.clone()).or_default().add(below, depth + 1);
        }
    }

    pub fn is_empty(&self) -> bool {
        !self.itself && self.children.is_empty()
    }

    /// An owned thing of which no part is listed: a scalar, or owned as a whole.
    pub fn is_leaf(&self) -> bool {
        self.itself && self.children.is_empty()
    }

    pub fn field(&self, name: &str) -> Option<&Self> {
        self.children.get(&format!("f:{name}"))
    }

    /// The list items in the set that are named by keys.
    pub fn keyed_items(&self) -> impl Iterator<Item = (Value, &Self)> {
        self.children.iter().filter_map(|(selector, below)| {
            let keys: Value = serde_json::from_str(selector.strip_prefix("k:")?).ok()?;
            keys.is_object().then_some((keys, below))
        })
    }

    pub fn has_value(&self, value: &Value) -> bool {
        self.children.keys().any(|selector| {
            selector
                .strip_prefix("v:")
                .and_then(|text| serde_json::from_str::<Value>(text).ok())
                .is_some_and(|found| found == *value)
        })
    }

    /// The paths of everything in the set, for people: `/spec/ports[port=80,protocol=TCP]/name`.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", &mut paths);
        paths
    }

    fn collect(&self, path: &str, paths: &mut Vec<String>) {
        if self.itself {
            paths.push(path.to_owned());
        }
        for (selector, below) in &self.children {
            below.collect(&format!("{path}{}", shown(selector)), paths);
        }
    }
}

fn shown(selector: &str) -> String {
    let Some((kind, rest)) = selector.split_once(':') else { return format!("/{selector}") };
    match (kind, serde_json::from_str::<Value>(rest)) {
        ("k", Ok(Value::Object(keys))) => {
            let pairs: Vec<String> = keys
                .iter()
                .map(|(key, value)| match value {
                    Value::String(text) => format!("{key}={text}"),
                    other => format!("{key}={other}"),
                })
                .collect();
            format!("[{}]", pairs.join(","))
        }
        ("v" | "i", _) => format!("[{rest}]"),
        _ => format!("/{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As a real API server wrote it for a server-side apply.
    fn fields() -> Value {
        json!({
            "f:metadata": {"f:labels": {"f:leeward.dev/app": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"app\"}": {
                    ".": {}, "f:name": {}, "f:args": {},
                    "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                        ".": {}, "f:containerPort": {}}}
                }}}}
            }
        })
    }

    #[test]
    fn every_selector_becomes_a_path() {
        insta::assert_snapshot!(FieldSet::parse(&fields()).paths().join("\n"), @"
        /metadata/labels/leeward.dev/app
        /spec/replicas
        /spec/selector
        /spec/template/spec/containers[name=app]
        /spec/template/spec/containers[name=app]/args
        /spec/template/spec/containers[name=app]/name
        /spec/template/spec/containers[name=app]/ports[containerPort=80,protocol=TCP]
        /spec/template/spec/containers[name=app]/ports[containerPort=80,protocol=TCP]/containerPort
        ");
        let sets = json!({"f:finalizers": {"v:\"a/b\"": {}}, "f:x": {"i:3": {}}});
        insta::assert_snapshot!(FieldSet::parse(&sets).paths().join("\n"), @r#"
        /finalizers["a/b"]
        /x[3]
        "#);
    }

    #[test]
    fn what_a_manager_owns_is_the_union_of_its_entries() {
        let live = json!({"metadata": {"managedFields": [
            {"manager": "a", "operation": "Apply", "fieldsV1": {"f:spec": {"f:x": {}}}},
            {"manager": "a", "operation": "Update", "fieldsV1": {"f:spec": {"f:y": {}}}},
            {"manager": "b", "operation": "Update", "fieldsV1": {"f:spec": {"f:z": {}}}},
        ]}});
        assert_eq!(owned(&live, "a").paths(), ["/spec/x", "/spec/y"]);
    }

    #[test]
    fn an_object_without_managed_fields_is_owned_by_nobody() {
        for live in [json!({}), json!(null), json!({"metadata": {"managedFields": "x"}})] {
            assert!(owned(&live, "a").is_empty());
        }
    }

    #[test]
    fn an_empty_entry_owns_nothing() {
        assert!(FieldSet::parse(&json!({})).is_empty());
    }
}
