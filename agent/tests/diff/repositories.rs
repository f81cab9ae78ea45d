//! Repositories as they come: names, links, clones, and none at all.

use std::os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _};

use super::*;

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
