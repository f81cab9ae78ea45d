//! What is told, and the ways to ask for it.

use super::*;

#[test]
fn what_changed_came_and_went_is_told_by_object_and_field() {
    let web = |image: &str, replicas: u8| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: web, namespace: shop }}\nspec:\n  \
             replicas: {replicas}\n  template: {{ spec: {{ containers: [{{ name: log, image: log:1 }}, \
             {{ name: app, image: {image} }}] }} }}\n"
        )
    };
    let repository = Repository::of(&[
        &[
            ("shop/web.yaml", &web("web:1", 2)),
            ("shop/old.yaml", &map("old", "x")),
            ("other/a.yaml", "{"),
        ],
        &[
            ("shop/web.yaml", &web("web:2", 3)),
            ("shop/old.yaml", ""),
            ("shop/new.yaml", &map("new", "x")),
        ],
    ]);
    let said = repository.diff(&["HEAD~1", "HEAD", "--path", "shop"]);
    insta::assert_snapshot!(said.all(), @r#"
    exit 1
    --- stdout
    ConfigMap new is added (app shop)
    ConfigMap old is removed (app shop)
    Deployment.apps shop/web (app shop)
      /spec/replicas
      - HEAD~1: 2
      + HEAD:   3
      /spec/template/spec/containers/1/image
      - HEAD~1: "web:1"
      + HEAD:   "web:2"
    1 changed, 1 added, 1 removed
    --- stderr
    "#);
    let same = repository.diff(&["HEAD", "main", "--path", "shop"]);
    assert_eq!((same.code, same.stdout.as_str()), (0, "No differences.\n"));
}

#[test]
fn a_range_is_two_revisions_and_what_is_left_out_is_head() {
    let repository =
        Repository::of(&[&[("a.yaml", &map("a", "old"))], &[("a.yaml", &map("a", "new"))]]);
    let expected = repository.diff(&["HEAD~1", "HEAD"]).stdout;
    assert!(expected.contains("- HEAD~1: \"old\"\n") && expected.contains("+ HEAD:   \"new\"\n"));
    for range in ["HEAD~1..HEAD", "HEAD~1..", "HEAD~1..@"] {
        let said = repository.diff(&[range]);
        assert_eq!(said.code, 1, "{range}: {}", said.stderr);
        assert_eq!(said.stdout.replace("@:   ", "HEAD:"), expected, "{range}");
    }
}

#[test]
fn three_dots_compare_with_where_the_branch_began() {
    let repository = Repository::of(&[&[("a.yaml", &map("a", "x")), ("b.yaml", &map("b", "x"))]]);
    repository.git(&["checkout", "--quiet", "-b", "change"]);
    repository.commit(&[("a.yaml", &map("a", "changed"))]);
    repository.git(&["checkout", "--quiet", "main"]);
    repository.commit(&[("b.yaml", &map("b", "elsewhere"))]);
    let said = repository.diff(&["main...change"]);
    assert!(said.stdout.starts_with("ConfigMap a "), "{}", said.all());
    assert!(said.stdout.contains("- merge base: \"x\"\n") && !said.stdout.contains("elsewhere"));
    assert!(repository.diff(&["main..change"]).stdout.contains("elsewhere"));
}

