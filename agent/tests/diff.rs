//! `leeward diff` between revisions of real repositories, made by the real `git`.

#![expect(clippy::unwrap_used, reason = "what tests are made of is there, or they fail")]

use std::{
    fs,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const KEY: &str = include_str!("../sops/src/vectors/keys.txt");
/// A Secret `age` with `stringData: {key: value}`, encrypted.
const SEALED: &str = include_str!("../sops/src/vectors/age.yaml");
/// `key=value`, encrypted.
const SEALED_ENV: &str = include_str!("../sops/src/vectors/env.env");

struct Repository {
    outside: tempfile::TempDir,
}

#[derive(Debug)]
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Said {
    fn all(&self) -> String {
        format!("exit {}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

impl Repository {
    /// With one commit for each list of files; `""` as text removes one.
    fn of(commits: &[&[(&str, &str)]]) -> Self {
        let repository = Self { outside: tempfile::tempdir().unwrap() };
        fs::create_dir(repository.path()).unwrap();
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        for files in commits {
            repository.commit(files);
        }
        repository
    }

    fn path(&self) -> PathBuf {
        self.outside.path().join("fleet")
    }

    fn write(&self, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = self.path().join(path);
            if text.is_empty() {
                fs::remove_file(&path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, text).unwrap();
            }
        }
    }

    fn commit(&self, files: &[(&str, &str)]) {
        self.write(files);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message=change"]);
    }

    fn git(&self, arguments: &[&str]) {
        let output = git(&self.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    fn diff(&self, arguments: &[&str]) -> Said {
        diff_in(&self.path(), arguments)
    }
}

fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", "/nonexistent");
    command.args(["-c", "user.name=A", "-c", "user.email=a@example.com"]).current_dir(folder);
    command
}

fn diff_in(folder: &Path, arguments: &[&str]) -> Said {
    said(program(folder).arg("diff").args(arguments))
}

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leeward"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", "/nonexistent");
    command.current_dir(folder).stdin(Stdio::null());
    command
}

fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said {
        code: output.status.code().unwrap(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

fn map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  value: {value}\n")
}

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
fn a_secret_shows_that_it_differs_and_nothing_of_it() {
    let secret =
        |data: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{ name: key }}\n{data}");
    let repository = Repository::of(&[
        &[("a.yaml", &secret("stringData: { token: hunter2, same: unchanged }\n"))],
        &[("a.yaml", &secret("data: { token: c3dvcmRmaXNo, same: dW5jaGFuZ2Vk }\n"))],
    ]);
    let said = repository.diff(&["HEAD~1", "HEAD"]);
    insta::assert_snapshot!(said.all(), @r#"
    exit 1
    --- stdout
    Secret key (app fleet)
      /data/token
      - HEAD~1: "***"
      + HEAD:   "***"
    1 changed, 0 added, 0 removed
    --- stderr
    "#);
    for output in [said.all(), repository.diff(&["HEAD~1", "HEAD", "-o", "json"]).all()] {
        for part in ["hunter2", "aHVudGVyMg", "swordfish", "c3dvcmRmaXNo", "unchanged"] {
            assert!(!output.contains(part), "{part} in {output}");
        }
    }
}

fn key_beside(repository: &Repository) -> String {
    let key = repository.path().join(".git/age.key");
    fs::write(&key, KEY).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    key.to_str().unwrap().to_owned()
}

#[test]
fn encrypted_files_are_compared_by_what_they_were_and_masked() {
    let plain =
        "apiVersion: v1\nkind: Secret\nmetadata: { name: age }\nstringData: { key: other }\n";
    let repository = Repository::of(&[&[("age.yaml", plain)], &[("age.yaml", SEALED)]]);
    let key = key_beside(&repository);
    let said = repository.diff(&["HEAD~1", "HEAD", "--sops-age-key", &key]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(
        said.stdout.contains("/data/key\n  - HEAD~1: \"***\"\n  + HEAD:   \"***\"\n"),
        "{said:?}"
    );
    for part in ["other", "b3RoZXI", "dmFsdWU", "\"value\""] {
        assert!(!said.all().contains(part), "{part} in {}", said.all());
    }
    let without = repository.diff(&["HEAD~1", "HEAD"]);
    assert_eq!((without.code, without.stdout.as_str()), (65, ""));
    assert!(without.stderr.starts_with("error: HEAD:age.yaml: "), "{}", without.stderr);
}

#[test]
fn what_a_generator_makes_of_an_encrypted_file_is_masked_whatever_its_kind() {
    let build =
        |more: &str| format!("configMapGenerator: [{{ name: env, envs: [env.env] }}]\n{more}");
    let repository = Repository::of(&[
        &[("kustomization.yaml", &build("")), ("env.env", "key=plain\n")],
        &[("kustomization.yaml", &build("")), ("env.env", SEALED_ENV)],
    ]);
    let key = key_beside(&repository);
    let said = repository.diff(&["HEAD~1", "HEAD", "--sops-age-key", &key]);
    assert!(
        said.stdout.contains("/data/key\n  - HEAD~1: <masked>\n  + HEAD:   <masked, differs>"),
        "{said:?}"
    );
    assert!(!said.all().contains("value") && !said.all().contains("plain"), "{}", said.all());
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
fn a_revision_that_is_not_there_is_no_input_and_never_an_option() {
    let repository = Repository::of(&[&[("a.yaml", &map("a", "x"))]]);
    for revision in
        ["nowhere", "HEAD~7", "--output=/tmp/x", "--all", "HEAD\nHEAD", "HEAD:a.yaml", "^HEAD", ""]
    {
        let said = repository.diff(&["--path", ".", "--", revision, "HEAD"]);
        assert_eq!((said.code, said.stdout.as_str()), (66, ""), "{revision:?}: {}", said.stderr);
        assert!(said.stderr.contains("is no revision of this repository"), "{}", said.stderr);
    }
    assert_eq!(repository.diff(&["--path", ".", "-x", "HEAD"]).code, 64);
}

#[test]
fn a_branch_whose_name_begins_with_a_dash_is_a_branch() {
    let repository = Repository::of(&[&[("a.yaml", &map("a", "x"))]]);
    repository.git(&["update-ref", "refs/heads/-x", "HEAD"]);
    repository.commit(&[("a.yaml", &map("a", "y"))]);
    let said = repository.diff(&["--", "-x", "HEAD"]);
    assert!(said.stdout.contains("- -x:   \"x\"\n"), "{}", said.all());
}

#[test]
fn files_with_odd_names_are_files() {
    let names = ["a b.yaml", "-x.yaml", "ü.yaml", "a\nb.yaml", "\"q\".yaml", "a:b/c'd.yaml"];
    let text: Vec<String> = (0..names.len()).map(|n| map(&format!("m{n}"), "x")).collect();
    let files: Vec<(&str, &str)> =
        names.iter().zip(&text).map(|(name, text)| (*name, text.as_str())).collect();
    let repository = Repository::of(&[&[("README", "x")], &files]);
    let said = repository.diff(&["HEAD~1", "HEAD"]);
    assert!(said.stdout.ends_with("0 changed, 6 added, 0 removed\n"), "{}", said.all());
    let folder = repository.path().join("a:b");
    assert!(
        diff_in(&folder, &["HEAD~1", "HEAD"]).stdout.ends_with("0 changed, 1 added, 0 removed\n")
    );
}

#[test]
fn a_name_that_is_not_utf_8_is_refused_where_it_is_read_only() {
    let repository = Repository::of(&[&[("shop/a.yaml", &map("a", "x"))]]);
    let odd = repository.path().join(std::ffi::OsStr::from_bytes(b"\xff.yaml"));
    fs::write(odd, map("b", "x")).unwrap();
    repository.commit(&[("shop/a.yaml", &map("a", "y"))]);
    assert_eq!(repository.diff(&["HEAD~1", "HEAD", "--path", "shop"]).code, 1);
    let said = repository.diff(&["HEAD~1", "HEAD"]);
    assert_eq!(said.code, 65);
    assert!(said.stderr.contains("is not UTF-8"), "{}", said.stderr);
}

#[test]
fn links_lead_where_they_do_in_a_checkout_and_never_out_of_the_repository() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.yaml"), map("outside", "x")).unwrap();
    let repository = Repository::of(&[&[
        ("base/kustomization.yaml", "resources: [a.yaml]\n"),
        ("base/a.yaml", &map("a", "x")),
        ("web/kustomization.yaml", "resources: [../linked]\n"),
        ("bad/kustomization.yaml", "resources: [out.yaml]\n"),
        ("loop/kustomization.yaml", "resources: [self]\n"),
    ]]);
    let link = |target: &Path, at: &str| {
        std::os::unix::fs::symlink(target, repository.path().join(at)).unwrap();
    };
    link(Path::new("base"), "linked");
    link(&outside.path().join("secret.yaml"), "bad/out.yaml");
    link(Path::new("self"), "loop/self");
    link(Path::new("../secret.yaml"), "base/link.yaml");
    repository.commit(&[]);
    repository.commit(&[("base/a.yaml", &map("a", "y"))]);
    let said = repository.diff(&["HEAD~1", "HEAD", "--path", "web"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    for (folder, message) in [("bad", "HEAD~1:bad/out.yaml"), ("loop", "too many symbolic links")] {
        let said = repository.diff(&["HEAD~1", "HEAD", "--path", folder]);
        assert_eq!(said.code, 65);
        assert!(said.stderr.contains(message), "{}", said.stderr);
    }
}

#[test]
fn outside_of_a_repository_there_are_no_revisions() {
    let folder = tempfile::tempdir().unwrap();
    let said = diff_in(folder.path(), &["HEAD~1", "HEAD"]);
    insta::assert_snapshot!(said.all(), @"
    exit 66
    --- stdout
    --- stderr
    error: `git` refuses: not a git repository (or any of the parent directories): .git
    ");
    let elsewhere = diff_in(folder.path(), &["HEAD~1", "HEAD", "--repository", "/no/such/folder"]);
    assert_eq!(elsewhere.code, 66, "{}", elsewhere.stderr);
}

#[test]
fn without_git_it_is_said_what_is_lacking() {
    let repository = Repository::of(&[&[("a.yaml", &map("a", "x"))]]);
    let said = said(
        program(&repository.path()).env("PATH", "/nonexistent").args(["diff", "HEAD", "HEAD"]),
    );
    insta::assert_snapshot!(said.all(), @"
    exit 69
    --- stdout
    --- stderr
    error: the program `git` is not there, and it is what reads revisions
    hint: install it, or put it into $PATH
    ");
}

#[test]
fn bare_repositories_and_further_working_trees_are_repositories() {
    let repository =
        Repository::of(&[&[("shop/a.yaml", &map("a", "x"))], &[("shop/a.yaml", &map("a", "y"))]]);
    let other = tempfile::tempdir().unwrap();
    let (bare, tree) = (other.path().join("fleet.git"), other.path().join("tree"));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    repository.git(&["clone", "--quiet", "--bare", ".", &path(&bare)]);
    repository.git(&["worktree", "add", "--quiet", "--detach", &path(&tree), "HEAD~1"]);
    let arguments = ["HEAD~1", "HEAD", "--path", "shop", "--repository", &path(&bare)];
    let from_bare = diff_in(other.path(), &arguments);
    assert_eq!(from_bare.stdout, repository.diff(&["HEAD~1", "HEAD", "--path", "shop"]).stdout);
    let nothing = diff_in(&bare, &["HEAD", "--path", "shop"]);
    assert_eq!(nothing.code, 64, "{}", nothing.stderr);
    let absolute = path(&tree.join("shop"));
    let said = diff_in(&tree.join("shop"), &["main", "--path", &absolute]);
    assert!(said.stdout.contains("+ working tree: \"x\"\n"), "{}", said.all());
    let outside = diff_in(&tree, &["main", "--path", "../elsewhere"]);
    assert_eq!(outside.code, 64, "{}", outside.stderr);
}

#[test]
fn nothing_of_the_repository_is_started() {
    let repository = Repository::of(&[
        &[("a.yaml", &map("a", "x")), (".gitattributes", "* filter=x diff=x\n")],
        &[("a.yaml", &map("a", "y"))],
    ]);
    let mark = repository.path().join(".git/started");
    let command = format!("touch {}", mark.display());
    for key in [
        "filter.x.smudge",
        "filter.x.clean",
        "diff.x.textconv",
        "diff.x.command",
        "core.fsmonitor",
        "core.pager",
        "core.sshCommand",
    ] {
        repository.git(&["config", key, &command]);
    }
    fs::create_dir_all(repository.path().join(".git/hooks")).unwrap();
    for hook in ["post-checkout", "post-index-change", "reference-transaction"] {
        let path = repository.path().join(".git/hooks").join(hook);
        fs::write(&path, format!("#!/bin/sh\n{command}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    assert_eq!(repository.diff(&["HEAD~1", "HEAD"]).code, 1);
    assert_eq!(repository.diff(&["HEAD~1...", "--path", "."]).code, 1);
    assert!(!mark.exists());
}

#[test]
fn what_a_partial_clone_lacks_is_named_and_not_fetched() {
    let repository =
        Repository::of(&[&[("a.yaml", &map("a", "x"))], &[("a.yaml", &map("a", "y"))]]);
    repository.git(&["config", "uploadpack.allowFilter", "true"]);
    let other = tempfile::tempdir().unwrap();
    let clone = other.path().join("clone");
    let url = format!("file://{}", repository.path().display());
    let status = git(other.path())
        .args(["clone", "--quiet", "--filter=blob:none", "--no-checkout", &url, "clone"])
        .status();
    assert!(status.unwrap().success());
    let packs = || fs::read_dir(clone.join(".git/objects/pack")).unwrap().count();
    let before = packs();
    let said = diff_in(&clone, &["HEAD~1", "HEAD"]);
    assert_eq!((said.code, said.stdout.as_str(), packs()), (65, "", before), "{}", said.stderr);
    assert!(said.stderr.starts_with("error: HEAD~1:a.yaml: cannot be read: "), "{}", said.stderr);
    assert!(said.stderr.contains("is not in this"), "{}", said.stderr);
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
