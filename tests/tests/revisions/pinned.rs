//! `leeward rollback`: back to an earlier good revision, out of the store, and
//! staying there.

use std::time::{Duration, Instant};

use leeward_core::model::{AppStatus, LinkState, PhaseName};
use leeward_tests::{
    agent::AgentOptions,
    scenario::{
        MEDDLER, Scenario,
        objects::{GOOD_IMAGE, config_map, deployment, documents, image, is_rolled_out, text},
    },
    weather::Link,
};
use serde_json::{Value, json};

/// Files of one app whose map has this value.
fn files(name: &str, value: &str) -> [(&'static str, String); 1] {
    [("map.yaml", documents(&[config_map(name, "map", value)]))]
}

/// Commits each value in turn, and waits until it is good; returns the commits.
async fn good_in_turn(scenario: &mut Scenario, name: &str, values: &[&str]) -> Vec<String> {
    let mut commits = Vec::new();
    for value in values {
        let commit = scenario.commit(&files(name, value)).unwrap();
        scenario.good_at(&commit).await.unwrap();
        commits.push(commit);
    }
    commits
}

async fn started(
    name: &str,
    values: &[&str],
    options: impl FnOnce(AgentOptions) -> AgentOptions,
) -> Option<(Scenario, Vec<String>)> {
    let mut scenario = Scenario::start(name, &files(name, values[0]), options).await.unwrap()?;
    let first = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&first).await.unwrap();
    let mut commits = vec![first];
    commits.extend(good_in_turn(&mut scenario, name, &values[1..]).await);
    Some((scenario, commits))
}

fn is_pinned_at(app: &AppStatus, commit: &str) -> bool {
    let is = |id: Option<String>| id.as_deref() == Some(commit);
    app.phase == PhaseName::Good
        && is(app.good.as_ref().map(|good| good.commit.to_string()))
        && is(app.pinned.as_ref().map(|pinned| pinned.commit.to_string()))
}

async fn value(scenario: &Scenario, name: &str) -> String {
    let live = scenario.live(&config_map(name, "map", "")).await.unwrap();
    live.map(|live| text(&live, "/data/key")).unwrap_or_default()
}

/// The exit code and stderr of a command that must fail.
async fn refused(scenario: &Scenario, arguments: &[&str]) -> (Option<i32>, String) {
    let output = scenario.run(arguments).await.unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn without_a_link_and_over_a_power_cut_an_app_goes_back_and_stays() {
    let name = "pin-offline";
    let prepared = Scenario::prepare(name, &files(name, "1"), |options| options).await.unwrap();
    let Some(mut scenario) = prepared else { return };
    let link = Link::lay(&mut scenario, None).unwrap();
    let space = leeward_tests::scenario::objects::namespace(name);
    scenario.api.apply(&space, MEDDLER).await.unwrap();
    scenario.agent.start_again().unwrap();
    let first = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&first).await.unwrap();
    let second = good_in_turn(&mut scenario, name, &["2"]).await.remove(0);

    link.cut().await;
    scenario.wait(|status| status.link.state == LinkState::Down).await.unwrap();
    let said = scenario.tell(&["rollback", name]).await.unwrap();
    assert!(said.contains(&first[..8]) && said.contains("--release"), "{said}");
    // Wherever that has come: what was answered is on disk.
    scenario.agent.kill();
    scenario.agent.start_again().unwrap();
    let app = scenario.wait_app(name, |app| is_pinned_at(app, &first)).await.unwrap();
    assert_eq!(value(&scenario, name).await, "1");
    let pinned = app.pinned.unwrap();
    assert_eq!(
        (pinned.until, pinned.wanted.map(|id| id.to_string())),
        (None, Some(second.clone()))
    );

    // It is healed there as ever, and another power cut changes nothing.
    let map = config_map(name, "map", "1");
    scenario.agent.kill();
    scenario.meddle(&map, &json!({ "data": { "key": "edited" } })).await.unwrap();
    scenario.agent.start_again().unwrap();
    scenario.wait_live(&map, |live| text(live, "/data/key") == "1").await.unwrap();
    said_everywhere(&scenario, name, [&first, &second]).await;

    // The link is back, and brings nothing new.
    link.restore().await.unwrap();
    scenario.tell(&["sync"]).await.unwrap();
    scenario.wait(|status| status.link.state == LinkState::Up).await.unwrap();
    let (waited, code) = scenario.ask(&["sync", "--wait"]).await.unwrap();
    assert_eq!((code, &waited["well"]), (1, &json!(false)), "{waited}");
    scenario.wait_app(name, |app| is_pinned_at(app, &first)).await.unwrap();
    scenario.tell(&["rollback", name, "--release"]).await.unwrap();
    let status = scenario.good_at(&second).await.unwrap();
    assert_eq!((status.apps[0].pinned.clone(), status.apps[0].bad.len()), (None, 0));
    assert_eq!(value(&scenario, name).await, "2");
    let (code, said) = refused(&scenario, &["rollback", name, "--release"]).await;
    assert!(code == Some(69) && said.contains("is not rolled back by hand"), "{said}");
}

