//! What the real Kustomize does although nobody would expect it. Every output
//! here is that of `kustomize build` 5.8.1 on the same files.

use std::collections::BTreeMap;

use leeward_kustomize::{BuildError, Options, build};

fn built(files: &[(&str, &str)]) -> Result<String, Box<BuildError>> {
    let files: BTreeMap<_, _> =
        files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    build(&files, "over", &Options::default()).map(|build| build.to_yaml())
}

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  selector: {matchLabels: {k: v}}
  template:
    metadata: {labels: {k: v}}
";

const SELECTING: &str = "resources: [r.yaml]
labels: [{pairs: {l: base}, includeSelectors: true}]
";

const MAP: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {k: v}
";

#[test]
fn label_that_an_overlay_changes_changes_wherever_the_base_put_it() {
    let overlays = [
        "resources: [../base]\nlabels: [{pairs: {l: over}}]\n",
        "resources: [../base]\npatches: [{patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, labels: {l: over}}}'}]\n",
        "resources: [../base]\nreplacements: [{sourceValue: over, targets: [{select: {kind: Deployment}, fieldPaths: [metadata.labels.l]}]}]\n",
    ];
    for overlay in overlays {
        let text = built(&[
            ("base/r.yaml", DEPLOYMENT),
            ("base/kustomization.yaml", SELECTING),
            ("over/kustomization.yaml", overlay),
        ]);
        let text = text.unwrap();
        assert_eq!((text.matches("l: over").count(), text.matches("l: base").count()), (3, 0));
    }
}

#[test]
fn label_that_a_json_patch_changes_changes_there_only() {
    let patch = "- {op: replace, path: /metadata/labels/l, value: over}";
    let overlay = format!(
        "resources: [../base]\npatches: [{{target: {{kind: Deployment}}, patch: '{patch}'}}]\n"
    );
    let labels = "labels: [{pairs: {l: last}}]\n";
    for (overlay, expected) in [(overlay.clone(), (1, 2)), (format!("{overlay}{labels}"), (0, 2))] {
        let text = built(&[
            ("base/r.yaml", DEPLOYMENT),
            ("base/kustomization.yaml", SELECTING),
            ("over/kustomization.yaml", &overlay),
        ]);
        let text = text.unwrap();
        assert_eq!((text.matches("l: over").count(), text.matches("l: base").count()), expected);
    }
}

const NUMBERS: &str = "apiVersion: v1
kind: ConfigMap
metadata:
  name: a
  annotations: {float: 1.10, octal: 0644, scientific: 1e3, quoted: '1.10'}
";

/// The annotations of what it builds to.
fn annotations(kustomization: &str, manifests: &str) -> String {
    let text = built(&[("over/kustomization.yaml", kustomization), ("over/r.yaml", manifests)])
        .expect("it builds");
    let lines = text.lines().skip_while(|line| !line.contains("annotations:")).skip(1);
    lines.take_while(|line| line.starts_with("    ")).map(str::trim).collect::<Vec<_>>().join(", ")
}

#[test]
fn annotation_that_is_a_number_is_the_text_of_the_file() {
    assert_eq!(
        annotations("resources: [r.yaml]", NUMBERS),
        r#"float: "1.10", octal: "0644", quoted: "1.10", scientific: "1e3""#
    );
}

#[test]
fn annotation_that_is_a_number_is_another_text_after_a_json_patch_and_in_a_list() {
    let patched = "resources: [r.yaml]
patches: [{target: {kind: ConfigMap}, patch: '- {op: add, path: /data, value: {}}'}]";
    let json = r#"float: "1.1", octal: "420", quoted: "1.10", scientific: "1000""#;
    assert_eq!(annotations(patched, NUMBERS), json);
    let list = format!("apiVersion: v1\nkind: ConfigMapList\nitems:\n- {}", NUMBERS.trim_end())
        .replace('\n', "\n  ")
        .replace("\n  kind: ConfigMapList\n  items:\n  -", "\nkind: ConfigMapList\nitems:\n-");
    assert_eq!(annotations("resources: [r.yaml]", &list), json);
}

