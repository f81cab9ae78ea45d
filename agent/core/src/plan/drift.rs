//! Which declared fields are not what Git says, and who did it.
//!
//! Two questions, one walk: [`lost`] asks who owns the fields, which is how drift
//! shows; [`differs`] asks for their values, which is what people want to see.

use serde_json::Value;

use super::{
    ignore::IgnoredFields,
    normalise::is_built_in,
    pointer::escaped,
    same::{looks_absent, same_custom_scalar, same_scalar},
    secrecy::{MASK, MASK_OF_ANOTHER, Secrecy, shown},
    view::{ListKind, Ours, Ownership, View},
};
use crate::model::{FieldChange, Manifest, REVISION_ANNOTATION};

/// A manifest that nests deeper is beyond what the API server takes.
const MAX_DEPTH: usize = 100;

/// The declared leaf fields that we do not own any more, with their live values.
///
/// May be empty although the owned fields changed: what is declared as good as
/// empty (`false`, `0`, `[]`) may leave no trace of its own.
pub fn lost(desired: &Manifest, live: Option<&Value>) -> Vec<FieldChange> {
    walked(desired, live, Question::Owner)
}

/// The declared leaf fields whose live value means something else, without the ignored ones.
pub fn differs(
    desired: &Manifest,
    live: Option<&Value>,
    ignored: Option<&IgnoredFields>,
) -> Vec<FieldChange> {
    let mut changes = walked(desired, live, Question::Value);
    changes.retain(|change| !ignored.is_some_and(|ignored| ignored.covers(change)));
    changes
}

fn walked(desired: &Manifest, live: Option<&Value>, question: Question) -> Vec<FieldChange> {
    let Some(live) = live else {
        // The whole object, which is no place to print a body.
        return vec![FieldChange { path: String::new(), old: None, new: None, manager: None }];
    };
    let ownership = Ownership::of(live);
    let secrecy = Secrecy::of(desired);
    let is_custom = !is_built_in(&desired.key.group);
    let mut walk = Walk { question, secrecy, is_custom, path: String::new(), changes: Vec::new() };
    if let Some(body) = desired.body.as_object() {
        let root = ownership.root(live);
        for (name, value) in body {
            if !matches!(name.as_str(), "apiVersion" | "kind") {
                walk.field(name, value, &root, 0);
            }
        }
    }
    walk.changes
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    Owner,
    Value,
}

struct Walk {
    question: Question,
    secrecy: Secrecy,
    /// Its schema is not known here.
    is_custom: bool,
    path: String,
    changes: Vec<FieldChange>,
}

impl Walk {
    fn field(&mut self, name: &str, declared: &Value, parent: &View<'_>, depth: usize) {
        self.within(&escaped(name), |walk| walk.value(declared, &parent.field(name), depth + 1));
    }

    /// Runs `visit` with one more segment in the path.
    fn within(&mut self, segment: &str, visit: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(segment);
        if !self.is_exempt() {
            visit(self);
        }
        self.path.truncate(length);
    }

    /// What names the object, and what we write ourselves at every change.
    fn is_exempt(&self) -> bool {
        let annotation = self.path.strip_prefix("/metadata/annotations/");
        matches!(self.path.as_str(), "/metadata/name" | "/metadata/namespace")
            || annotation.is_some_and(|name| name == escaped(REVISION_ANNOTATION))
    }