/// `status`, `why`, `history`, the metric and the log have the same to say.
async fn said_everywhere(scenario: &Scenario, name: &str, [first, second]: [&str; 2]) {
    let status = scenario.tell(&["status"]).await.unwrap();
    let phrase = format!("rolled back by hand to {} until released", &first[..8]);
    assert!(status.contains(&phrase), "{status}");
    let (why, _) = scenario.ask(&["why"]).await.unwrap();
    let blocker = why.as_array().unwrap().iter().find(|one| one["blocker"] == "pin").unwrap();
    let evidence = blocker["evidence"].as_str().unwrap();
    assert!(evidence.contains(first) && evidence.contains(second), "{evidence}");
    assert!(blocker["hint"].as_str().unwrap().contains("--release"), "{blocker}");
    let (history, _) = scenario.ask(&["history", name]).await.unwrap();
    let line = |verdict: &str| {
        let lines = history.as_array().unwrap();
        lines.iter().find(|one| one["verdict"] == verdict && one["commit"] == first).cloned()
    };
    let line = line("rolled_back").unwrap();
    assert_eq!(line["reason"], format!("rolled back by hand from {}", &second[..8]));
    assert_eq!(line["subject"], "Change the cluster");
    assert!(line["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{line}");
    let url = format!("{}/metrics", scenario.agent.http_url());
    let metrics = reqwest::get(&url).await.unwrap().text().await.unwrap();
    let metric = format!("leeward_app_pinned{{app=\"{name}\"}} 1");
    assert!(metrics.contains(&metric), "{metrics}");
    let log = scenario.agent.log().unwrap();
    assert!(log.contains("The app is rolled back by hand."), "{log}");
}

#[tokio::test]
async fn the_next_content_ends_a_rollback_and_a_commit_about_others_does_not() {
    let name = "pin-content";
    let Some((mut scenario, commits)) = started(name, &["1", "2"], |options| options).await else {
        return;
    };
    scenario.tell(&["rollback", name]).await.unwrap();
    scenario.wait_app(name, |app| is_pinned_at(app, &commits[0])).await.unwrap();
    let foreign = scenario.foreign_commit("another").unwrap();
    let at = |status: &leeward_core::model::StatusDocument| {
        status.source.commit.is_some_and(|commit| commit.to_string() == foreign)
    };
    let status = scenario.wait(|status| at(status) && !status.source.examining).await.unwrap();
    assert!(is_pinned_at(&status.apps[0], &commits[0]), "{status:?}");

    let third = scenario.commit(&files(name, "3")).unwrap();
    let status = scenario.good_at(&third).await.unwrap();
    assert_eq!(status.apps[0].pinned, None);
    assert_eq!(value(&scenario, name).await, "3");
    let (history, _) = scenario.ask(&["history"]).await.unwrap();
    let ended = format!("no longer rolled back: Git changed the app in {}", &third[..8]);
    let lines = history.as_array().unwrap();
    assert!(lines.iter().any(|line| line["reason"] == ended), "{history:#}");
    // Back to what ran before it, not to what was rolled back from.
    scenario.tell(&["rollback", name]).await.unwrap();
    scenario.wait_app(name, |app| is_pinned_at(app, &commits[0])).await.unwrap();
}

#[tokio::test]
async fn its_time_ends_a_rollback_also_over_a_restart() {
    let name = "pin-time";
    let Some((mut scenario, commits)) = started(name, &["1", "2"], |options| options).await else {
        return;
    };
    let asked = Instant::now();
    scenario.tell(&["rollback", name, "--for", "6s"]).await.unwrap();
    let app = scenario.wait_app(name, |app| is_pinned_at(app, &commits[0])).await.unwrap();
    assert!(app.pinned.unwrap().until.is_some());
    scenario.agent.kill();
    scenario.agent.start_again().unwrap();
    let status = scenario.good_at(&commits[1]).await.unwrap();
    assert!(asked.elapsed() >= Duration::from_secs(6), "{:?}", asked.elapsed());
    assert_eq!(status.apps[0].pinned, None);
    let (history, _) = scenario.ask(&["history"]).await.unwrap();
    assert!(history.to_string().contains("no longer rolled back: its time is over"));
}

#[tokio::test]
async fn each_rollback_goes_further_and_what_is_not_there_is_refused_with_what_is() {
    let name = "pin-steps";
    let values = ["1", "2", "3", "4"];
    let Some((mut scenario, commits)) = started(name, &values, |options| options).await else {
        return;
    };
    for commit in [&commits[2], &commits[1]] {
        scenario.tell(&["rollback", name]).await.unwrap();
        scenario.wait_app(name, |app| is_pinned_at(app, commit)).await.unwrap();
    }
    // Three are kept, the present one of Git among them.
    let there = [&commits[1], &commits[2], &commits[3]].map(|commit| &commit[..8]);
    let unknown = [
        (vec!["rollback", name], "has no good revision before the present one"),
        (vec!["rollback", name, &commits[0]], "the store has no good revision"),
        (vec!["rollback", name, "0000000000"], "the store has no good revision 0000000000"),
    ];
    for (arguments, why) in unknown {
        let (code, said) = refused(&scenario, &arguments).await;
        assert!(code == Some(69) && said.contains(why), "{arguments:?}: {said}");
        assert!(there.iter().all(|commit| said.contains(commit)), "{said}");
    }
    let (code, said) = refused(&scenario, &["rollback", "nobody"]).await;
    assert!(code == Some(69) && said.contains("there is no app nobody"), "{said}");
    let (code, said) = refused(&scenario, &["rollback", name, "master"]).await;
    assert!(code == Some(64) && said.contains("digits of a commit"), "{said}");
    // Forward again by name, as far as it was good.
    scenario.tell(&["rollback", name, &commits[2][..12]]).await.unwrap();
    scenario.wait_app(name, |app| is_pinned_at(app, &commits[2])).await.unwrap();
    assert_eq!(value(&scenario, name).await, "3");
}

#[tokio::test]
async fn an_old_revision_that_is_refused_now_is_named_and_what_ran_goes_on() {
    let name = "pin-bad";
    let frozen = config_map(name, "frozen", "1");
    let map = config_map(name, "map", "1");
    let both = [("all.yaml", documents(&[map, frozen.clone()]))];
    let Some(mut scenario) = Scenario::start(name, &both, |options| options).await.unwrap() else {
        return;
    };
    let first = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&first).await.unwrap();
    let next = [("all.yaml", documents(&[config_map(name, "map", "2")]))];
    let second = scenario.commit(&next).unwrap();
    scenario.good_at(&second).await.unwrap();
    scenario.wait_gone(&frozen).await.unwrap();
    let mut other = config_map(name, "frozen", "other");
    other["immutable"] = Value::Bool(true);
    scenario.api.apply(&other, MEDDLER).await.unwrap();

    scenario.tell(&["rollback", name, &first[..10]]).await.unwrap();
    let is_bad = |app: &AppStatus| app.bad.iter().any(|bad| bad.commit.to_string() == first);
    let app = scenario.wait_app(name, |app| is_bad(app) && app.pinned.is_none()).await.unwrap();
    assert_eq!(app.phase, PhaseName::Good);
    assert_eq!(app.good.unwrap().commit.to_string(), second);
    assert_eq!(value(&scenario, name).await, "2");
    let (code, said) = refused(&scenario, &["rollback", name, &first[..10]]).await;
    assert!(code == Some(69) && said.contains("is bad: the API server refused it"), "{said}");
}

