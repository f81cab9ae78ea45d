//! How two declarations of one object differ, as people want to see it before
//! either is applied.
//!
//! Unlike [`drift`](super::drift), which forgives what the API server makes of a
//! value, this compares what is written, in both directions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    pointer::escaped,
    secrecy::{MASK, MASK_OF_ANOTHER, SHOWN_CHARACTERS, Secrecy, cut, shown},
    view::{DEFAULT_PROTOCOL, ListKind, guessed_kind},
};
use crate::model::{FieldChange, Manifest};

/// A manifest that nests deeper is beyond what the API server takes; below, it is shown whole.
const MAX_DEPTH: usize = 100;
/// Characters that are kept of what two long values have in common before they differ.
const CONTEXT_CHARACTERS: usize = 40;

/// The fields in which `new` differs from `old`, in the order of their names.
///
/// Lists whose items have keys are compared item by item, the path being that
/// in `new`, or in `old` for an item that is gone. When these items are only in
/// another order, the keys in both orders stand for the list. A value that is
/// masked is named when it differs, and not shown.
pub fn compare(old: &Manifest, new: &Manifest) -> Vec<FieldChange> {
    let secrecy = Secrecy::of(old).max(Secrecy::of(new));
    let mut walk = Walk { secrecy, path: String::new(), changes: Vec::new() };
    walk.value(Some(&old.body), Some(&new.body), 0);
    walk.changes
}

struct Walk {
    secrecy: Secrecy,
    path: String,
    changes: Vec<FieldChange>,
}

impl Walk {
    fn value(&mut self, old: Option<&Value>, new: Option<&Value>, depth: usize) {
        if old == new {
            return;
        }
        match (old, new) {
            _ if depth > MAX_DEPTH => self.report(old, new),
            (Some(Value::Array(old)), Some(Value::Array(new))) => self.list(old, new, depth),
            _ => match (fields(old), fields(new)) {
                // An empty map that comes or goes is itself the difference.
                (Some(old), Some(new)) if !(old.is_empty() && new.is_empty()) => {
                    self.fields(&old, &new, depth);
                }
                _ => self.report(old, new),
            },
        }
    }

    fn fields(&mut self, old: &Fields<'_>, new: &Fields<'_>, depth: usize) {
        let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
        for name in names {
            self.within(&escaped(name), |walk| {
                walk.value(old.get(name).copied(), new.get(name).copied(), depth + 1);
            });
        }
    }

    fn list(&mut self, old: &[Value], new: &[Value], depth: usize) {
        if let Some((old, new)) = Items::of_both(old, new) {
            self.keyed(&old, &new, depth);
        } else if old.len() == new.len() {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                self.within(&index.to_string(), |walk| {
                    walk.value(Some(old), Some(new), depth + 1);
                });
            }
        } else {
            self.report(Some(&Value::from(old)), Some(&Value::from(new)));
        }
    }

    fn keyed(&mut self, old: &Items<'_>, new: &Items<'_>, depth: usize) {
        let (before, after) = (old.order_beside(new), new.order_beside(old));
        if before.0 != after.0 {
            self.report(Some(&before.1.into()), Some(&after.1.into()));
        }
        for (index, item) in new.list.iter().enumerate() {
            self.within(&index.to_string(), |walk| match old.counterpart(new, index) {
                Some(old) => walk.value(Some(old), Some(item), depth + 1),
                None => walk.report(None, Some(item)),
            });
        }
        for (index, item) in old.list.iter().enumerate() {
            if new.counterpart(old, index).is_none() {
                self.within(&index.to_string(), |walk| walk.report(Some(item), None));
            }
        }
    }

    /// Runs `visit` with one more segment in the path.
    fn within(&mut self, segment: &str, visit: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(segment);
        visit(self);
        self.path.truncate(length);
    }

    fn report(&mut self, old: Option<&Value>, new: Option<&Value>) {
        let masked = self.secrecy.masks(&self.path);
        let (old, new) = match (old, new) {
            (old, new) if masked => {
                let mask = if old.is_some() { MASK_OF_ANOTHER } else { MASK };
                (old.map(|_| MASK.to_owned()), new.map(|_| mask.to_owned()))
            }
            (Some(old), Some(new)) => {
                let (old, new) = beside(&old.to_string(), &new.to_string());
                (Some(old), Some(new))
            }
            (old, new) => (old.map(shown), new.map(shown)),
        };
        self.changes.push(FieldChange { path: self.path.clone(), old, new, manager: None });
    }
}

