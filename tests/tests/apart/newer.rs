//! A newer commit comes while work on an older one hangs.

use leeward_core::{model::PhaseName, report::EventKind};
use leeward_tests::{
    scenario::{
        apart::Apart,
        objects::{GOOD_IMAGE, config_map, deployment, text},
    },
    weather::outbox,
    webhook::{Webhook, hooked},
};
use serde_json::{Value, json};

use super::start;

/// More objects than one errand sends at once.
const MANY: usize = 60;

/// So many objects with a value, about each of which the scenario's webhook is asked.
fn maps(name: &str, count: usize, value: &str) -> Vec<Value> {
    let map = |index| hooked(config_map(name, &format!("map-{index}"), value), name);
    (0..count).map(map).collect()
}

fn value(object: &Value) -> String {
    text(object, "/data/key")
}

/// Waits until the commit is the troubled app's candidate.
async fn candidate(apart: &mut Apart, commit: &str) {
    let is_candidate = |app: &leeward_core::model::AppStatus| {
        app.candidate.as_ref().is_some_and(|one| one.commit.to_string() == commit)
    };
    apart.wait_troubled(is_candidate).await.unwrap();
}

#[tokio::test]
async fn commit_overtakes_an_older_one_whose_dry_runs_hang() {
    let name = "newer-dry";
    let Some(mut apart) = start(name, &[config_map(name, "first", "1")]).await else {
        return;
    };
    let hangs = |call: &leeward_tests::webhook::Call| call.dry_run;
    let mut webhook = Webhook::start(&apart.scenario.api, name, hangs).await.unwrap();
    apart.change(&maps(name, 20, "old")).unwrap();
    webhook.wait_calls(|calls| !calls.is_empty()).await.unwrap();
    let began = std::time::Instant::now();
    apart.change(&[config_map(name, "first", "2")]).unwrap();
    apart.both_good().await.unwrap();
    // The API server would give the dry-runs thirty seconds.
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(webhook.calls().iter().all(|call| call.dry_run));
}

#[tokio::test]
async fn nothing_of_an_older_commit_is_sent_once_a_newer_one_is_there() {
    let name = "newer-send";
    let Some(mut apart) = start(name, &[config_map(name, "first", "1")]).await else {
        return;
    };
    let hangs = |call: &leeward_tests::webhook::Call| !call.dry_run && value(&call.object) == "old";
    let mut webhook = Webhook::start(&apart.scenario.api, name, hangs).await.unwrap();
    apart.change(&maps(name, MANY, "old")).unwrap();
    let is_sent = |calls: &[leeward_tests::webhook::Call]| calls.iter().any(|call| !call.dry_run);
    webhook.wait_calls(is_sent).await.unwrap();
    let commit = apart.change(&maps(name, MANY, "new")).unwrap();
    candidate(&mut apart, &commit).await;
    webhook.open();
    apart.both_good().await.unwrap();
    let sent = webhook.calls().into_iter().filter(|call| !call.dry_run);
    let values: Vec<String> = sent.map(|call| value(&call.object)).collect();
    let old = values.iter().filter(|value| *value == "old").count();
    assert!(old <= 16, "{old} objects of the older commit were sent: {values:?}");
    let first_new = values.iter().position(|value| value == "new").unwrap();
    assert!(values[first_new..].iter().all(|value| value == "new"), "{values:?}");
    for map in maps(name, MANY, "new") {
        assert_eq!(value(&apart.scenario.live(&map).await.unwrap().unwrap()), "new");
    }
}

#[tokio::test]
async fn commit_about_others_neither_repeats_a_preflight_nor_disturbs_an_apply() {
    let name = "newer-foreign";
    let Some(mut apart) = start(name, &[config_map(name, "first", "1")]).await else {
        return;
    };
    // It hangs once, for whatever is the first of either sort.
    let webhook = Webhook::start(&apart.scenario.api, name, |call| call.dry_run);
    let mut webhook = webhook.await.unwrap();
    let maps = maps(name, 10, "1");
    apart.change(&maps).unwrap();
    webhook.wait_calls(|calls| calls.len() == maps.len()).await.unwrap();
    let foreign = apart.scenario.foreign_commit("for another cluster").unwrap();
    candidate(&mut apart, &foreign).await;
    webhook.open();
    apart.both_good().await.unwrap();
    let dry_runs = webhook.calls().iter().filter(|call| call.dry_run).count();
    assert_eq!(dry_runs, maps.len());
}