#[tokio::test]
async fn rollback_in_the_middle_of_a_rollout_leaves_it_and_release_tries_it_again() {
    let name = "pin-rollout";
    let web = deployment(name, "web", GOOD_IMAGE);
    let files = [("all.yaml", documents(std::slice::from_ref(&web)))];
    let patient = |options: AgentOptions| options.set("apply.timeout", "5m");
    let Some(mut scenario) = Scenario::start(name, &files, patient).await.unwrap() else { return };
    let first = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&first).await.unwrap();
    let slow = documents(&[deployment(name, "web", "slow300:1")]);
    let slow = scenario.commit(&[("all.yaml", slow)]).unwrap();
    scenario.wait_app(name, |app| app.phase == PhaseName::Probation).await.unwrap();
    scenario.tell(&["rollback", name]).await.unwrap();
    let app = scenario.wait_app(name, |app| is_pinned_at(app, &first)).await.unwrap();
    assert_eq!(app.bad, []);
    let live = scenario.wait_live(&web, is_rolled_out).await.unwrap();
    assert_eq!(image(&live), GOOD_IMAGE);
    scenario.tell(&["rollback", name, "--release"]).await.unwrap();
    let trying = |app: &AppStatus| {
        let candidate = app.candidate.as_ref().map(|one| one.commit.to_string());
        app.phase == PhaseName::Probation && candidate.as_deref() == Some(&*slow)
    };
    scenario.wait_app(name, trying).await.unwrap();
}

