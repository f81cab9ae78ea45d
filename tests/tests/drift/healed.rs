//! Edited and deleted objects come back, quickly, and the same one again and again.

use std::time::{Duration, Instant};

use leeward_tests::{
    scenario::{
        Scenario,
        damage::Damage,
        objects::{config_map, documents, text, thirds, uid},
    },
    weather::percentile,
};
use serde_json::{Value, json};

/// `cargo figures drift` has 50.
const ROUNDS: usize = 10;
/// The promise is p95 below a second; a busy machine gets five.
const BOUND: Duration = Duration::from_secs(5);

#[tokio::test]
async fn edited_and_deleted_objects_among_200_are_healed_at_once_again_and_again() {
    let name = "drift-200";
    // No pods: they are not what is measured.
    let all = thirds(name, 200, 0);
    let files = [("all.yaml", documents(&all))];
    let options = |options: leeward_tests::agent::AgentOptions| options.set("apply.timeout", "60s");
    let Some(mut scenario) = Scenario::start(name, &files, options).await.unwrap() else { return };
    let commit = scenario.repository.head().unwrap().unwrap();
    let status = scenario.good_at(&commit).await.unwrap();
    assert_eq!(status.apps[0].objects, 200);
    let healed_before = status.apps[0].drift.healed;

    // By their place in a third; from the fifth time on one object would be a fight.
    let damages = [
        (Damage::EditedData, 0),
        (Damage::EditedImage, 1),
        (Damage::Deleted, 0),
        (Damage::Deleted, 1),
        (Damage::Deleted, 2),
    ];
    for (damage, place) in damages {
        let manifest = &all[place];
        let mut times = Vec::new();
        for round in 0..ROUNDS {
            let manifest = &all[place + 3 * round];
            times.push(damage.healed_after(&scenario, manifest, round).await.unwrap());
        }
        let (median, p95) = (percentile(times.clone(), 50), percentile(times.clone(), 95));
        println!("{damage:?} {}: p50 {median:?}, p95 {p95:?}", manifest["kind"]);
        assert!(p95 < BOUND, "{damage:?} {}: {times:?}", manifest["kind"]);
    }

    let expected = healed_before + 5 * ROUNDS as u64;
    let app = scenario.wait_app(name, |app| app.drift.open == 0).await.unwrap();
    assert!(app.drift.healed >= expected, "{} of {expected}", app.drift.healed);
    assert_eq!((app.bad.len(), app.good.unwrap().commit.to_string()), (0, commit));
}

#[tokio::test]
async fn many_objects_that_are_deleted_at_once_all_come_back() {
    let name = "drift-many";
    let all: Vec<Value> =
        (0..40).map(|index| config_map(name, &format!("map-{index}"), "1")).collect();
    let files = [("all.yaml", documents(&all))];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    let mut before = Vec::new();
    for manifest in &all {
        before.push(uid(&scenario.live(manifest).await.unwrap().unwrap()));
    }
    let started = Instant::now();
    for manifest in &all {
        scenario.remove(manifest).await.unwrap();
    }
    for (manifest, before) in all.iter().zip(&before) {
        scenario.wait_live(manifest, |live| uid(live) != *before).await.unwrap();
    }
    println!("40 of 40 deleted objects back after {:?}", started.elapsed());
}

#[tokio::test]
async fn what_changed_while_the_agent_was_down_is_healed_when_it_starts() {
    let name = "drift-down";
    let (edited, deleted, label) = (
        config_map(name, "edited", "1"),
        config_map(name, "deleted", "1"),
        config_map(name, "label", "1"),
    );
    let files = [("all.yaml", documents(&[edited.clone(), deleted.clone(), label.clone()]))];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    scenario.agent.kill();
    scenario.meddle(&edited, &json!({ "data": { "key": "2" } })).await.unwrap();
    scenario.remove(&deleted).await.unwrap();
    // Without its label no watch shows it any more.
    let bare = json!({ "metadata": { "labels": { "leeward.dev/app": null } } });
    scenario.meddle(&label, &bare).await.unwrap();
    let started = Instant::now();
    scenario.agent.start_again().unwrap();
    scenario.wait_live(&edited, |live| text(live, "/data/key") == "1").await.unwrap();
    scenario.wait_live(&deleted, |_| true).await.unwrap();
    scenario
        .wait_live(&label, |live| text(live, "/metadata/labels/leeward.dev~1app") == name)
        .await
        .unwrap();
    println!("healed {:?} after the start", started.elapsed());
}
