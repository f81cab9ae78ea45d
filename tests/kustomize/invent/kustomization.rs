//! Fields of kustomizations.

use serde_json::{Value, json};

use super::{Inventor, NAMESPACES, style};

impl Inventor {
    /// Adds some of all fields.
    pub(super) fn features(&mut self, folder: &str, kustomization: &mut Value) {
        let scale = self.one_of(&[25, 40, 40, 60]);
        let mut wants = |percent: u64| self.seed.below(10_000) < percent * scale;
        let wanted: Vec<&str> = [
            ("namespace", 35),
            ("namePrefix", 35),
            ("nameSuffix", 25),
            ("commonLabels", 25),
            ("labels", 35),
            ("commonAnnotations", 25),
            ("images", 35),
            ("replicas", 15),
            ("patches", 60),
            ("patchesStrategicMerge", 10),
            ("patchesJson6902", 8),
            ("configMapGenerator", 35),
            ("secretGenerator", 25),
            ("generatorOptions", 15),
            ("replacements", 35),
            ("vars", 10),
            ("buildMetadata", 10),
            ("sortOptions", 10),
            ("transformers", 15),
            ("configurations", 12),
        ]
        .into_iter()
        .filter(|(_, percent)| wants(*percent))
        .map(|(field, _)| field)
        .collect();
        for field in wanted {
            kustomization[field] = self.field(folder, field);
        }
    }

    fn field(&mut self, folder: &str, field: &str) -> Value {
        match field {
            "namespace" => json!(self.one_of(&["prod", "team-a", "ns"])),
            "namePrefix" => json!(self.one_of(&["p-", "dev-"])),
            "nameSuffix" => json!(self.one_of(&["-s", "-v1"])),
            "commonLabels" => {
                json!({ self.one_of(&["app", "team", "x/y"]): self.one_of(&["web", "true"]) })
            }
            "commonAnnotations" => json!({ self.one_of(&["note", "ca"]): self.text() }),
            "labels" => (0..=self.index(2)).map(|_| self.label()).collect(),
            "images" => (0..=self.index(2)).map(|_| self.image()).collect(),
            "replicas" => json!([{ "name": self.name(), "count": self.index(9) }]),
            "patches" => (0..=self.index(3)).map(|_| self.patch(folder)).collect(),
            "patchesStrategicMerge" => {
                let object = self.target();
                let patch = self.merge_patch(&object);
                json!([style::document(&mut self.seed, &patch)])
            }
            "patchesJson6902" => self.old_json_patch(),
            "configMapGenerator" => json!([self.generator(folder, "ConfigMap")]),
            "secretGenerator" => json!([self.generator(folder, "Secret")]),
            "generatorOptions" => self.one_of(&[
                json!({ "disableNameSuffixHash": true }),
                json!({ "labels": { "go": "1" }, "immutable": true }),
                json!({ "annotations": { "goa": "t" } }),
            ]),
            "replacements" => (0..=self.index(2)).map(|_| self.replacement()).collect(),
            "vars" => self.variable(),
            "buildMetadata" => {
                json!(
                    self.some(
                        &["originAnnotations", "transformerAnnotations", "managedByLabel"],
                        3
                    )
                )
            }
            "sortOptions" => self.one_of(&[
                json!({ "order": "fifo" }),
                json!({ "order": "legacy" }),
                json!({ "order": "legacy", "legacySortOptions":
                    { "orderFirst": ["Service", "Deployment"], "orderLast": ["ConfigMap"] } }),
            ]),
            "transformers" => {
                let transformer = self.transformer();
                json!([style::document(&mut self.seed, &transformer)])
            }
            _ => {
                let configuration = self.configuration();
                let text = style::document(&mut self.seed, &configuration);
                self.files.insert(format!("{folder}/configuration.yaml"), text.into_bytes());
                json!(["configuration.yaml"])
            }
        }
    }

    fn label(&mut self) -> Value {
        let mut label = json!({ "pairs": { self.one_of(&["app", "env", "l"]): self.one_of(&["w", "1", "no"]) } });
        match self.index(4) {
            0 => label["includeSelectors"] = json!(true),
            1 => label["includeTemplates"] = json!(true),
            _ => {}
        }
        if self.chance(15) {
            label["fields"] =
                json!([{ "path": "spec/custom/labels", "create": true, "kind": "Foo" }]);
        }
        label
    }

    fn image(&mut self) -> Value {
        let name = self.one_of(&["nginx", "registry.io:5000/app/web", "quay.io/x/api", "busybox"]);
        let mut image = json!({ "name": name });
        if self.chance(50) {
            image["newName"] = json!(self.one_of(&["mirror/n", "n:5000/q"]));
        }
        match self.index(6) {
            0 => image["digest"] = json!(format!("sha256:{}", "b".repeat(64))),
            1 => image["tagSuffix"] = json!("-alpine"),
            _ => image["newTag"] = json!(self.one_of(&["2.0", "v3", "1"])),
        }
        image
    }

    fn old_json_patch(&mut self) -> Value {
        let object = self.target();
        let (group, version) =
            match object["apiVersion"].as_str().unwrap_or_default().split_once('/') {
                Some((group, version)) => (group.to_owned(), version.to_owned()),
                None => (String::new(), "v1".to_owned()),
            };
        let operation =
            json!([{ "op": "add", "path": "/metadata/labels", "value": { "old": self.text() } }]);
        json!([{ "patch": operation.to_string(), "target": { "group": group, "version": version,
            "kind": object["kind"], "name": object["metadata"]["name"] } }])
    }