#[tokio::test]
async fn the_prune_guard_holds_a_rollback_that_would_delete_much() {
    let name = "pin-guard";
    let Some((mut scenario, commits)) = started(name, &["1"], |options| options).await else {
        return;
    };
    let more: Vec<Value> =
        (0..5).map(|index| config_map(name, &format!("more-{index}"), "1")).collect();
    let second = scenario.commit(&[("more.yaml", documents(&more))]).unwrap();
    scenario.good_at(&second).await.unwrap();
    scenario.tell(&["rollback", name]).await.unwrap();
    let held = |app: &AppStatus| app.held.as_ref().is_some_and(|one| one.reason == "prune_guard");
    let app = scenario.wait_app(name, held).await.unwrap();
    assert!(app.pinned.is_some());
    assert_eq!(scenario.versions(&more).await.unwrap().len(), more.len());
    scenario.tell(&["approve", name]).await.unwrap();
    scenario.wait_app(name, |app| is_pinned_at(app, &commits[0])).await.unwrap();
    for one in &more {
        scenario.wait_gone(one).await.unwrap();
    }
}

#[tokio::test]
async fn apps_that_depend_on_each_other_are_rolled_back_one_by_one() {
    let name = "pin-depends";
    let (db, web) = ("pin-depends-db", "pin-depends-web");
    let list = format!(
        "apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps:\n- name: {db}\n  path: db\n\
         - name: {web}\n  path: web\n  dependsOn: [{db}]\n"
    );
    let of = |app: &str, value: &str| documents(&[config_map(name, app, value)]);
    let files =
        [("leeward.yaml", list), ("db/map.yaml", of("db", "1")), ("web/map.yaml", of("web", "1"))];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let first = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&first).await.unwrap();
    let both = [("db/map.yaml", of("db", "2")), ("web/map.yaml", of("web", "2"))];
    let second = scenario.commit(&both).unwrap();
    scenario.good_at(&second).await.unwrap();
    for app in [db, web] {
        scenario.tell(&["rollback", app]).await.unwrap();
        scenario.wait_app(app, |app| is_pinned_at(app, &first)).await.unwrap();
    }
    // A correction of the one goes in beside the other, which stays rolled back.
    let third = scenario.commit(&[("web/map.yaml", of("web", "3"))]).unwrap();
    scenario.wait_app(web, |app| leeward_tests::scenario::is_good_at(app, &third)).await.unwrap();
    scenario.wait_app(db, |app| is_pinned_at(app, &first)).await.unwrap();
}

