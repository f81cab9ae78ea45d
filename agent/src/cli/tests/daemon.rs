//! Verbs that speak with the daemon: what it is asked, and how its answer is told.

use std::time::Duration;

use insta::assert_snapshot;
use leeward_core::model::{Blocker, PhaseName};
use serde_json::json;

use super::*;
use crate::cli::{client::AskError, status::or_stored};

#[test]
fn status_is_a_table_that_a_person_can_read() {
    let (said, _) = Device::new().say_to(vec![status(document())], &["status"]);
    assert_snapshot!(said.all(), @"
    exit 0
    --- stdout
    cluster   shop-0042
    agent     0.1.0, running for 1 day, start 12
    source    https://git.example.com/fleet.git main clusters/shop-0042
    revision  fedcba98, fetched 3 min ago
    link      up for 3 h
    reports   4 pending, 2 folded, last acknowledged 1 h ago
    store     1.0 MiB of 256.0 MiB

    APP   PHASE  HEALTH    GOOD      SINCE       OBJECTS  DRIFT     MESSAGE
    db    good   healthy   01234567  2 days ago  7        3 healed  -
    shop  good   degraded  01234567  1 day ago   200      1 open    fedcba98 was bad and will not be tried again; Deployment.apps shop/web: crash loop
    web   held   unknown   -         -           0        none      held for prune guard: 5 of 10 objects would go; trying fedcba98

    2 things block; see `leeward why`.
    --- stderr
    ");
}

#[test]
fn a_link_that_is_down_is_told_with_step_evidence_and_next_try() {
    let mut document = document();
    document.link = serde_json::from_value(json!({ "state": "down", "failed_step": "dns",
        "since": "2026-03-01T11:57:00Z", "evidence": "no such host git.example.com", "next_try": "2026-03-01T12:00:20Z" }))
    .unwrap();
    document.apps.clear();
    document.why.clear();
    let (said, _) = Device::new().say_to(vec![status(document)], &["status"]);
    assert_snapshot!(said.stdout, @"
    cluster   shop-0042
    agent     0.1.0, running for 1 day, start 12
    source    https://git.example.com/fleet.git main clusters/shop-0042
    revision  fedcba98, fetched 3 min ago
    link      down for 3 min at dns: no such host git.example.com; next try in 20 s
    reports   4 pending, 2 folded, last acknowledged 1 h ago
    store     1.0 MiB of 256.0 MiB

    No apps yet.
    ");
}

#[test]
fn status_in_json_is_the_document_and_nothing_else() {
    let (said, _) = Device::new().say_to(vec![status(document())], &["status", "--output", "json"]);
    assert_eq!(said.json(), serde_json::to_value(document()).unwrap());
    assert_eq!(said.stderr, "");
}

#[test]
fn status_exits_with_1_unless_all_apps_are_good_and_healthy_when_asked() {
    let mut well = document();
    well.apps.truncate(1);
    let code = |document, arguments: &[&str]| {
        Device::new().say_to(vec![status(document)], arguments).0.code
    };
    assert_eq!(code(well, &["status", "--exit-code"]), 0);
    assert_eq!(code(document(), &["status", "--exit-code"]), 1);
    assert_eq!(code(document(), &["status"]), 0);
}

#[test]
fn why_gives_three_lines_for_each_blocker() {
    let (said, _) = Device::new().say_to(vec![status(document())], &["why"]);
    assert_snapshot!(said.all(), @"
    exit 0
    --- stdout
    web: prune guard: 5 of 10 objects would go
      do: leeward approve web
      next try: not before something changes
    link: no such host [31mgit.example.com
      do: check DNS
      next try: in 20 s
    --- stderr
    ");
}

#[test]
fn why_in_json_is_a_list_that_is_empty_when_nothing_blocks() {
    let mut document = document();
    document.why.clear();
    let (said, _) = Device::new().say_to(vec![status(document)], &["why", "--output=json"]);
    assert_eq!(said.json(), json!([]));
}

#[test]
fn history_is_a_table_newest_first() {
    let revisions = serde_json::from_value(json!([
        { "app": "shop", "commit": BAD, "tree": BAD, "content": "c3", "verdict": "bad",
          "reason": "crash loop", "at": "2026-03-01T11:59:00Z", "bytes": 4708,
          "author": "Augusta Ada King, Countess of Lovelace", "subject": "Raise\u{1b}[2J the replicas" },
        { "app": "shop", "commit": COMMIT, "tree": COMMIT, "content": "c2", "verdict": "good",
          "reason": "", "at": "2026-02-28T12:00:00Z" },
    ]))
    .unwrap();
    let (said, asked) =
        Device::new().say_to(vec![Response::History { revisions }], &["history", "shop"]);
    assert_eq!(asked, [Request::History { app: Some("shop".to_owned()) }]);
    assert_snapshot!(said.all(), @"
    exit 0
    --- stdout
    WHEN (UTC)        COMMIT    VERDICT  BYTES    AUTHOR
    2026-03-01 11:59  fedcba98  bad      4.6 KiB  Augusta Ada King, C…
      Raise [2J the replicas
      reason: crash loop
    2026-02-28 12:00  01234567  good     -        -
    --- stderr
    ");
}

#[test]
fn rollback_asks_for_a_commit_and_a_length_or_for_the_end() {
    let asked = |arguments: &[&str]| Device::new().say_to(vec![done("goes back")], arguments).1;
    let rollback = |revision: Option<&str>, seconds| Request::Rollback {
        app: "shop".to_owned(),
        revision: revision.map(str::to_owned),
        seconds,
    };
    assert_eq!(asked(&["rollback", "shop"]), [rollback(None, None)]);
    let arguments = ["rollback", "shop", "01AB", "--for", "2h"];
    assert_eq!(asked(&arguments), [rollback(Some("01ab"), Some(7200))]);
    let release = Request::Release { app: "shop".to_owned() };
    assert_eq!(asked(&["rollback", "shop", "--release"]), [release]);
    for wrong in [
        vec!["rollback"],
        vec!["rollback", "shop", "main"],
        vec!["rollback", "shop", ""],
        vec!["rollback", "shop", "--for", "0s"],
        vec!["rollback", "shop", "01", "--release"],
    ] {
        assert_eq!(Device::new().say(&wrong).code, 64, "{wrong:?}");
    }
}

#[test]
fn an_app_that_is_rolled_back_by_hand_is_named_by_status_and_sync() {
    let mut after = document();
    after.apps.truncate(1);
    after.link.next_try = None;
    after.apps[0].pinned = serde_json::from_value(json!({ "commit": COMMIT, "content": "c1",
        "since": "2026-03-01T11:00:00Z", "until": "2026-03-01T14:00:00Z", "wanted": BAD }))
    .unwrap();
    let (said, _) = Device::new().say_to(vec![status(after.clone())], &["status"]);
    assert!(
        said.stdout.contains("rolled back by hand to 01234567, ends in 2 h"),
        "{}",
        said.stdout
    );
    let answers = vec![status(document()), done("polling"), status(after)];
    let (said, _) = Device::new().say_to(answers, &["sync", "--wait"]);
    let line = "db: good, healthy; rolled back by hand, Git is not followed\n";
    assert_eq!((said.code, said.stdout.as_str()), (1, line));
}

fn differences() -> Response {
    let objects = serde_json::from_value(json!([
        { "app": "shop", "object": "Deployment.apps shop/web", "missing": false, "surplus": false, "fields": [
            { "path": "/spec/replicas", "old": "3", "new": "5", "manager": "kubectl-edit" },
            { "path": "/spec/paused", "old": "false", "new": null, "manager": null } ] },
        { "app": "shop", "object": "Secret shop/key", "missing": false, "surplus": false, "fields": [
            { "path": "/data/token", "old": "<masked>", "new": "<masked, differs>", "manager": "evil" } ] },
        { "app": "shop", "object": "ConfigMap shop/gone", "missing": true, "surplus": false, "fields": [] },
        { "app": "shop", "object": "Namespace old", "missing": false, "surplus": true, "fields": [] },
    ]))
    .unwrap();
    Response::Diff { objects }
}

#[test]
fn diff_shows_each_field_and_exits_with_1() {
    let (said, _) = Device::new().say_to(vec![differences()], &["diff"]);
    assert_snapshot!(said.all(), @r#"
    exit 1
    --- stdout
    Deployment.apps shop/web (app shop)
      /spec/replicas
      - Git:     3
      + cluster: 5  (by kubectl-edit)
      /spec/paused
      - Git:     false
      + cluster: absent
    Secret shop/key (app shop)
      /data/token
      - Git:     <masked>
      + cluster: <masked, differs>  (by evil)
    ConfigMap shop/gone is missing in the cluster (app shop)
    Namespace old is not in Git and would be pruned (app shop)
    --- stderr
    "#);
}

#[test]
fn diff_without_differences_exits_with_0() {
    let (said, _) = Device::new().say_to(vec![Response::Diff { objects: vec![] }], &["diff"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, "No differences.\n"));
}

#[test]
fn pause_says_how_long_and_why() {
    let arguments = ["pause", "shop", "--for", "2h", "--reason", "inventory night"];
    let (said, asked) = Device::new().say_to(vec![done("paused until 14:00")], &arguments);
    assert_eq!((said.code, said.stdout.as_str()), (0, "paused until 14:00\n"));
    let (app, reason) = (Some("shop".to_owned()), "inventory night".to_owned());
    assert_eq!(asked, [Request::Pause { app, seconds: 7200, reason }]);
}

#[test]
fn a_refusal_is_an_error_with_its_hint() {
    let refused = Response::Refused {
        message: "there is no app web".to_owned(),
        hint: Some("the apps are db and shop".to_owned()),
    };
    let (said, _) = Device::new().say_to(vec![refused], &["approve", "web"]);
    assert_snapshot!(said.all(), @"
    exit 69
    --- stdout
    --- stderr
    error: there is no app web
    hint: the apps are db and shop
    ");
}

#[test]
fn sync_without_wait_returns_at_once() {
    let answers = vec![done("polling")];
    let (said, asked) = Device::new().say_to(answers, &["sync", "--output", "json"]);
    assert_eq!(said.json(), json!({ "message": "polling" }));
    assert_eq!(asked, [Request::Sync]);
}

#[test]
fn sync_waits_until_every_app_has_settled() {
    let mut well = document();
    well.apps.truncate(1);
    let mut moving = well.clone();
    moving.link.next_try = None;
    moving.apps[0].phase = PhaseName::Applying;
    let mut settled = well.clone();
    settled.link.next_try = None;
    let answers = vec![status(well), done("polling"), status(moving), status(settled)];
    let (said, asked) = Device::new().say_to(answers, &["sync", "--wait"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, "db: good, healthy\n"));
    assert_eq!(asked.len(), 4);
}

#[test]
fn sync_tells_when_the_newest_revision_was_bad() {
    let mut after = document();
    after.link.next_try = None;
    let answers = vec![status(document()), done("polling"), status(after)];
    let (said, _) = Device::new().say_to(answers, &["sync", "--wait"]);
    assert_snapshot!(said.all(), @"
    exit 1
    --- stdout
    db: good, healthy
    shop: good, degraded; the newest revision was bad, the last good one runs
    web: held, unknown
    --- stderr
    ");
}

#[test]
fn sync_fails_when_nothing_of_the_newest_commit_can_be_used() {
    let mut after = document();
    after.link.next_try = None;
    after.apps.truncate(1);
    after.why = vec![Blocker {
        blocker: "source".to_owned(),
        app: None,
        evidence: "leeward.yaml:6:3: unknown key \"dependOn\"".to_owned(),
        hint: "correct it in Git".to_owned(),
        next_try: None,
    }];
    let answers = vec![status(document()), done("polling"), status(after)];
    let (said, _) = Device::new().say_to(answers, &["sync", "--wait"]);
    assert_snapshot!(said.all(), @r#"
    exit 1
    --- stdout
    every app stays as it is: leeward.yaml:6:3: unknown key "dependOn"
    db: good, healthy
    --- stderr
    "#);
}

#[test]
fn sync_that_waited_too_long_says_for_what() {
    let mut moving = document();
    moving.apps[0].phase = PhaseName::Applying;
    let answers = vec![status(document()), done("polling"), status(moving)];
    let (said, _) = Device::new().say_to(answers, &["sync", "--wait", "--timeout", "0s"]);
    assert_snapshot!(said.all(), @"
    exit 75
    --- stdout
    --- stderr
    error: not settled after 0 s: db: applying
    hint: `leeward why` says what blocks; the daemon goes on by itself
    ");
}

#[test]
fn a_verb_that_needs_the_daemon_says_that_it_is_down() {
    assert_snapshot!(Device::new().say(&["sync"]).all(), @"
    exit 69
    --- stdout
    --- stderr
    error: the daemon does not run: nobody listens on FOLDER/control.sock
    hint: start it with `systemctl start leeward` or `leeward run`
    ");
}

#[test]
fn with_the_daemon_down_the_store_answers_and_it_is_said() {
    let down = AskError::NotRunning { socket: "/s".into() };
    let (_, note) = or_stored(Err(down), || Ok(status(document()))).unwrap();
    assert_eq!(
        note.as_deref(),
        Some("the daemon does not run: nobody listens on /s; this is what the store knew last")
    );
}

#[test]
fn a_daemon_that_hangs_is_not_taken_for_one_that_is_down() {
    let hangs = AskError::Silent { after: Duration::from_secs(5) };
    let failure = or_stored(Err(hangs), || Ok(status(document()))).unwrap_err();
    assert_eq!(failure.messages, ["the daemon does not answer within 5.0 s"]);
}

/// Takes so many writes, then the reader is gone.
struct Patient {
    text: String,
    writes: usize,
}

impl std::io::Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.writes == 0 {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        self.writes -= 1;
        self.text.push_str(std::str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn status_is_watched_on_while_the_daemon_is_down_until_the_reader_goes() {
    let device = Device::new();
    let (mut stdout, mut stderr) = (Patient { text: String::new(), writes: 2 }, Vec::new());
    let config = device.folder.path().join("agent.toml");
    let arguments = ["leeward".into(), "status".into(), "--watch".into(), "--config".into()];
    let arguments = arguments.into_iter().chain([config.into_os_string()]).collect();
    let code = main_with(Surroundings {
        tick: Duration::from_millis(1),
        ..Surroundings::new(arguments, &mut stdout, &mut stderr, noon)
    });
    assert_eq!((code, stderr), (0, Vec::new()));
    assert_eq!(stdout.text.matches("\n\n").count(), 1, "{}", stdout.text);
}
