//! Hostile input ends in a clear error, in bounded time and memory.

use std::{collections::BTreeMap, fmt::Write as _};

use leeward_kustomize::{BuildError, Options, Problem, build};

fn failure(files: &[(&str, &str)]) -> BuildError {
    let files: BTreeMap<_, _> =
        files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    *build(&files, "", &Options::default()).expect_err("it must not build")
}

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

#[test]
fn a_billion_laughs_end_at_the_limit() {
    let mut laughs = String::from(MAP);
    laughs.push_str("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let alias = format!("*a{}", level - 1);
        let _ = writeln!(laughs, "a{level}: &a{level} [{}]", [alias.as_str(); 10].join(", "));
    }
    for file in ["kustomization.yaml", "r.yaml"] {
        let root = if file == "r.yaml" { "resources: [r.yaml]" } else { &laughs };
        let error = failure(&[("kustomization.yaml", root), ("r.yaml", &laughs)]);
        assert!(matches!(error.problem, Problem::Yaml(_)), "{error}");
    }
}

#[test]
fn a_message_repeats_no_more_than_a_page() {
    let path = "a".repeat(50_000);
    let kustomization = format!(
        "resources: [r.yaml]\nreplacements: [{{sourceValue: x, targets: [{{select: {{kind: ConfigMap}}, fieldPaths: [{path}]}}]}}]"
    );
    let message = failure(&[("kustomization.yaml", &kustomization), ("r.yaml", MAP)]).to_string();
    assert!(message.starts_with("kustomization.yaml:2:16: replacement: \"aaa"), "{message}");
    assert!(message.len() < 2_200, "{} bytes", message.len());
}

#[test]
fn a_hundred_megabytes_end_at_the_limit() {
    let large = "# \n".repeat(35 << 20);
    let error = failure(&[("kustomization.yaml", "resources: [r.yaml]"), ("r.yaml", &large)]);
    assert_eq!(
        error.to_string(),
        "r.yaml: more than 16777216 bytes in one file, the most that one build may have (in kustomization.yaml)"
    );
    let error = failure(&[("kustomization.yaml", &large)]);
    assert!(matches!(error.problem, Problem::Limit { .. }), "{error}");
}

#[test]
fn ten_thousand_levels_end_at_the_limit() {
    let deep = format!("{MAP}a: {}{}\n", "[".repeat(10_000), "]".repeat(10_000));
    let error = failure(&[("kustomization.yaml", "resources: [r.yaml]"), ("r.yaml", &deep)]);
    assert!(matches!(error.problem, Problem::Yaml(_)), "{error}");
    let mut block = String::from(MAP);
    for level in 0..10_000 {
        let _ = writeln!(block, "{}a:", " ".repeat(level));
    }
    let error = failure(&[("kustomization.yaml", "resources: [r.yaml]"), ("r.yaml", &block)]);
    assert!(matches!(error.problem, Problem::Yaml(_) | Problem::Limit { .. }), "{error}");
}

#[test]
fn patches_that_nest_deeper_and_deeper_end_at_the_limit() {
    let mut patch = String::from("- {op: add, path: /a, value: {}}\n");
    for level in 1..5_000 {
        let _ = writeln!(patch, "- {{op: add, path: {}, value: {{}}}}", "/a".repeat(level));
    }
    let kustomization = "resources: [r.yaml]\npatches: [{path: p.yaml, target: {kind: ConfigMap}}]";
    let error =
        failure(&[("kustomization.yaml", kustomization), ("r.yaml", MAP), ("p.yaml", &patch)]);
    assert!(matches!(error.problem, Problem::Limit { .. }), "{error}");
    let copies = "- {op: copy, from: /metadata, path: /metadata/a}\n".repeat(5_000);
    let error =
        failure(&[("kustomization.yaml", kustomization), ("r.yaml", MAP), ("p.yaml", &copies)]);
    assert!(matches!(error.problem, Problem::Limit { .. }), "{error}");
}

#[test]
fn replacements_that_double_end_at_the_limit() {
    let one = "- source: {kind: ConfigMap, fieldPath: data.a}\n  targets: [{select: {kind: ConfigMap}, fieldPaths: [data.a], options: {delimiter: ',', index: 99999999}}]\n";
    let kustomization = format!("resources: [r.yaml]\nreplacements:\n{}", one.repeat(64));
    let map = format!("{MAP}data: {{a: xxxxxxxxxxxxxxxx}}\n");
    let error = failure(&[("kustomization.yaml", &kustomization), ("r.yaml", &map)]);
    assert!(matches!(error.problem, Problem::Limit { .. }), "{error}");
    let nest = "- source: {kind: ConfigMap, fieldPath: data}\n  targets: [{select: {kind: ConfigMap}, fieldPaths: [data.a], options: {create: true}}]\n";
    let kustomization = format!("resources: [r.yaml]\nreplacements:\n{}", nest.repeat(2_000));
    let map = format!("{MAP}data: {{a: {{}}, b: {{}}}}\n");
    let error = failure(&[("kustomization.yaml", &kustomization), ("r.yaml", &map)]);
    assert!(matches!(error.problem, Problem::Limit { .. }), "{error}");
}

#[test]
fn kustomizations_that_fan_out_end_at_the_limit() {
    // Each level builds the next twice: 2^30 of them.
    let mut files = vec![("kustomization.yaml".to_owned(), "resources: [a0, b0]".to_owned())];
    for level in 0..30 {
        for side in ["a", "b"] {
            let next = level + 1;
            let text = format!("namePrefix: {side}-\nresources: [../a{next}, ../b{next}]");
            files.push((format!("{side}{level}/kustomization.yaml"), text));
        }
    }
    for side in ["a", "b"] {
        let generator = format!("configMapGenerator: [{{name: x{side}}}]");
        files.push((format!("{side}30/kustomization.yaml"), generator));
    }
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let error = failure(&files);
    assert!(matches!(error.problem, Problem::Limit { .. }), "{error}");
}

#[test]
fn kustomizations_inside_each_other_end_at_the_limit() {
    let mut files = Vec::new();
    for level in 0..200 {
        let folder = "d/".repeat(level);
        files.push((format!("{folder}kustomization.yaml"), "resources: [d]".to_owned()));
    }
    files.push((format!("{}kustomization.yaml", "d/".repeat(200)), "namePrefix: a".to_owned()));
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let error = failure(&files);
    assert!(error.to_string().contains("more than 64 kustomizations inside each other"), "{error}");
}

#[test]
fn a_cycle_is_named() {
    let error = failure(&[
        ("a/kustomization.yaml", "resources: [../b]"),
        ("b/kustomization.yaml", "resources: [../a]"),
        ("kustomization.yaml", "resources: [a]"),
    ]);
    assert_eq!(
        error.to_string(),
        "b/kustomization.yaml:1:13: cycle: a contains a, which refers to it (used by a/kustomization.yaml, used by kustomization.yaml)"
    );
}