#[tokio::test]
async fn where_git_wants_a_bad_revision_the_release_leads_to_the_last_good_one() {
    let name = "pin-newest-bad";
    let web = |image: &str| [("all.yaml", documents(&[deployment(name, "web", image)]))];
    let start = Scenario::start(name, &web(GOOD_IMAGE), |options| options).await.unwrap();
    let Some(mut scenario) = start else { return };
    let first = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&first).await.unwrap();
    let second = scenario.commit(&web("app:2")).unwrap();
    scenario.good_at(&second).await.unwrap();
    let bad = scenario.commit(&web("crash:1")).unwrap();
    let is_back = |app: &AppStatus| {
        app.phase == PhaseName::Good && app.bad.iter().any(|one| one.commit.to_string() == bad)
    };
    scenario.wait_app(name, is_back).await.unwrap();
    scenario.tell(&["rollback", name]).await.unwrap();
    scenario.wait_app(name, |app| is_pinned_at(app, &first)).await.unwrap();
    scenario.tell(&["rollback", name, "--release"]).await.unwrap();
    scenario.good_at(&second).await.unwrap();
    let object = deployment(name, "web", "app:2");
    scenario.wait_live(&object, |live| image(live) == "app:2").await.unwrap();
}

/// Text that zstd makes hardly smaller, of a file that declares nothing.
fn ballast(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..20_000).map(|_| format!("{:016x}", next())).collect()
}

#[tokio::test]
async fn a_short_budget_takes_the_oldest_and_never_what_runs() {
    let name = "pin-budget";
    let options = |options: AgentOptions| options.set("store.max_size", "1MiB");
    let Some((mut scenario, _)) = started(name, &["0"], options).await else { return };
    // Each takes a third of the budget: two fit beside each other, four never do.
    let mut commits = Vec::new();
    for round in 1..=6_u64 {
        let map = documents(&[config_map(name, "map", &round.to_string())]);
        let files = [("map.yaml", map), ("notes.txt", ballast(round))];
        let commit = scenario.commit(&files).unwrap();
        scenario.good_at(&commit).await.unwrap();
        commits.push(commit);
    }
    assert_eq!(value(&scenario, name).await, "6");
    let log = scenario.agent.log().unwrap();
    assert!(log.contains("The store has no room for its oldest good revision"), "{log}");
    let (_, said) = refused(&scenario, &["rollback", name, "0000"]).await;
    let named = commits.iter().filter(|commit| said.contains(&commit[..8])).count();
    assert!((1..3).contains(&named) && said.contains(&commits[5][..8]), "{said}");
    // What is still named can be gone back to; the one that Git wants stays as well.
    if said.contains(&commits[4][..8]) {
        scenario.tell(&["rollback", name]).await.unwrap();
        scenario.wait_app(name, |app| is_pinned_at(app, &commits[4])).await.unwrap();
        assert_eq!(value(&scenario, name).await, "5");
    }
}