    /// A new one, or one that goes into what another made below.
    fn generator(&mut self, folder: &str, kind: &'static str) -> Value {
        let mut generator = json!({ "name": format!("gen{}", self.generated.len()) });
        let same: Vec<_> = self.generated.iter().filter(|known| known.0 == kind).cloned().collect();
        if folder.starts_with("over") && !same.is_empty() && self.chance(50) {
            let (_, name, namespace) = self.one_of(&same);
            generator = json!({ "name": name, "behavior": self.one_of(&["merge", "replace"]) });
            if !namespace.is_null() {
                generator["namespace"] = namespace;
            }
        } else {
            if self.chance(15) {
                generator["namespace"] = json!(self.one_of(&NAMESPACES));
            }
            let name = generator["name"].as_str().unwrap_or_default().to_owned();
            self.generated.push((kind, name, generator["namespace"].clone()));
        }
        if self.chance(70) {
            let values = ["v", "", "a=b", "'q'", "\"d q\"", "x y", "1", "true", "é"];
            let literals = self.some(&["k", "L1", "l.2"], 2);
            let literals: Vec<String> =
                literals.into_iter().map(|key| format!("{key}={}", self.one_of(&values))).collect();
            generator["literals"] = json!(literals);
        }
        if self.chance(30) {
            generator["files"] = json!(self.some(&["f.txt", "renamed=f.txt", "g.bin"], 2));
            self.files.insert(format!("{folder}/f.txt"), b"content of f\n".to_vec());
            self.files.insert(format!("{folder}/g.bin"), b"\xff\0bin".to_vec());
        }
        if self.chance(30) {
            generator["envs"] = json!(["e.env"]);
            let env = "# a comment\nE1=v1\nE2=\nE3='q'\nE4=a b\n";
            self.files.insert(format!("{folder}/e.env"), env.into());
        }
        if self.chance(25) {
            generator["options"] = self.one_of(&[
                json!({ "disableNameSuffixHash": true }),
                json!({ "labels": { "gen": "x" }, "immutable": true }),
                json!({ "annotations": { "ga": "v" } }),
            ]);
        }
        if kind == "Secret" && self.chance(30) {
            generator["type"] = json!("kubernetes.io/tls");
        }
        generator
    }

    fn variable(&mut self) -> Value {
        let object = self.target();
        let mut variable = json!({ "name": "VAR", "objref": { "apiVersion": object["apiVersion"],
            "kind": object["kind"], "name": object["metadata"]["name"] } });
        if self.chance(30) {
            variable["fieldref"]["fieldpath"] = json!("metadata.labels.app");
        }
        json!([variable])
    }

    fn transformer(&mut self) -> Value {
        let (kind, fields) = self.one_of(&[
            ("PrefixTransformer", json!({ "prefix": "t-", "fieldSpecs": [{ "path": "metadata/name" }] })),
            ("SuffixTransformer", json!({ "suffix": "-t", "fieldSpecs": [{ "path": "metadata/name", "kind": "Service" }] })),
            ("LabelTransformer", json!({ "labels": { "tl": "v" }, "fieldSpecs": [{ "path": "metadata/labels", "create": true }] })),
            ("AnnotationsTransformer", json!({ "annotations": { "ta": "v" },
                "fieldSpecs": [{ "path": "metadata/annotations", "create": true }] })),
            ("NamespaceTransformer", json!({ "metadata": { "name": "t", "namespace": "tns" },
                "setRoleBindingSubjects": "allServiceAccounts", "fieldSpecs": [{ "path": "metadata/namespace", "create": true }] })),
            ("NamespaceTransformer", json!({ "metadata": { "name": "t", "namespace": "tns" }, "unsetOnly": true })),
            ("ImageTagTransformer", json!({ "imageTag": { "name": "nginx", "newTag": "t" },
                "fieldSpecs": [{ "path": "spec/image" }] })),
            ("ReplicaCountTransformer", json!({ "replica": { "name": "web", "count": 4 },
                "fieldSpecs": [{ "path": "spec/replicas", "create": true, "kind": "Deployment" }] })),
            ("PatchTransformer", json!({ "target": { "kind": "Service" },
                "patch": "- {op: add, path: /metadata/labels, value: {pt: x}}" })),
            ("ValueAddTransformer", json!({ "value": "vv",
                "targets": [{ "fieldPath": "metadata/labels/added", "selector": { "kind": "Deployment" } }] })),
            ("HashTransformer", json!({})),
        ]);
        let mut transformer =
            json!({ "apiVersion": "builtin", "kind": kind, "metadata": { "name": "t" } });
        if let (Some(all), Value::Object(own)) = (transformer.as_object_mut(), fields) {
            all.extend(own);
        }
        transformer
    }

    fn configuration(&mut self) -> Value {
        self.one_of(&[
            json!({ "nameReference": [{ "kind": "ConfigMap", "version": "v1",
                "fieldSpecs": [{ "path": "spec/secretName", "kind": "Foo" }] }] }),
            json!({ "nameReference": [{ "kind": "Secret", "fieldSpecs": [{ "path": "spec/secretName", "kind": "Certificate" }] },
                { "kind": "Deployment", "fieldSpecs": [{ "path": "data/k", "kind": "ConfigMap" }] }] }),
            json!({ "images": [{ "path": "spec/image", "kind": "Foo" }] }),
            json!({ "commonLabels": [{ "path": "spec/custom/labels", "create": true, "kind": "Foo" }] }),
            json!({ "namePrefix": [{ "path": "metadata/annotations/note" }] }),
            json!({ "namespace": [{ "path": "spec/ns", "create": true, "kind": "Foo" }] }),
            json!({ "replicas": [{ "path": "spec/replicas", "kind": "Foo" }] }),
            json!({ "varReference": [{ "path": "metadata/annotations" }, { "path": "spec/deep/er", "kind": "Foo" }] }),
        ])
    }
}
