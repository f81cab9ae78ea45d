//! Claims about folders.

use std::collections::BTreeMap;

use super::*;
use crate::render::FileError;

type Folder = BTreeMap<String, Vec<u8>>;

fn folder<const N: usize>(files: [(&str, &str); N]) -> Folder {
    files.into_iter().map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).collect()
}

/// One line an object (`origin key`), or one line a fault.
fn shown_within(files: &dyn Files, limits: &Limits) -> String {
    match super::folder(files, limits) {
        Ok(manifests) => manifests
            .iter()
            .map(|m| format!("{} {}\n", m.origin, m.key))
            .collect::<Vec<_>>()
            .concat(),
        Err(error) => {
            error.faults.iter().map(|fault| format!("{fault}\n")).collect::<Vec<_>>().concat()
        }
    }
}

fn shown<const N: usize>(files: [(&str, &str); N]) -> String {
    shown_within(&folder(files), &Limits::default())
}

fn body(text: &str) -> String {
    let rendered = super::folder(&folder([("a.yaml", text)]), &Limits::default()).unwrap();
    rendered[0].body.to_string()
}

fn config_map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n")
}

#[test]
fn manifests_are_found_in_the_order_of_files_and_documents() {
    let one = config_map("one");
    let two =
        format!("# first\n---\n{}---\n{}---\n# nothing\n", config_map("two"), config_map("three"));
    let four = r#"{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "four", "namespace": "shop"}}"#;
    insta::assert_snapshot!(
        shown([
            ("z.yml", &one),
            ("b/c.yaml", &two),
            ("a.json", four),
            ("README.md", "# not: [yaml"),
            ("b/notes.txt", "not yaml"),
            (".hidden.yaml", "not yaml: ["),
            (".github/workflows/ci.yaml", "on: push"),
            ("b/.x/y.yaml", "on: push"),
            ("leeward.yaml", "not: a manifest"),
        ]),
        @r"
    a.json:1 Deployment.apps shop/four
    b/c.yaml:3 ConfigMap two
    b/c.yaml:7 ConfigMap three
    z.yml:1 ConfigMap one
    "
    );
}

#[test]
fn a_folder_that_declares_nothing_renders_to_nothing() {
    assert_eq!(
        super::folder(&folder([("a.yaml", "# empty\n")]), &Limits::default()),
        Ok(Vec::new())
    );
}

#[test]
fn every_fault_of_a_folder_is_named_with_its_place() {
    insta::assert_snapshot!(
        shown([
            ("shop/web.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    image: a\n    x: 1\n    image: b\n"),
            ("syntax.yaml", "a: [1\n---\n"),
            ("values.yaml", "replicas: 3\n"),
            ("list.yaml", "- a\n"),
            ("text.json", "\"a\""),
            ("no-kind.yaml", "apiVersion: v1\nmetadata: {name: a}\n"),
            ("no-version.yaml", "kind: Pod\nmetadata: {name: a}\n"),
            ("no-metadata.yaml", "apiVersion: v1\nkind: Pod\n"),
            ("no-name.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {labels: {}}\n"),
            ("generated.yaml", "apiVersion: batch/v1\nkind: Job\nmetadata:\n  generateName: a-\n"),
            ("types.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: 5\n  namespace: yes\n  labels:\n    version: 1.10\n    on: \"off\"\n    empty:\n  annotations: [a]\n"),
            ("names.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a/b, namespace: Shop}\n"),
            ("type.yaml", "apiVersion: a/b/c\nkind: [Pod]\nmetadata: {name: a}\n"),
            ("metadata.yaml", "apiVersion: v1\nkind: Pod\nmetadata: [name]\n"),
            ("number.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {x: .nan}\n"),
            ("apps.yaml", "apiVersion: leeward.dev/v1alpha1\nkind: Apps\nmetadata: {name: a}\napps: []\n"),
            ("more/sops.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nsops: {mac: abc}\n"),
        ]),
        @r#"
    apps.yaml:1:1: Apps are read only from leeward.yaml at the root of the source
    generated.yaml:4:3: metadata.generateName makes a new object at every apply: give it a metadata.name
    list.yaml:1:1: a manifest must be a mapping with apiVersion, found a list
    metadata.yaml:3:11: metadata must be a mapping, found a list
    Secret a (more/sops.yaml:4:7): the object is encrypted with SOPS, but the file as a whole is not: encrypt files, not what is generated from them
    Pod Shop/a/b (names.yaml:3:18): "a/b" is not a name for an object
    Pod Shop/a/b (names.yaml:3:34): "Shop" is not a name for a namespace
    no-kind.yaml:1:1: kind is missing
    no-metadata.yaml:1:1: metadata.name is missing
    no-name.yaml:3:11: metadata.name is missing
    no-version.yaml:1:1: apiVersion is missing
    number.yaml:4:11: .nan cannot be written as JSON: quote it if it is a text
    shop/web.yaml:9:5: duplicate key "image" (first at 7:5)
    syntax.yaml:1:4: unclosed bracket '['
    text.json:1:1: a manifest must be a mapping with apiVersion, found a string
    type.yaml:1:13: "a/b/c" is not an apiVersion
    type.yaml:2:7: kind must be a string, found a list
    types.yaml:4:9: metadata.name must be a string, found the number 5: quote it
    types.yaml:5:14: metadata.namespace must be a string, found the boolean yes: quote it
    types.yaml:7:14: metadata.labels.version must be a string, found the number 1.10: quote it
    types.yaml:9:10: metadata.labels.empty must be a string, found nothing
    types.yaml:10:16: metadata.annotations must be a mapping, found a list
    values.yaml:1:1: not a Kubernetes object: apiVersion and kind are missing (name the file in .leewardignore if it is none)
    "#
    );
}

