//! Patches and replacements, most of them for what is there.

use serde_json::{Value, json};

use super::{Inventor, NAMESPACES, style};

/// Keys and indices of a value in an object, each with the name of the item that it leads to.
type Steps = Vec<(String, Option<String>)>;

impl Inventor {
    /// An entry of `patches`, perhaps with a file below the folder.
    pub(super) fn patch(&mut self, folder: &str) -> Value {
        let object = self.target();
        let (text, mut entry) = if self.chance(55) {
            let patch = self.merge_patch(&object);
            let mut entry = json!({});
            if self.chance(25) {
                entry["target"] = self.selector(&object);
            }
            if self.chance(15) {
                entry["options"] = self.one_of(&[
                    json!({ "allowNameChange": true }),
                    json!({ "allowKindChange": true }),
                ]);
            }
            (style::document(&mut self.seed, &patch), entry)
        } else {
            (self.json_patch(&object), json!({ "target": self.selector(&object) }))
        };
        if self.chance(40) {
            let name = format!("patch{}.yaml", self.files.len());
            self.files.insert(format!("{folder}/{name}"), text.into_bytes());
            entry["path"] = json!(name);
        } else {
            entry["patch"] = json!(text);
        }
        entry
    }

    pub(super) fn merge_patch(&mut self, object: &Value) -> Value {
        let mut patch = json!({
            "apiVersion": object["apiVersion"], "kind": object["kind"],
            "metadata": { "name": object["metadata"]["name"] },
        });
        if let Some(namespace) = object["metadata"].get("namespace") {
            patch["metadata"]["namespace"] = namespace.clone();
        }
        match self.index(8) {
            0 => patch["$patch"] = json!("delete"),
            1 => {
                patch["metadata"]["labels"] = json!({ "app": "patched" });
                patch["metadata"]["annotations"] = json!({ "note": null });
            }
            _ if object["spec"]["template"].is_object() => {
                patch["spec"]["template"]["spec"] = self.pod_patch();
                if self.chance(30) {
                    patch["spec"]["replicas"] = self.one_of(&[json!(7), json!(null)]);
                }
            }
            _ => match object["kind"].as_str() {
                Some("Service") => {
                    patch["spec"]["ports"] = self.one_of(&[
                        json!([{ "port": 80, "targetPort": 9 }]),
                        json!([{ "port": 81, "protocol": "TCP" }]),
                        json!([{ "port": 80, "$patch": "delete" }]),
                        json!([{ "$patch": "replace" }, { "port": 5 }]),
                    ]);
                }
                Some("ConfigMap" | "Secret") => {
                    patch["data"] = self.one_of(&[
                        json!({ "k": "cGF0Y2g=" }),
                        json!({ "k": null }),
                        json!({ "$patch": "replace", "n": "bg==" }),
                        json!(null),
                        json!({}),
                    ]);
                }
                Some("Foo") => {
                    patch["spec"] = self.one_of(&[
                        json!({ "list": [{ "name": "a", "v": "z" }], "deep": { "er": null } }),
                        json!({ "list": [{ "$patch": "replace" }, { "name": "q" }] }),
                        json!({ "list": null, "deep": { "$patch": "delete" } }),
                        json!({ "deep": { "$patch": "replace", "o": 1 } }),
                    ]);
                }
                _ => patch["metadata"]["annotations"] = json!({ "patched": self.text() }),
            },
        }
        patch
    }

    fn pod_patch(&mut self) -> Value {
        let name = self.one_of(&["main", "side", "web", "new"]);
        let mut container = self.container(name);
        match self.index(6) {
            0 => container = json!({ "name": name, "$patch": "delete" }),
            1 => container["$patch"] = json!("replace"),
            2 => container = json!({ "name": name, "env": [{ "name": "A", "$patch": "delete" }] }),
            3 => {
                container["env"] = self.one_of(&[
                    json!(null),
                    json!([]),
                    json!([{ "name": "A", "value": "new" }]),
                ]);
            }
            _ => {}
        }
        let mut pod = json!({ "containers": [container] });
        if self.chance(30) {
            pod["volumes"] =
                json!([{ "name": self.one_of(&["v1", "v3"]), "emptyDir": { "medium": "Memory" } }]);
        }
        if self.chance(20) {
            pod["nodeSelector"] = self.one_of(&[json!(null), json!({}), json!({ "disk": "ssd" })]);
        }
        pod
    }