#[test]
fn annotation_that_a_patch_takes_away_is_the_text_null_when_the_patch_may_change_names() {
    let patch = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, annotations: {x: null}}}";
    let plain = format!("resources: [r.yaml]\npatches: [{{patch: '{patch}'}}]\n");
    assert_eq!(annotations(&plain, MAP), "");
    let option = plain.replace("'}]", "', options: {allowNameChange: true}}]");
    assert_eq!(annotations(&option, MAP), r#"x: "null""#);
}

fn with_json_patch(operation: &str) -> Result<String, Box<BuildError>> {
    let kustomization = format!(
        "resources: [r.yaml]\npatches: [{{target: {{kind: ConfigMap}}, patch: '- {operation}'}}]\n"
    );
    built(&[("over/kustomization.yaml", &kustomization), ("over/r.yaml", MAP)])
}

#[test]
fn key_that_is_not_there_is_copied_as_null() {
    let text = with_json_patch("{op: copy, from: /nothing, path: /data/x}").unwrap();
    assert!(text.contains("\n  x: null\n"), "{text}");
    let error = with_json_patch("{op: copy, from: /nothing/below, path: /data/x}").unwrap_err();
    assert!(error.to_string().contains("there is no \"nothing\""), "{error}");
}

#[test]
fn annotations_that_a_json_patch_makes_a_text_are_none() {
    let text = with_json_patch("{op: copy, from: /metadata/name, path: /metadata/annotations}");
    assert!(!text.unwrap().contains("annotations"));
}

#[test]
fn object_without_kind_or_name_is_refused_at_the_end() {
    for field in ["kind", "metadata.name"] {
        let path = field.replace('.', "/");
        let error = with_json_patch(&format!("{{op: remove, path: /{path}}}")).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("over/r.yaml:1:1: "), "{error}");
        assert!(error.contains(&format!("{field} is missing")), "{error}");
    }
}

#[test]
fn component_may_not_call_two_objects_the_same() {
    let two = format!("{MAP}---\n{}", MAP.replace("name: a", "name: b"));
    let component = "kind: Component
apiVersion: kustomize.config.k8s.io/v1alpha1
replacements: [{sourceValue: a, targets: [{select: {name: b}, fieldPaths: [metadata.name]}]}]
";
    let error = built(&[
        ("over/kustomization.yaml", "resources: [r.yaml]\ncomponents: [../component]\n"),
        ("over/r.yaml", &two),
        ("component/kustomization.yaml", component),
    ]);
    assert!(error.unwrap_err().to_string().contains("ConfigMap a is declared twice"));
}

/// What the value of a field of an object becomes.
fn field(yaml: &str) -> String {
    let object = format!("apiVersion: v1\nkind: Foo\nmetadata: {{name: a}}\nspec:\n  x: {yaml}\n");
    let text =
        built(&[("over/kustomization.yaml", "resources: [r.yaml]"), ("over/r.yaml", &object)])
            .expect("it builds");
    text.split_once("spec:\n  x:").expect("it is there").1.trim().to_owned()
}

#[test]
fn what_is_not_there_is_an_empty_text_in_braces_and_null_without() {
    assert_eq!(
        ["", "{a: }", "{a}", "[a: ]", "{a: null, b: ~}"].map(field),
        ["null", "a: \"\"", "a: \"\"", "- a: \"\"", "a: null\n    b: null"]
    );
}

#[test]
fn time_in_brackets_is_the_text_of_the_file() {
    assert_eq!(
        ["2001-12-14t21:59:43.10-05:00", "[2001-12-14t21:59:43.10-05:00]", "[2001-12-14]"]
            .map(field),
        [
            "\"2001-12-14T21:59:43.1-05:00\"",
            "- \"2001-12-14t21:59:43.10-05:00\"",
            "- \"2001-12-14T00:00:00Z\""
        ]
    );
}

#[test]
fn tag_of_some_program_makes_a_text_of_a_scalar_and_nothing_of_a_collection() {
    assert_eq!(
        ["!foo 5", "!foo", "!!foo true", "!foo {a: b}", "!!omap [a: b]", "! 5", "! '5'"].map(field),
        ["\"5\"", "\"\"", "\"true\"", "a: b", "- a: b", "5", "\"5\""]
    );
}