#[test]
fn the_apps_document_is_refused_by_its_kind_when_it_has_no_name() {
    insta::assert_snapshot!(
        shown([("db/apps.yaml", "apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps: []\n")]),
        @r"db/apps.yaml:1:1: Apps are read only from leeward.yaml at the root of the source"
    );
}

#[test]
fn two_files_that_declare_one_object_are_both_named() {
    let twice = format!("{}---\n{}", config_map("b"), config_map("a"));
    insta::assert_snapshot!(shown([("one.yaml", &config_map("a")), ("two.yaml", &twice)]), @r"ConfigMap a (two.yaml:5:1): declared twice (first at one.yaml:1:1)");
}

#[test]
fn the_version_does_not_make_another_object_but_the_namespace_does() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n---\n\
                apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: a}\n---\n\
                apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: b}\n";
    insta::assert_snapshot!(shown([("a.yaml", text)]), @r"Deployment.apps a (a.yaml:5:1): declared twice (first at a.yaml:1:1)");
}

#[test]
fn lists_are_flattened_and_items_of_typed_lists_get_their_kind() {
    let text = "apiVersion: v1\nkind: List\nitems:\n\
                - apiVersion: v1\n  kind: ConfigMapList\n  items:\n  - metadata: {name: a}\n  - metadata: {name: b}\n\
                - apiVersion: v1\n  kind: Secret\n  metadata: {name: c}\n\
                - metadata: {name: d}\n- text\n---\n\
                apiVersion: v1\nkind: List\nitems:\n---\n\
                apiVersion: example.com/v1\nkind: AllowList\nmetadata: {name: e}\nspec: {items: [1]}\n";
    insta::assert_snapshot!(shown([("a.yaml", text)]), @r"
    a.yaml:12:3: not a Kubernetes object: apiVersion and kind are missing (name the file in .leewardignore if it is none)
    a.yaml:13:3: a manifest must be a mapping with apiVersion, found a string
    ");
    let good = text.replace("- metadata: {name: d}\n- text\n", "");
    insta::assert_snapshot!(shown([("a.yaml", &good)]), @r"
    a.yaml:7 ConfigMap a
    a.yaml:8 ConfigMap b
    a.yaml:9 Secret c
    a.yaml:17 AllowList.example.com e
    ");
}

#[test]
fn lists_in_lists_end() {
    let mut text = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}"#.to_owned();
    let mut nest = |levels: usize| {
        for _ in 0..levels {
            text = format!(r#"{{"apiVersion": "v1", "kind": "List", "items": [{text}]}}"#);
        }
        shown([("a.json", &text)])
    };
    insta::assert_snapshot!([nest(4), nest(1)].join(""), @r"
    a.json:1 Pod a
    a.json:1:189: lists are nested more than 4 deep
    ");
}

#[test]
fn a_name_of_megabytes_does_not_get_into_a_message() {
    let text = config_map(&format!("a/{}", "x".repeat(1 << 20)));
    let error = super::folder(&folder([("a.yaml", &text)]), &Limits::default()).unwrap_err();
    assert!(error.to_string().len() < 2_000);
}

#[test]
fn a_kustomization_is_built_and_its_parts_are_not_looked_at() {
    insta::assert_snapshot!(
        shown([
            ("a.yaml", &config_map("a")),
            ("base/kustomization.yaml", "resources: [deep, x.yaml]\nnamePrefix: p-"),
            ("base/patch.yaml", "- op: replace"),
            ("base/x.yaml", &config_map("x")),
            ("base/deep/values.yaml", "a: 1"),
            ("base/deep/Kustomization", "configMapGenerator: [{name: yy, literals: [a=b]}]"),
            ("base2/b.yaml", &config_map("b")),
            ("old/.leewardignore", "*"),
            ("old/kustomization.yml", ""),
        ]),
        @r"
    a.yaml:1 ConfigMap a
    base2/b.yaml:1 ConfigMap b
    base/x.yaml:1 ConfigMap p-x
    base/deep/Kustomization:1 ConfigMap p-yy-4h2mbtbbt6
    "
    );
}

#[test]
fn what_a_kustomization_lacks_is_named_with_the_way_to_it() {
    insta::assert_snapshot!(
        shown([
            ("outside/kustomization.yaml", "resources: [../../base]"),
            ("overlay/base/kustomization.yaml", "resources: [x.yaml]"),
            ("overlay/kustomization.yaml", "resources: [base]"),
            ("remote/kustomization.yaml", "resources: ['https://example.com/x.yaml']"),
            ("wrong/kustomization.yaml", "resources: []\nnamePrefx: a"),
        ]),
        @r"
    outside/kustomization.yaml:1:13: outside/../../base leads out of the repository
    overlay/base/kustomization.yaml:1:13: no such file or folder: overlay/base/x.yaml (used by overlay/kustomization.yaml)
    remote/kustomization.yaml:1:13: resources refers to https://example.com/x.yaml, which is remote: hydrate it in CI, or vendor it into this repository
    wrong/kustomization.yaml:2:1: namePrefx: no such field
    "
    );
}

#[test]
fn server_owned_fields_and_status_are_dropped_and_nothing_else() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  namespace:\n  labels:\n  annotations: {}\n  uid: x\n  resourceVersion: \"5\"\n  generation: 2\n  creationTimestamp: null\n  selfLink: /a\n  managedFields: []\n  finalizers: [f]\nspec:\n  status: kept\n  template: {metadata: {creationTimestamp: null}}\nstatus: {phase: Running}\n";
    insta::assert_snapshot!(body(text), @r#"{"apiVersion":"v1","kind":"Pod","metadata":{"annotations":{},"finalizers":["f"],"name":"a"},"spec":{"status":"kept","template":{"metadata":{"creationTimestamp":null}}}}"#);
}

#[test]
fn string_data_of_a_secret_becomes_data_and_wins() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {a: b2xk, b: Yg==}\nstringData: {a: new, c: \"\"}\n";
    insta::assert_snapshot!(body(text), @r#"{"apiVersion":"v1","data":{"a":"bmV3","b":"Yg==","c":""},"kind":"Secret","metadata":{"name":"a"}}"#);
    let other = text.replace("v1\nkind: Secret", "example.com/v1\nkind: Secret");
    insta::assert_snapshot!(body(&other), @r#"{"apiVersion":"example.com/v1","data":{"a":"b2xk","b":"Yg=="},"kind":"Secret","metadata":{"name":"a"},"stringData":{"a":"new","c":""}}"#);
}

#[test]
fn a_fault_in_a_secret_does_not_repeat_its_value() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n  pin: 123456\n  key: !!int hunter2\n";
    insta::assert_snapshot!(shown([("a.yaml", text)]), @r"
    Secret a (a.yaml:5:8): stringData.pin must be a string (quote it), found a number
    Secret a (a.yaml:6:14): stringData.key must be a string (quote it), found a value that does not fit its tag
    ");
}

#[test]
fn budgets_end_in_a_fault_that_names_the_budget() {
    let files = folder([
        ("a.yaml", &config_map("a")),
        ("b.yaml", &config_map("b")),
        ("c.yaml", &config_map("c")),
    ]);
    let all = [
        Limits { files: 2, ..Limits::default() },
        Limits { bytes: 100, ..Limits::default() },
        Limits { objects: 2, ..Limits::default() },
    ];
    insta::assert_snapshot!(all.map(|limits| shown_within(&files, &limits)).join(""), @r"
    the folder has 3 manifest files, at most 2 are read
    b.yaml: the manifests up to here exceed 100 bytes, the most that is read
    c.yaml:1:1: more than 2 objects in one app
    ");
}

#[test]
fn faults_beyond_the_limit_are_counted() {
    let files: Folder =
        (0..60).map(|index| (format!("{index:02}.yaml"), b"a: [".to_vec())).collect();
    let error = super::folder(&files, &Limits::default()).unwrap_err();
    assert_eq!(error.faults.len(), 51);
    assert_eq!(error.faults[50].message, "10 more faults are not listed");
    insta::assert_snapshot!(error, @r"00.yaml:1:4: unclosed bracket '[' (and 50 more)");
}

#[test]
fn a_huge_file_is_refused_before_it_is_parsed() {
    let files = BTreeMap::from([("a.yaml".to_owned(), vec![b' '; 50_000_000])]);
    let limits = Limits { bytes: 100 << 20, ..Limits::default() };
    insta::assert_snapshot!(shown_within(&files, &limits), @r"a.yaml:1:1: the file has 50000000 bytes, at most 4 MiB are read");
}

/// A folder of which one file has not arrived yet.
struct Partial;

impl Files for Partial {
    fn list(&self) -> Result<Vec<String>, FileError> {
        Ok(vec!["a.yaml".to_owned()])
    }
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        Err(FileError {
            path: path.to_owned(),
            message: "not in the store".to_owned(),
            missing: true,
        })
    }
    fn shown(&self, path: &str) -> String {
        format!("clusters/shop/{path}")
    }
}

#[test]
fn a_file_that_has_not_arrived_is_told_from_one_that_is_wrong() {
    let error = super::folder(&Partial, &Limits::default()).unwrap_err();
    assert!(error.missing);
    insta::assert_snapshot!(error, @r"clusters/shop/a.yaml: cannot be read: not in the store");
}

fn substituted(text: &str) -> String {
    let mut variables = Variables::default();
    for (name, value) in [("name", "web"), ("port", "80"), ("space", "a b")] {
        variables.set(name, value).unwrap();
    }
    let values = Values { variables: &variables, secrets: &SecretValues::default(), from: &[] };
    let files = folder([("a.yaml", text)]);
    let rendered = folder_with_secrets(&files, &Limits::default(), values);
    match rendered {
        Ok(manifests) => manifests
            .iter()
            .map(|m| format!("{} {} {}\n", m.origin, m.key, m.body["data"]))
            .collect::<Vec<_>>()
            .concat(),
        Err(error) => {
            error.faults.iter().map(|fault| format!("{fault}\n")).collect::<Vec<_>>().concat()
        }
    }
}

#[test]
fn variables_are_substituted_before_an_object_is_checked() {
    let text = format!("{}data: {{p: \"${{port}}\"}}\n", config_map("\"${name%b}-${port}\""));
    insta::assert_snapshot!(substituted(&text), @r#"a.yaml:1 ConfigMap we-80 {"p":80}"#);
}

#[test]
fn what_cannot_be_substituted_is_told_with_object_file_and_variable() {
    let text = [
        format!("{}data: {{p: \"${{prot}}\"}}\n", config_map("one")),
        format!("{}data: {{p: \"${{port\"}}\n", config_map("two")),
        config_map("\"${space}\""),
    ];
    insta::assert_snapshot!(substituted(&text.join("---\n")), @r#"
    ConfigMap one (a.yaml:1:1): the variable prot is not set and has no default (did you mean port?)
    ConfigMap two (a.yaml:6:1): the expression `${port` in line 3 of the object cannot be read: the closing brace is missing (a `$` that means itself is `$$`)
    ConfigMap a b (a.yaml:11:1): "a b" is not a name for an object
    "#);
}

fn with_pin(text: &str) -> Result<Rendered, RenderError> {
    let mut secrets = SecretValues::default();
    secrets.set("pin", "4711", "1").unwrap();
    let values = Values { variables: &Variables::default(), secrets: &secrets, from: &[] };
    folder_with_secrets(&folder([("a.yaml", text)]), &Limits::default(), values)
}

#[test]
fn what_holds_a_value_of_a_secret_is_marked_and_nothing_else_is() {
    let text =
        format!("{}data: {{p: \"a${{pin}}\"}}\n---\n{}", config_map("one"), config_map("two"));
    let rendered = with_pin(&text).unwrap();
    assert_eq!(rendered[0].body["data"]["p"], "a4711");
    let marks = |index: usize| (rendered[index].secret, rendered[index].stand_in.is_some());
    assert_eq!([marks(0), marks(1)], [(true, true), (false, false)]);
}

#[test]
fn faults_do_not_show_the_value_of_a_secret() {
    let object = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {p: \"${pin}\"}}\n";
    insta::assert_snapshot!(with_pin(object).unwrap_err(), @"ConfigMap a (a.yaml:1:1): metadata.labels.p must be a string (what was found may be a Secret's value)");
}