#[test]
fn one_revision_is_compared_with_the_working_tree() {
    let repository = Repository::of(&[&[("shop/a.yaml", &map("a", "old"))]]);
    repository.write(&[("shop/a.yaml", &map("a", "new")), ("shop/untracked.yaml", &map("b", "x"))]);
    let said = repository.diff(&["HEAD", "--path", "shop"]);
    insta::assert_snapshot!(said.all(), @r#"
    exit 1
    --- stdout
    ConfigMap a (app shop)
      /data/value
      - HEAD:         "old"
      + working tree: "new"
    ConfigMap b is added (app shop)
    1 changed, 1 added, 0 removed
    --- stderr
    "#);
    let inside = diff_in(&repository.path().join("shop"), &["HEAD", "--path", "."]);
    assert_eq!(inside.all(), said.all());
}

#[test]
fn a_base_elsewhere_is_that_of_the_same_revision() {
    let overlay = "resources: [../../base]\nnamePrefix: x-\n";
    let app = "apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps: [{ name: web, path: web }]\n";
    let repository = Repository::of(&[
        &[
            ("base/kustomization.yaml", "resources: [a.yaml]\n"),
            ("base/a.yaml", &map("a", "old")),
            ("clusters/one/kustomization.yaml", overlay),
            ("fleet/leeward.yaml", app),
            ("fleet/web/kustomization.yaml", overlay),
        ],
        &[("base/a.yaml", &map("a", "new"))],
    ]);
    // What is checked out is of no account.
    repository.write(&[("base/a.yaml", &map("a", "uncommitted"))]);
    for (path, app) in [("clusters/one", "one"), ("fleet", "web")] {
        let said = repository.diff(&["HEAD~1", "HEAD", "--path", path]);
        let expected = format!(
            "ConfigMap x-a (app {app})\n  /data/value\n  - HEAD~1: \"old\"\n  + HEAD:   \"new\"\n\
             1 changed, 0 added, 0 removed\n"
        );
        assert_eq!(said.stdout, expected, "{}", said.stderr);
    }
}

#[test]
fn what_kustomize_names_after_its_content_is_the_same_object() {
    let build = |value: &str| {
        format!(
            "resources: [pod.yaml]\nconfigMapGenerator: [{{ name: env, literals: [a={value}] }}]\n"
        )
    };
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: { name: web }\nspec:\n  volumes:\n  - name: env\n    configMap: { name: env }\n";
    let repository = Repository::of(&[
        &[("kustomization.yaml", &build("old")), ("pod.yaml", pod)],
        &[("kustomization.yaml", &build("new"))],
    ]);
    insta::assert_snapshot!(repository.diff(&["HEAD~1", "HEAD", "--path", "."]).stdout, @r#"
    ConfigMap env-9d75989f58 (app fleet)
      /data/a
      - HEAD~1: "old"
      + HEAD:   "new"
      /metadata/name
      - HEAD~1: "env-9gt7d6tft6"
      + HEAD:   "env-9d75989f58"
    Pod web (app fleet)
      /spec/volumes/0/configMap/name
      - HEAD~1: "env-9gt7d6tft6"
      + HEAD:   "env-9d75989f58"
    2 changed, 0 added, 0 removed
    "#);
}

#[test]
fn a_folder_that_is_on_one_side_only_is_added_or_removed_as_a_whole() {
    let repository = Repository::of(&[
        &[("README", "x")],
        &[("shop/a.yaml", &map("a", "x")), ("shop/b.yaml", &map("b", "x"))],
        &[("shop/a.yaml", ""), ("shop/b.yaml", "")],
    ]);
    let added = repository.diff(&["HEAD~2", "HEAD~1", "--path", "shop"]);
    insta::assert_snapshot!(added.all(), @"
    exit 1
    --- stdout
    ConfigMap a is added (app shop)
    ConfigMap b is added (app shop)
    0 changed, 2 added, 0 removed
    --- stderr
    note: there is no folder shop in HEAD~2
    ");
    let removed = repository.diff(&["HEAD~1", "--path", "shop"]);
    assert!(removed.stdout.ends_with("0 changed, 0 added, 2 removed\n"), "{}", removed.all());
    let neither = repository.diff(&["HEAD~2", "HEAD", "--path", "shop"]);
    insta::assert_snapshot!(neither.all(), @"
    exit 66
    --- stdout
    --- stderr
    error: no folder shop, neither in HEAD~2 nor in HEAD
    hint: --path is relative to the current folder, or to --repository
    ");
}

#[test]
fn a_side_that_cannot_be_rendered_is_named_with_file_and_line() {
    let repository = Repository::of(&[
        &[("shop/a.yaml", &map("a", "x"))],
        &[("shop/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n")],
    ]);
    insta::assert_snapshot!(repository.diff(&["HEAD~1", "HEAD", "--path", "shop"]).all(), @"
    exit 65
    --- stdout
    --- stderr
    error: HEAD:shop/a.yaml:3:11: metadata.name is missing
    ");
    repository.commit(&[("shop/kustomization.yaml", "resources: [a.yaml, gone.yaml]\n")]);
    insta::assert_snapshot!(repository.diff(&["HEAD", "HEAD~2", "--path", "shop"]).all(), @"
    exit 65
    --- stdout
    --- stderr
    error: HEAD:shop/a.yaml:1:1: ConfigMap: metadata.name is missing (in HEAD:shop/kustomization.yaml)
    ");
}

#[test]
fn json_is_a_list_of_the_objects_that_differ() {
    let repository = Repository::of(&[
        &[("shop/a.yaml", &map("a", "old")), ("shop/b.yaml", &map("b", "x"))],
        &[("shop/a.yaml", &map("a", "new")), ("shop/b.yaml", ""), ("shop/c.yaml", &map("c", "x"))],
    ]);
    let said = repository.diff(&["HEAD~1", "HEAD", "--path", "shop", "-o", "json"]);
    let found: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let object = |name: &str, missing: bool, surplus: bool, fields: serde_json::Value| {
        serde_json::json!({ "app": "shop", "object": format!("ConfigMap {name}"), "missing": missing,
            "surplus": surplus, "fields": fields })
    };
    let field = serde_json::json!([{ "path": "/data/value", "old": "\"old\"", "new": "\"new\"", "manager": null }]);
    let none = serde_json::json!([]);
    let expected = serde_json::json!([
        object("a", false, false, field),
        object("b", false, true, none.clone()),
        object("c", true, false, none),
    ]);
    assert_eq!((said.code, found), (1, expected));
    let same = repository.diff(&["HEAD", "HEAD", "--path", "shop", "-o", "json"]);
    assert_eq!((same.code, same.stdout.as_str()), (0, "[]\n"));
}

#[test]
fn variables_are_those_that_are_given() {
    let repository = Repository::of(&[
        &[("a.yaml", &map("a", "'${site}-1'"))],
        &[("a.yaml", &map("a", "'${site}-2'"))],
    ]);
    let said = repository.diff(&["HEAD~1", "HEAD", "--set", "site=north"]);
    assert!(said.stdout.contains("+ HEAD:   \"north-2\""), "{}", said.all());
}

#[test]
fn apps_and_revisions_are_not_taken_for_each_other() {
    let repository = Repository::of(&[&[("a.yaml", &map("a", "x"))]]);
    let cases: [&[&str]; 5] = [
        &["HEAD~1"],
        &["--path", "."],
        &["shop", "--reorder", "none"],
        &["A..B", "C"],
        &["a", "b", "c"],
    ];
    let all: Vec<String> = cases
        .iter()
        .map(|arguments| {
            let said = repository.diff(arguments);
            assert_eq!((said.code, said.stdout.as_str()), (64, ""), "{arguments:?}");
            said.stderr
        })
        .collect();
    insta::assert_snapshot!(all[..4].concat(), @"
    error: `HEAD~1` is not the name of an app
    hint: if it is a revision, name the folder too: `leeward diff HEAD --path .` compares it with the working tree
    error: no revision is named
    hint: `leeward diff HEAD --path FOLDER` compares the last commit with the working tree
    error: the cluster is compared with what the daemon renders
    hint: these options are for revisions: `leeward diff HEAD~1 HEAD --path FOLDER`
    error: `A..B C` names more than two revisions
    hint: either `A..B` or `A B`
    ");
    // The name of an app goes to the daemon, of which the configuration tells.
    let app = repository.diff(&["main", "--config", "/no/such.toml"]);
    assert!(app.stderr.contains("/no/such.toml"), "{}", app.stderr);
}