    fn json_patch(&mut self, object: &Value) -> String {
        let mut operations = Vec::new();
        for _ in 0..=self.index(2) {
            let (steps, found) = self.walk(object);
            let segments = steps.iter().map(|(key, _)| key.replace('~', "~0").replace('/', "~1"));
            let path = format!("/{}", segments.collect::<Vec<_>>().join("/"));
            let value = self.value();
            operations.push(match (self.index(6), &found) {
                (0, _) => json!({ "op": "test", "path": path, "value": found }),
                (1, _) => json!({ "op": "remove", "path": path }),
                (2, _) => json!({ "op": "copy", "from": path, "path": "/metadata/annotations" }),
                (3, Value::Array(_)) => {
                    json!({ "op": "add", "path": format!("{path}/-"), "value": value })
                }
                (3, Value::Object(_)) => {
                    json!({ "op": "add", "path": format!("{path}/new"), "value": value })
                }
                (4, _) => json!({ "op": "add", "path": path, "value": value }),
                _ => json!({ "op": "replace", "path": path, "value": value }),
            });
        }
        if self.chance(30) {
            json!(operations).to_string()
        } else {
            style::document(&mut self.seed, &json!(operations))
        }
    }

    /// A way down into an object, in most cases to its end.
    fn walk(&mut self, object: &Value) -> (Steps, Value) {
        let (mut steps, mut at) = (Vec::new(), object);
        loop {
            match at {
                Value::Object(map) if !map.is_empty() => {
                    let which = self.index(map.len());
                    let Some((key, value)) = map.iter().nth(which) else { break };
                    steps.push((key.clone(), None));
                    at = value;
                }
                Value::Array(items) if !items.is_empty() => {
                    let which = self.index(items.len());
                    at = &items[which];
                    steps.push((which.to_string(), at["name"].as_str().map(str::to_owned)));
                }
                _ => break,
            }
            if steps.len() > 1 && self.chance(12) {
                break;
            }
        }
        (steps, at.clone())
    }

    /// Selects the object, alone or among others.
    pub(super) fn selector(&mut self, object: &Value) -> Value {
        let mut selector = json!({ "kind": object["kind"] });
        if self.chance(50) {
            selector["name"] = object["metadata"]["name"].clone();
        } else if self.chance(20) {
            selector["name"] = json!(self.one_of(&["web.*", ".*", "w", "api|db", "(web|api)"]));
        }
        match self.index(12) {
            0 => {
                selector["labelSelector"] =
                    json!(self.one_of(&["app=web", "app", "app!=a", "app in (a,b)", "!app"]));
            }
            1 => selector["annotationSelector"] = json!(self.one_of(&["note", "z=a", "note!=a"])),
            2 => selector["namespace"] = json!(self.one_of(&NAMESPACES)),
            3 => {
                selector["kind"] = json!(self.one_of(&["Deploy.*", "Deployment|Service", ".*Set"]));
            }
            _ => {}
        }
        selector
    }

    pub(super) fn replacement(&mut self) -> Value {
        let mut targets = Vec::new();
        for _ in 0..=self.index(2) {
            let object = self.target();
            let mut target = json!({ "select": self.one_object(&object), "fieldPaths": [self.field_path(&object)] });
            if self.chance(20) {
                let other = self.target();
                target["reject"] = json!([self.one_object(&other)]);
            }
            if self.chance(30) {
                target["options"]["delimiter"] = json!(self.one_of(&[":", "/", ".", "-"]));
                target["options"]["index"] =
                    self.one_of(&[json!(0), json!(0), json!(1), json!(-1), json!(5)]);
            }
            if self.chance(50) {
                target["options"]["create"] = json!(true);
            }
            targets.push(target);
        }
        if self.chance(10) {
            return json!({ "sourceValue": self.text(), "targets": targets });
        }
        let object = self.target();
        let mut source = self.one_object(&object);
        source["fieldPath"] = json!(self.field_path(&object));
        if self.chance(30) {
            source["options"] =
                json!({ "delimiter": self.one_of(&[":", "/", ".", "-"]), "index": 0 });
        }
        json!({ "source": source, "targets": targets })
    }

    fn one_object(&mut self, object: &Value) -> Value {
        let mut id = json!({ "kind": object["kind"] });
        if self.chance(80) {
            id["name"] = object["metadata"]["name"].clone();
        }
        id
    }

    fn field_path(&mut self, object: &Value) -> String {
        let steps = self.walk(object).0;
        let mut parts = Vec::new();
        for (key, name) in steps {
            parts.push(match name {
                Some(name) if self.chance(50) => format!("[name={name}]"),
                Some(_) if self.chance(20) => "*".to_owned(),
                _ if key.contains(['.', '/']) => format!("[{key}]"),
                _ => key,
            });
        }
        parts.join(".")
    }
}