type Fields<'v> = BTreeMap<&'v str, &'v Value>;

/// The fields of a map; none of what is not there; `None` for what is no map.
fn fields(value: Option<&Value>) -> Option<Fields<'_>> {
    match value {
        None => Some(Fields::new()),
        Some(Value::Object(map)) => {
            Some(map.iter().map(|(name, value)| (name.as_str(), value)).collect())
        }
        Some(_) => None,
    }
}

/// A list whose items are told apart by keys.
struct Items<'v> {
    list: &'v [Value],
    /// What each item is called, in the order of the list.
    names: Vec<String>,
    by_name: BTreeMap<String, usize>,
    keys: Vec<String>,
}

impl<'v> Items<'v> {
    /// `None` when the lists are not merged by keys, or a key stands twice.
    fn of_both(old: &'v [Value], new: &'v [Value]) -> Option<(Self, Self)> {
        let kind = guessed_kind(new, old.iter());
        let ListKind::Keyed(keys) = kind else { return None };
        Some((Self::of(old, &keys)?, Self::of(new, &keys)?))
    }

    fn of(list: &'v [Value], keys: &[String]) -> Option<Self> {
        let text = |item: &Value, key: &String| {
            item.get(key).map_or_else(|| format!("{DEFAULT_PROTOCOL:?}"), Value::to_string)
        };
        let name =
            |item: &Value| keys.iter().map(|key| text(item, key)).collect::<Vec<_>>().join(" ");
        let names: Vec<String> = list.iter().map(name).collect();
        let by_name: BTreeMap<String, usize> = names.iter().cloned().zip(0..).collect();
        let keys = keys.to_vec();
        (by_name.len() == list.len()).then_some(Self { list, names, by_name, keys })
    }

    /// The item here that is called as the one at `index` of another list.
    fn counterpart(&self, other: &Self, index: usize) -> Option<&'v Value> {
        self.list.get(*self.by_name.get(other.names.get(index)?)?)
    }

    /// The order of the items that are also in another list: their names, and
    /// their keys as people know them.
    fn order_beside(&self, other: &Self) -> (Vec<&str>, Vec<Value>) {
        let keys = |item: &Value| match self.keys.as_slice() {
            [key] => item[key].clone(),
            keys => {
                keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone()))).collect()
            }
        };
        let both = self.list.iter().zip(&self.names);
        both.filter(|(_, name)| other.by_name.contains_key(*name))
            .map(|(item, name)| (name.as_str(), keys(item)))
            .unzip()
    }
}