#[tokio::test]
async fn report_counts_all_objects_although_a_commit_about_others_came_meanwhile() {
    let name = "newer-counts";
    let Some(mut apart) = start(name, &[config_map(name, "first", "1")]).await else {
        return;
    };
    let mut webhook =
        Webhook::start(&apart.scenario.api, name, |call| !call.dry_run).await.unwrap();
    let maps = maps(name, 10, "1");
    apart.change(&maps).unwrap();
    let all_sent = |calls: &[leeward_tests::webhook::Call]| {
        calls.iter().filter(|call| !call.dry_run).count() == 10
    };
    webhook.wait_calls(all_sent).await.unwrap();
    let foreign = apart.scenario.foreign_commit("for another cluster").unwrap();
    candidate(&mut apart, &foreign).await;
    webhook.open();
    apart.both_good().await.unwrap();
    apart.scenario.agent.kill();
    let events = outbox(&apart.scenario.agent).unwrap();
    let last = |kind| {
        let about = Some(apart.troubled.as_str());
        let found = events
            .iter()
            .rfind(|one| one.event.kind == kind && one.event.subject.as_deref() == about);
        found.unwrap().event.data.clone()
    };
    let data = last(EventKind::AppApplied);
    assert_eq!((&data["created"], &data["pruned"]), (&json!(10), &json!(0)), "{data}");
    // What Git does not have any more goes once the revision has proven itself.
    let data = last(EventKind::AppPruned);
    assert_eq!((&data["pruned"], &data["commit"]), (&json!(1), &json!(foreign)), "{data}");
}

#[tokio::test]
async fn commit_is_applied_while_a_deletion_of_the_one_before_does_not_end() {
    let name = "newer-deletion";
    let (first, goes) = (config_map(name, "first", "1"), config_map(name, "goes", "1"));
    let Some(mut apart) = start(name, &[first.clone(), goes.clone()]).await else { return };
    let hold = json!({ "metadata": { "finalizers": ["example.com/hold"] } });
    apart.scenario.meddle(&goes, &hold).await.unwrap();
    apart.change(&[first.clone()]).unwrap();
    let leaving = |live: &Value| live["metadata"].get("deletionTimestamp").is_some();
    apart.scenario.wait_live(&goes, leaving).await.unwrap();
    apart.change(&[config_map(name, "first", "2")]).unwrap();
    apart.scenario.wait_live(&first, |live| value(live) == "2").await.unwrap();
    assert!(apart.scenario.live(&goes).await.unwrap().is_some());
    let release = json!({ "metadata": { "finalizers": null } });
    apart.scenario.meddle(&goes, &release).await.unwrap();
    apart.both_good().await.unwrap();
    apart.scenario.wait_gone(&goes).await.unwrap();
}

#[tokio::test]
async fn commit_wins_that_comes_while_the_way_back_from_a_bad_one_hangs() {
    let name = "newer-back";
    let all = |image: &str, value: &str| {
        [deployment(name, "web", image), hooked(config_map(name, "map", value), name)]
    };
    let Some(mut apart) = start(name, &all(GOOD_IMAGE, "1")).await else { return };
    let hangs = |call: &leeward_tests::webhook::Call| value(&call.object) == "1";
    let mut webhook = Webhook::start(&apart.scenario.api, name, hangs).await.unwrap();
    let bad = apart.change(&all("crash:1", "2")).unwrap();
    apart.wait_troubled(|app| app.phase == PhaseName::RollingBack).await.unwrap();
    webhook.wait_calls(|calls| calls.iter().any(|one| value(&one.object) == "1")).await.unwrap();
    let newest = apart.change(&all("app:3", "3")).unwrap();
    let has_come = |status: &leeward_core::model::StatusDocument| {
        status.source.commit.is_some_and(|commit| commit.to_string() == newest)
    };
    apart.scenario.wait(has_come).await.unwrap();
    webhook.open();
    apart.both_good().await.unwrap();
    let map = config_map(name, "map", "");
    assert_eq!(value(&apart.scenario.live(&map).await.unwrap().unwrap()), "3");
    apart
        .wait_troubled(|app| app.bad.iter().any(|one| one.commit.to_string() == bad))
        .await
        .unwrap();
}