    fn value(&mut self, declared: &Value, view: &View<'_>, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        match declared {
            Value::Object(fields) if !fields.is_empty() => {
                for (name, value) in fields {
                    self.field(name, value, view, depth);
                }
            }
            Value::Array(items) if !items.is_empty() => self.list(declared, items, view, depth),
            _ => self.leaf(declared, view),
        }
    }

    fn list(&mut self, declared: &Value, items: &[Value], view: &View<'_>, depth: usize) {
        match view.list_kind(items) {
            ListKind::Keyed(keys) => {
                for (index, item) in items.iter().enumerate() {
                    self.within(&index.to_string(), |walk| {
                        walk.item(item, &view.item(item, &keys), &keys, depth);
                    });
                }
            }
            ListKind::Set => {
                for (index, item) in items.iter().enumerate() {
                    self.within(&index.to_string(), |walk| walk.member(item, view));
                }
            }
            ListKind::Atomic => self.whole_list(declared, items, view, depth),
        }
    }

    fn item(&mut self, item: &Value, view: &View<'_>, keys: &[String], depth: usize) {
        let Some(fields) = item.as_object() else { return self.leaf(item, view) };
        if view.live.is_none() {
            return self.report(item, view);
        }
        for (name, value) in fields.iter().filter(|(name, _)| !keys.contains(name)) {
            self.field(name, value, view, depth);
        }
    }

    /// One value of a set.
    fn member(&mut self, item: &Value, set: &View<'_>) {
        let is_there =
            set.live.and_then(Value::as_array).is_some_and(|values| values.contains(item));
        let is_ours = self.question == Question::Value || set.owns_value(item);
        if !(is_there && is_ours) {
            let found = set.live.filter(|_| is_there).map(|_| item);
            self.push(item, found, set.owners().next());
        }
    }

    /// A list that has one owner: its items are compared only when it is not
    /// certain who that is.
    fn whole_list(&mut self, declared: &Value, items: &[Value], view: &View<'_>, depth: usize) {
        if self.question == Question::Owner && view.ours() == Ours::Yes {
            return;
        }
        let live_items = view.live.and_then(Value::as_array);
        if live_items.is_none_or(|live| live.len() != items.len()) {
            return self.report(declared, view);
        }
        if self.question == Question::Owner && view.ours() == Ours::No {
            return self.report(declared, view);
        }
        for (index, item) in items.iter().enumerate() {
            self.within(&index.to_string(), |walk| walk.value(item, &view.at(index), depth + 1));
        }
    }

    fn leaf(&mut self, declared: &Value, view: &View<'_>) {
        if self.is_nothing(declared, view) {
            return;
        }
        let same = || {
            view.live.is_some_and(|live| {
                same_value(declared, live, &self.path)
                    || self.is_custom
                        && self.path.starts_with("/spec/")
                        && same_custom_scalar(declared, live)
            })
        };
        let fine = match (self.question, view.ours()) {
            (Question::Value, _) | (Question::Owner, Ours::Perhaps) => same(),
            (Question::Owner, Ours::Yes) => true,
            (Question::Owner, Ours::No) => is_empty_container(declared) && view.live.is_some(),
        };
        if !fine {
            self.report(declared, view);
        }
    }

    /// Whether something declared as good as empty is not there either.
    fn is_nothing(&self, declared: &Value, view: &View<'_>) -> bool {
        // The API server keeps our hold on an empty map (`emptyDir: {}`), except in metadata.
        let shows_when_lost = self.question == Question::Owner
            && declared.is_object()
            && !self.path.contains("/metadata/");
        looks_absent(declared, &self.path)
            && !(shows_when_lost && view.ours() == Ours::No)
            && view.live.is_none_or(|live| looks_absent(live, "") || declared.is_null())
    }

    fn report(&mut self, declared: &Value, view: &View<'_>) {
        self.push(declared, view.live, view.owners().next());
    }

    fn push(&mut self, declared: &Value, live: Option<&Value>, manager: Option<&str>) {
        let (old, new) = if self.secrecy.masks(&self.path) {
            let changed = live != Some(declared);
            (MASK.to_owned(), live.map(|_| if changed { MASK_OF_ANOTHER } else { MASK }.to_owned()))
        } else {
            (shown(declared), live.map(shown))
        };
        self.changes.push(FieldChange {
            path: self.path.clone(),
            old: Some(old),
            new,
            manager: manager.map(str::to_owned),
        });
    }
}

/// Scalars by meaning; an empty list or map only has to be there.
fn same_value(declared: &Value, live: &Value, path: &str) -> bool {
    match declared {
        Value::Object(_) => live.is_object(),
        Value::Array(_) => live.as_array().is_some_and(Vec::is_empty),
        scalar => same_scalar(scalar, live, path),
    }
}

