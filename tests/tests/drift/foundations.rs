//! Namespaces and kinds that vanish with everything in them.

use std::time::Instant;

use leeward_core::model::PhaseName;
use leeward_tests::scenario::{
    Scenario, is_good_at,
    objects::{
        config_map, custom, definition, deployment, documents, is_rolled_out, namespace, service,
        uid,
    },
};
use serde_json::Value;

async fn uids(scenario: &Scenario, manifests: &[Value]) -> Vec<String> {
    let mut uids = Vec::new();
    for manifest in manifests {
        uids.push(uid(&scenario.live(manifest).await.unwrap().unwrap()));
    }
    uids
}

async fn all_are_new(scenario: &Scenario, manifests: &[Value], before: &[String]) {
    for (manifest, before) in manifests.iter().zip(before) {
        scenario
            .wait_live(manifest, |live| {
                uid(live) != *before && live["metadata"].get("deletionTimestamp").is_none()
            })
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn deleted_namespace_comes_back_with_everything_in_it() {
    let name = "drift-space";
    let inside = "drift-space-inside";
    let web = deployment(inside, "web", "app:1");
    let all = [
        namespace(inside),
        config_map(inside, "map", "1"),
        web.clone(),
        service(inside, "web", 80),
    ];
    let files = [("all.yaml", documents(&all))];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    let before = uids(&scenario, &all).await;
    let started = Instant::now();
    scenario.remove(&all[0]).await.unwrap();
    all_are_new(&scenario, &all, &before).await;
    scenario.wait_live(&web, is_rolled_out).await.unwrap();
    println!("a deleted namespace is back with everything after {:?}", started.elapsed());
    let app = scenario
        .wait_app(name, |app| app.drift.open == 0 && is_good_at(app, &commit))
        .await
        .unwrap();
    assert_eq!(app.bad, []);
}

#[tokio::test]
async fn deleted_kind_comes_back_with_its_objects() {
    let name = "drift-kind";
    let group = "drift-kind.example.com";
    let all = [
        definition(group, "Gizmo"),
        custom(group, "Gizmo", name, "one"),
        custom(group, "Gizmo", name, "two"),
        config_map(name, "map", "1"),
    ];
    let files = [("all.yaml", documents(&all))];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    let before = uids(&scenario, &all).await;
    let started = Instant::now();
    scenario.remove(&all[0]).await.unwrap();
    all_are_new(&scenario, &all[..3], &before).await;
    println!("a deleted kind is back with its objects after {:?}", started.elapsed());
    let app = scenario.wait_app(name, |app| app.drift.open == 0).await.unwrap();
    assert_eq!((app.phase, app.bad.len()), (PhaseName::Good, 0));
    // And is watched as before.
    let before = uids(&scenario, &all[1..2]).await;
    scenario.remove(&all[1]).await.unwrap();
    all_are_new(&scenario, &all[1..2], &before).await;
}
