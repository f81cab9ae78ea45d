//! Verbs that need no daemon, and what is said when something is wrong.

use std::io::{self, Write};

use insta::assert_snapshot;
use serde_json::json;

use super::*;

#[test]
fn every_problem_of_the_configuration_is_an_error_of_its_own() {
    let said =
        Device::new().say(&["status", "--set", "source.urll=x", "--set", "apply.heal=never"]);
    assert_snapshot!(said.all(), @r#"
    exit 78
    --- stdout
    --- stderr
    error: --set: unknown key `source.urll`; did you mean `source.url`?
    error: --set: apply.heal: found "never", expected `always` or `report`
    hint: docs/reference/configuration.md lists every key; `leeward check --offline` tries them
    "#);
}

#[test]
fn a_configuration_that_is_not_there_is_no_input() {
    assert_snapshot!(say(&["status", "--config", "/no/such.toml"]).all(), @"
    exit 66
    --- stdout
    --- stderr
    error: there is no configuration file /no/such.toml
    hint: name another with `--config FILE` or $LEEWARD_CONFIG
    ");
}

#[test]
fn wrong_usage_exits_with_64_and_says_how_it_is_done() {
    let wrong: [&[&str]; 8] = [
        &[],
        &["statsu"],
        &["status", "--exitcode"],
        &["approve"],
        &["pause", "--for", "2 parsecs", "--reason", "x"],
        &["pause", "--for", "0s", "--reason", "x"],
        &["status", "--watch", "--output", "json"],
        &["status", "--set", "source.url"],
    ];
    let said = wrong.map(say);
    assert!(said.iter().all(|said| said.code == 64 && said.stdout.is_empty()));
    let first = |said: &Said| said.stderr.lines().next().unwrap_or_default().to_owned();
    assert_snapshot!(said.iter().map(first).collect::<Vec<_>>().join("\n"), @"
    GitOps agent for one Kubernetes cluster at the far end of a bad link
    error: unrecognized subcommand 'statsu'
    error: unexpected argument '--exitcode' found
    error: the following required arguments were not provided:
    error: invalid value '2 parsecs' for '--for <DURATION>': `2 parsecs` is not a duration such as 30s, 5m or 1h30m
    error: invalid value '0s' for '--for <DURATION>': at least `1s`
    error: the argument '--watch' cannot be used with '--output json', which is one document
    error: invalid value 'source.url' for '--set <KEY=VALUE>': expected `section.key=value`
    ");
    assert_snapshot!(said[1].stderr, @"
    error: unrecognized subcommand 'statsu'

    hint: a similar subcommand exists: 'status'

    Usage: leeward [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
}

#[test]
fn help_and_version_go_to_stdout_and_exit_with_0() {
    for arguments in [["--help"], ["--version"], ["version"]] {
        let said = say(&arguments);
        assert_eq!((said.code, said.stderr.as_str()), (0, ""));
        assert!(!said.stdout.is_empty());
    }
    assert_snapshot!(say(&["--help"]).stdout, @r#"
    GitOps agent for one Kubernetes cluster at the far end of a bad link

    Usage: leeward [OPTIONS] <COMMAND>

    Commands:
      run          Runs the daemon
      status       Shows what the cluster runs, and how far it follows Git
      why          Names what blocks, the evidence, what to do, and when the next try is
      diff         Shows how the cluster differs from Git, or two revisions do; exit code 1 when they do
      history      Lists the revisions that were tried, newest first
      sync         Polls the repository now and tries again whatever waits
      pause        Leaves the cluster alone for a while
      resume       Ends a pause
      approve      Lets a plan that is held for approval go ahead, once
      takeover     Makes fields that another tool applied Git's alone, so that what Git lacks goes
      retry        Tries the newest revision of an app again, though it was bad, or waits
      rollback     Takes an app back to an earlier good revision, and keeps it there; needs no link
      render       Prints the manifests of a folder; needs no configuration, daemon or cluster
      check        Tries each step from the configuration to the permissions in the cluster
      version      Prints the version
      completions  Prints a completion script for a shell
      man          Prints the manual page, or writes one for each verb
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Global options:
          --config <FILE>    Configuration file [default: $LEEWARD_CONFIG, else /etc/leeward/agent.toml]
          --set <KEY=VALUE>  Sets a key of the configuration, `source.url=…`, or for `render` and for
                             `diff` between revisions a variable, `name=…`; can be repeated
      -o, --output <FORMAT>  How to answer: text for people, or one JSON document [default: text]
                             [possible values: text, json]
          --no-color         No colour, not even on a terminal; $NO_COLOR does the same

    Exit codes:
      0 done                 1 differences, a failed step, or not all apps good and healthy
      64 wrong usage         65 bad input file    66 no such file
      69 daemon, API server or remote not there   73 cannot create    74 I/O error
      75 try again later     77 no permission     78 bad configuration
    "#);
}

#[test]
fn completions_and_manual_pages_name_every_verb() {
    let completions = say(&["completions", "bash"]).stdout;
    let manual = say(&["man"]).stdout;
    for verb in crate::cli::command().get_subcommands() {
        assert!(completions.contains(verb.get_name()), "{verb} is not completed");
        assert!(
            manual.contains(&format!("leeward\\-{}", verb.get_name())),
            "{verb} is not in the manual"
        );
    }
}

#[test]
fn a_manual_page_is_written_for_each_verb() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("man1");
    let said = say(&["man", "--dir", dir.to_str().unwrap()]);
    let mut pages: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort_unstable();
    assert_eq!((said.code, pages.len()), (0, 18));
    assert!(
        pages.contains(&"leeward-status.1".to_owned()) && pages.contains(&"leeward.1".to_owned())
    );
}

#[test]
fn check_offline_passes_on_a_device_that_is_set_up() {
    let said = Device::new().say(&["check", "--offline", "--output", "json"]);
    let results: Vec<_> = said.json()["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (step["name"].as_str().unwrap().to_owned(), step["result"].clone()))
        .collect();
    let expected = ["configuration", "store"].map(|name| (name.to_owned(), json!("passed")));
    assert_eq!((said.code, results), (0, expected.to_vec()));
}

#[test]
fn check_names_each_thing_that_fails() {
    let device = Device::new();
    std::fs::write(device.folder.path().join("store"), "a file").unwrap();
    let said = device.say(&["check", "--offline", "--set", "source.token_file=/no/token"]);
    let text = said.stdout.lines().map(without_time).collect::<Vec<_>>().join("\n");
    assert_snapshot!(format!("exit {}\n{text}", said.code), @"
    exit 1
    passed configuration TIME FOLDER/agent.toml
    FAILED source.token_file TIME cannot read /no/token: No such file or directory (os error 2)
    hint: create it, or correct the configuration
    FAILED store TIME FOLDER/store is not a folder
    hint: choose another `store.path`
    2 steps failed.
    ");
}

/// Times of steps differ from run to run.
fn without_time(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
    let mut words = words.as_slice();
    let mut kept = Vec::new();
    while let [first, rest @ ..] = words {
        if first.parse::<f64>().is_ok() && matches!(rest.first(), Some(&("ms" | "s"))) {
            kept.push("TIME");
            words = &rest[1..];
        } else {
            kept.push(first);
            words = rest;
        }
    }
    kept.join(" ")
}

#[test]
fn check_of_a_bad_configuration_names_every_problem_and_exits_with_1() {
    let said = Device::new().say(&["check", "--set", "source.urll=x", "--set", "store.max_size=1"]);
    let text = said.stdout.lines().map(without_time).collect::<Vec<_>>().join("\n");
    assert_snapshot!(format!("exit {}\n{text}", said.code), @r#"
    exit 1
    FAILED configuration TIME --set: unknown key `source.urll`; did you mean `source.url`?
    FAILED configuration TIME --set: store.max_size: found "1", expected at least `1024KiB`
    skipped everything else the configuration cannot be used
    2 steps failed.
    "#);
}

#[test]
fn rendering_a_folder_that_is_not_there_is_no_input() {
    assert_snapshot!(say(&["render", "/no/such/folder"]).all(), @"
    exit 66
    --- stdout
    --- stderr
    error: cannot open /no/such/folder: No such file or directory (os error 2)
    ");
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut stderr = Vec::new();
    let arguments = vec!["leeward".into(), "completions".into(), "zsh".into()];
    let code = main_with(Surroundings::new(arguments, &mut Closed, &mut stderr, noon));
    assert_eq!((code, stderr), (0, Vec::new()));
}

#[test]
fn colour_is_only_for_terminals_and_can_be_refused() {
    let coloured = |terminal: bool, arguments: &[&str], variables: &[(&str, &str)]| {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let arguments = ["leeward"].iter().chain(arguments).map(Into::into).collect();
        let _code = main_with(Surroundings {
            environment: variables.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect(),
            stderr_is_terminal: terminal,
            ..Surroundings::new(arguments, &mut stdout, &mut stderr, noon)
        });
        stderr.contains(&0x1b)
    };
    let failing = ["render", "/no/such/folder"];
    assert!(coloured(true, &failing, &[]));
    assert!(!coloured(false, &failing, &[]));
    assert!(!coloured(true, &failing, &[("NO_COLOR", "1")]));
    assert!(!coloured(true, &failing, &[("TERM", "dumb")]));
    assert!(!coloured(true, &["--no-color", "render", "/no/such/folder"], &[]));
}

fn folder_of(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

const APPS: &str = "apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps:\n- name: shop\n  path: shop\n  dependsOn: [db]\n- name: db\n  path: db\n";

#[test]
fn a_folder_is_rendered_app_by_app_in_the_order_of_dependencies() {
    let folder = folder_of(&[
        ("leeward.yaml", APPS),
        (
            "shop/a.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  answer: \"no\"\n",
        ),
        (
            "db/b.json",
            "{\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"metadata\": {\"name\": \"b\"}}",
        ),
    ]);
    let path = folder.path().to_str().unwrap();
    assert_snapshot!(say(&["render", path]).all(), @r#"
    exit 0
    --- stdout
    ---
    # db/b.json:1
    apiVersion: v1
    kind: Secret
    metadata:
      name: b
    ---
    # shop/a.yaml:1
    apiVersion: v1
    data:
      answer: "no"
    kind: ConfigMap
    metadata:
      name: a
    --- stderr
    "#);
    assert_eq!(say(&["render", path, "-o", "json"]).json()[1]["data"], json!({ "answer": "no" }));
}

#[test]
fn a_kustomization_is_answered_with_what_kustomize_build_prints() {
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {answer: yes}\n";
    let folder = folder_of(&[
        ("base/kustomization.yaml", "resources: [a.yaml, ../shared.yaml]\n"),
        ("base/a.yaml", map),
        ("shared.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"),
        ("prod/kustomization.yaml", "resources: [../base]\nnamePrefix: prod-\n"),
    ]);
    let path = folder.path().join("prod");
    let path = path.to_str().unwrap();
    assert_snapshot!(say(&["render", path, "--load-restrictor", "none"]).all(), @r#"
    exit 0
    --- stdout
    apiVersion: v1
    kind: Namespace
    metadata:
      name: shop
    ---
    apiVersion: v1
    data:
      answer: "yes"
    kind: ConfigMap
    metadata:
      name: prod-a
    --- stderr
    "#);
    let flags = ["render", path, "--load-restrictor", "none", "--reorder", "none", "-o", "json"];
    assert_eq!(say(&flags).json()[0]["kind"], "ConfigMap");
    let refused = say(&["render", path]).all().replace(folder.path().to_str().unwrap(), "…");
    assert_snapshot!(refused, @"
    exit 65
    --- stdout
    --- stderr
    error: …/base/kustomization.yaml:1:21: …/shared.yaml is not in or below …/base: move it there, or allow it with `--load-restrictor none` (used by …/prod/kustomization.yaml)
    ");
}

#[test]
fn the_base_of_an_app_may_lie_outside_of_the_folder() {
    let folder = folder_of(&[
        ("fleet/leeward.yaml", APPS),
        ("fleet/shop/kustomization.yaml", "resources: [../../base]\nnamePrefix: x-\n"),
        ("fleet/db/b.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: db}\n"),
        ("base/kustomization.yaml", "resources: [a.yaml]\n"),
        ("base/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"),
    ]);
    let path = folder.path().join("fleet");
    let said = say(&["render", path.to_str().unwrap(), "-o", "json"]);
    assert_eq!(said.json()[1]["metadata"]["name"], "x-a", "{}", said.stderr);
}

#[test]
fn every_fault_of_every_app_is_an_error_with_its_place() {
    let folder = folder_of(&[
        ("leeward.yaml", APPS),
        ("shop/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n"),
        ("db/b.yaml", "a: 1\na: 2\n"),
    ]);
    assert_snapshot!(say(&["render", folder.path().to_str().unwrap()]).all(), @r#"
    exit 65
    --- stdout
    --- stderr
    error: db/b.yaml:2:1: duplicate key "a" (first at 1:1)
    error: shop/a.yaml:3:11: metadata.name is missing
    "#);
}