/// Two values, each cut so that the first difference is in what is left.
fn beside(old: &str, new: &str) -> (String, String) {
    let same = old.chars().zip(new.chars()).take_while(|(old, new)| old == new).count();
    if same < SHOWN_CHARACTERS - CONTEXT_CHARACTERS {
        return (cut(old), cut(new));
    }
    let rest = |text: &str| {
        let start = text.char_indices().nth(same - CONTEXT_CHARACTERS).map_or(0, |(at, _)| at);
        format!("…{}", cut(&text[start..]))
    };
    (rest(old), rest(new))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Origin;

    fn manifest(body: Value) -> Manifest {
        Manifest::new(body, Origin::default()).unwrap()
    }

    fn deployment(spec: &Value) -> Manifest {
        manifest(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web"}, "spec": spec}))
    }

    fn text(old: &Manifest, new: &Manifest) -> String {
        let line = |change: FieldChange| {
            let value = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
            format!("{}: {} -> {}\n", change.path, value(change.old), value(change.new))
        };
        compare(old, new).into_iter().map(line).collect()
    }

    #[test]
    fn fields_that_change_come_and_go_are_each_named() {
        let old = json!({"replicas": 2, "paused": true, "empty": {}, "template": {"a": 1}});
        let new =
            json!({"replicas": 3, "strategy": {"type": "Recreate"}, "template": {"a": {"b": "c"}}});
        insta::assert_snapshot!(text(&deployment(&old), &deployment(&new)), @r#"
        /spec/empty: {} -> nothing
        /spec/paused: true -> nothing
        /spec/replicas: 2 -> 3
        /spec/strategy/type: nothing -> "Recreate"
        /spec/template/a: 1 -> {"b":"c"}
        "#);
        assert_eq!(compare(&deployment(&old), &deployment(&old)), []);
    }

    #[test]
    fn items_of_a_list_are_matched_by_their_keys() {
        let old = json!({"containers": [{"name": "a", "image": "a:1"}, {"name": "b"}],
            "ports": [{"port": 80}], "args": ["-v"], "finalizers": ["x", "y"]});
        let new = json!({"containers": [{"name": "c"}, {"name": "a", "image": "a:2"}],
            "ports": [{"port": 80, "protocol": "TCP"}, {"port": 80, "protocol": "UDP"}],
            "args": ["-v", "-x"], "finalizers": ["x", "z"]});
        insta::assert_snapshot!(text(&deployment(&old), &deployment(&new)), @r#"
        /spec/args: ["-v"] -> ["-v","-x"]
        /spec/containers/0: nothing -> {"name":"c"}
        /spec/containers/1/image: "a:1" -> "a:2"
        /spec/containers/1: {"name":"b"} -> nothing
        /spec/finalizers/1: "y" -> "z"
        /spec/ports/0/protocol: nothing -> "TCP"
        /spec/ports/1: nothing -> {"port":80,"protocol":"UDP"}
        "#);
    }

    #[test]
    fn another_order_of_items_is_a_difference() {
        let (tcp, udp) = (json!({"port": 53}), json!({"port": 53, "protocol": "UDP"}));
        let old = json!({"init": [{"name": "a"}, {"name": "b"}, {"name": "c"}],
            "ports": [tcp, udp]});
        let new = json!({"init": [{"name": "b"}, {"name": "a"}, {"name": "d"}],
            "ports": [udp, tcp]});
        insta::assert_snapshot!(text(&deployment(&old), &deployment(&new)), @r#"
        /spec/init: ["a","b"] -> ["b","a"]
        /spec/init/2: nothing -> {"name":"d"}
        /spec/init/2: {"name":"c"} -> nothing
        /spec/ports: [{"port":53},{"port":53,"protocol":"UDP"}] -> [{"port":53,"protocol":"UDP"},{"port":53}]
        "#);
    }

    #[test]
    fn items_with_the_same_key_are_compared_by_their_place() {
        let old = json!({"items": [{"name": "a", "x": 1}, {"name": "a", "x": 2}]});
        let new = json!({"items": [{"name": "a", "x": 1}, {"name": "a", "x": 3}]});
        insta::assert_snapshot!(text(&deployment(&old), &deployment(&new)), @"/spec/items/1/x: 2 -> 3");
    }

    #[test]
    fn what_means_the_same_but_is_written_otherwise_is_shown() {
        let (old, new) = (json!({"limits": {"cpu": "500m"}}), json!({"limits": {"cpu": 0.5}}));
        insta::assert_snapshot!(text(&deployment(&old), &deployment(&new)), @r#"/spec/limits/cpu: "500m" -> 0.5"#);
    }

    #[test]
    fn long_values_are_cut_to_where_they_differ() {
        let long =
            |end: &str| deployment(&json!({"text": "ä".repeat(5_000) + end + &"z".repeat(500)}));
        let shown = text(&long("one"), &long("two"));
        assert!(shown.contains("äone") && shown.contains("ätwo"), "{shown}");
        assert!(shown.chars().count() < 600, "{shown}");
    }

    #[test]
    fn a_secret_shows_that_a_value_differs_and_nothing_of_it() {
        let secret = |data: Value| {
            manifest(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"},
                "type": "Opaque", "data": data}))
        };
        let old = secret(json!({"same": "c2FtZQ==", "other": "b2xk", "gone": "Z29uZQ=="}));
        let new = secret(json!({"same": "c2FtZQ==", "other": "bmV3", "added": "YWRkZWQ="}));
        insta::assert_snapshot!(text(&old, &new), @"
        /data/added: nothing -> <masked>
        /data/gone: <masked> -> nothing
        /data/other: <masked> -> <masked, differs>
        ");
    }

    #[test]
    fn what_was_decrypted_on_either_side_is_masked_whole() {
        let (mut old, new) = (deployment(&json!({"a": "x"})), deployment(&json!({"a": "y"})));
        old.secret = true;
        insta::assert_snapshot!(text(&old, &new), @"/spec/a: <masked> -> <masked, differs>");
        insta::assert_snapshot!(text(&new, &old), @"/spec/a: <masked> -> <masked, differs>");
    }
}