/// Something inside it may be somebody else's; that it is there is enough.
fn is_empty_container(declared: &Value) -> bool {
    matches!(declared, Value::Object(_) | Value::Array(_))
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "values are made for one call")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Origin;

    fn desired() -> Manifest {
        manifest(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "labels": {"team": "north"}},
            "spec": {"replicas": 2, "paused": false,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
                    "containers": [{"name": "app", "image": "web:1", "args": ["-v", "--port=80"],
                        "ports": [{"containerPort": 80}],
                        "env": [{"name": "MODE", "value": "fast"}],
                        "resources": {"limits": {"memory": "1024Mi"}}}],
                    "volumes": [{"name": "tmp", "emptyDir": {}}]}}}
        }))
    }

    fn manifest(body: Value) -> Manifest {
        Manifest::new(body, Origin::default()).unwrap()
    }

    /// The object as the API server keeps it after our apply, defaults filled in.
    fn live() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "generation": 1,
                "labels": {"team": "north"}, "managedFields": [
                {"manager": "leeward", "operation": "Apply", "apiVersion": "apps/v1",
                 "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {
                    "f:metadata": {"f:labels": {"f:team": {}}},
                    "f:spec": {"f:replicas": {}, "f:paused": {}, "f:selector": {},
                        "f:template": {"f:metadata": {"f:labels": {"f:app": {}}}, "f:spec": {
                            "f:containers": {"k:{\"name\":\"app\"}": {".": {}, "f:name": {},
                                "f:image": {}, "f:args": {},
                                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                                    ".": {}, "f:containerPort": {}}},
                                "f:env": {"k:{\"name\":\"MODE\"}": {
                                    ".": {}, "f:name": {}, "f:value": {}}},
                                "f:resources": {"f:limits": {"f:memory": {}}}}},
                            "f:volumes": {"k:{\"name\":\"tmp\"}": {
                                ".": {}, "f:name": {}, "f:emptyDir": {}}}}}}}},
                {"manager": "kube-controller-manager", "operation": "Update",
                 "subresource": "status", "time": "2026-01-01T00:00:05Z",
                 "fieldsV1": {"f:status": {"f:replicas": {}}}}]},
            "spec": {"replicas": 2, "progressDeadlineSeconds": 600,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
                    "restartPolicy": "Always",
                    "containers": [{"name": "app", "image": "web:1", "args": ["-v", "--port=80"],
                        "imagePullPolicy": "Always",
                        "ports": [{"containerPort": 80, "protocol": "TCP"}],
                        "env": [{"name": "MODE", "value": "fast"}],
                        "resources": {"limits": {"memory": "1Gi"}}}],
                    "volumes": [{"name": "tmp", "emptyDir": {}}]}}},
            "status": {"replicas": 2}
        })
    }

    /// Takes fields from us as the API server does on an update by somebody else.
    fn taken(mut live: Value, pointer: &str, selector: &str, by: Value) -> Value {
        let parent = format!("/metadata/managedFields/0/fieldsV1{pointer}");
        live.pointer_mut(&parent).unwrap().as_object_mut().unwrap().remove(selector).unwrap();
        live["metadata"]["managedFields"].as_array_mut().unwrap().push(json!({
            "manager": "kubectl-edit", "operation": "Update", "apiVersion": "apps/v1",
            "time": "2026-01-02T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": by}));
        live
    }

    fn text(changes: &[FieldChange]) -> String {
        let or_none =
            |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        changes
            .iter()
            .map(|change| {
                let by = change.manager.as_deref().unwrap_or("nobody that is known");
                format!(
                    "{}: {} -> {} by {by}",
                    change.path,
                    or_none(&change.old),
                    or_none(&change.new)
                )
            })
            .collect::<Vec<_>>()
            .join("\n")
    }

    const CONTAINERS: &str = "/f:spec/f:template/f:spec/f:containers";

    #[test]
    fn an_object_as_we_left_it_has_lost_nothing_and_does_not_differ() {
        assert_eq!(text(&lost(&desired(), Some(&live()))), "");
        assert_eq!(text(&differs(&desired(), Some(&live()), None)), "");
    }

    #[test]
    fn a_scaled_deployment_lost_its_replicas_to_the_one_who_scaled_it() {
        let mut live =
            taken(live(), "/f:spec", "f:replicas", json!({"f:spec": {"f:replicas": {}}}));
        live["spec"]["replicas"] = 5.into();
        insta::assert_snapshot!(text(&lost(&desired(), Some(&live))), @"/spec/replicas: 2 -> 5 by kubectl-edit");
        insta::assert_snapshot!(text(&differs(&desired(), Some(&live), None)), @"/spec/replicas: 2 -> 5 by kubectl-edit");
    }

    #[test]
    fn a_field_of_a_container_is_found_behind_an_injected_sidecar() {
        let container = format!("{CONTAINERS}/k:{{\"name\":\"app\"}}");
        let by = json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {
            "k:{\"name\":\"app\"}": {"f:image": {}}}}}}});
        let mut live = taken(live(), &container, "f:image", by);
        let containers = live["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap();
        containers[0]["image"] = "evil:1".into();
        containers.insert(0, json!({"name": "sidecar", "image": "mesh:1"}));
        insta::assert_snapshot!(text(&lost(&desired(), Some(&live))), @r#"/spec/template/spec/containers/0/image: "web:1" -> "evil:1" by kubectl-edit"#);
        insta::assert_snapshot!(text(&differs(&desired(), Some(&live), None)), @r#"/spec/template/spec/containers/0/image: "web:1" -> "evil:1" by kubectl-edit"#);
    }

    #[test]
    fn a_removed_list_item_is_one_change() {
        let env = format!("{CONTAINERS}/k:{{\"name\":\"app\"}}");
        let mut live = taken(live(), &env, "f:env", json!({}));
        live.pointer_mut("/spec/template/spec/containers/0")
            .and_then(Value::as_object_mut)
            .unwrap()
            .remove("env");
        insta::assert_snapshot!(text(&lost(&desired(), Some(&live))), @r#"/spec/template/spec/containers/0/env/0: {"name":"MODE","value":"fast"} -> nothing by nobody that is known"#);
    }

    #[test]
    fn a_changed_atomic_list_is_lost_as_a_whole() {
        let container = format!("{CONTAINERS}/k:{{\"name\":\"app\"}}");
        let by = json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {
            "k:{\"name\":\"app\"}": {"f:args": {}}}}}}});
        let mut live = taken(live(), &container, "f:args", by);
        live["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["-q"]);
        insta::assert_snapshot!(text(&lost(&desired(), Some(&live))), @r#"/spec/template/spec/containers/0/args: ["-v","--port=80"] -> ["-q"] by kubectl-edit"#);
    }

    #[test]
    fn a_removed_label_is_lost_although_nobody_owns_it_now() {
        let mut live = taken(live(), "/f:metadata/f:labels", "f:team", json!({}));
        live["metadata"]["labels"] = json!({});
        insta::assert_snapshot!(text(&lost(&desired(), Some(&live))), @r#"/metadata/labels/team: "north" -> nothing by nobody that is known"#);
    }

    #[test]
    fn of_several_owners_the_newest_did_it() {
        let mut live =
            taken(live(), "/f:spec", "f:replicas", json!({"f:spec": {"f:replicas": {}}}));
        live["metadata"]["managedFields"].as_array_mut().unwrap().push(json!({
            "manager": "autoscaler", "operation": "Update", "time": "2026-01-03T00:00:00Z",
            "fieldsV1": {"f:spec": {"f:replicas": {}}}}));
        assert_eq!(lost(&desired(), Some(&live))[0].manager.as_deref(), Some("autoscaler"));
    }

    #[test]
    fn a_missing_object_is_one_change_without_a_path() {
        let changes = lost(&desired(), None);
        assert_eq!((changes.len(), changes[0].path.as_str()), (1, ""));
        assert_eq!(differs(&desired(), None, None).len(), 1);
    }

    #[test]
    fn an_object_that_somebody_else_made_has_lost_every_leaf() {
        let mut live = live();
        live["metadata"]["managedFields"] = json!([]);
        let paths: Vec<String> =
            lost(&desired(), Some(&live)).into_iter().map(|change| change.path).collect();
        insta::assert_snapshot!(paths.join("\n"), @"
        /metadata/labels/team
        /spec/replicas
        /spec/selector/matchLabels/app
        /spec/template/metadata/labels/app
        /spec/template/spec/containers/0/args
        /spec/template/spec/containers/0/env/0/value
        /spec/template/spec/containers/0/image
        /spec/template/spec/containers/0/resources/limits/memory
        ");
        assert_eq!(text(&differs(&desired(), Some(&live), None)), "");
    }

    #[test]
    fn nothing_of_an_object_that_was_decrypted_is_shown() {
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
            "data": {"url": "https://user:hunter2@db"}});
        let mut config = manifest(body.clone());
        config.secret = true;
        let mut live = body;
        live["data"]["url"] = json!("hunter3");
        let changes = text(&differs(&config, Some(&live), None));
        assert!(changes.contains("/data/url: <masked> -> <masked, differs>"), "{changes}");
    }

    #[test]
    fn secret_values_are_masked_and_still_said_to_differ() {
        let secret = manifest(json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "key"}, "data": {"password": "aHVudGVyMg==", "user": "YQ=="}}));
        let live = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"},
            "data": {"password": "b3RoZXI="}});
        let changes = text(&differs(&secret, Some(&live), None));
        insta::assert_snapshot!(changes, @"
        /data/password: <masked> -> <masked, differs> by nobody that is known
        /data/user: <masked> -> nothing by nobody that is known
        ");
        assert!(!text(&lost(&secret, Some(&live))).contains("aHVudGVyMg"));
    }

    #[test]
    fn long_values_are_cut() {
        let map = |value: String| {
            json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "a"}, "data": {"k": value}})
        };
        let changes = differs(&manifest(map("ä".repeat(5000))), Some(&map("x".to_owned())), None);
        assert_eq!(changes[0].old.as_ref().unwrap().chars().count(), 201);
    }

    #[test]
    fn the_revision_annotation_never_differs() {
        let map = |commit: &str| {
            json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "a", "annotations": {"leeward.dev/revision": commit}}})
        };
        assert_eq!(differs(&manifest(map("a")), Some(&map("b")), None), []);
    }

    #[test]
    fn an_ignored_field_does_not_differ() {
        let mut live = live();
        live["spec"]["replicas"] = 5.into();
        let rule = crate::model::IgnoreRule {
            kind: "Deployment".to_owned(),
            json_pointers: vec!["/spec/replicas".to_owned()],
            ..Default::default()
        };
        let ignored = super::super::ignore::ignored(&[desired()], &[rule], &[]).unwrap();
        assert_eq!(differs(&desired(), Some(&live), ignored.get(&desired().key)), []);
    }
}
