//! Trouble with one object of an app, beside the app's other objects.

use leeward_tests::{
    scenario::objects::{config_map, text},
    weather::blocked_by,
    webhook::{Webhook, hooked},
};
use serde_json::{Value, json};

use super::start;

#[tokio::test]
async fn what_runs_is_healed_while_a_newer_commit_of_the_same_app_cannot_be_examined() {
    let name = "own-preflight";
    let first = config_map(name, "first", "1");
    let Some(mut apart) = start(name, &[first.clone()]).await else { return };
    let mut webhook = Webhook::start(&apart.scenario.api, name, |call| call.dry_run).await.unwrap();
    apart.change(&[first.clone(), hooked(config_map(name, "late", "1"), name)]).unwrap();
    webhook.wait_calls(|calls| !calls.is_empty()).await.unwrap();
    apart.scenario.meddle(&first, &json!({ "data": { "key": "edited" } })).await.unwrap();
    apart.scenario.wait_live(&first, |live| text(live, "/data/key") == "1").await.unwrap();
    webhook.open();
    apart.both_good().await.unwrap();
}

#[tokio::test]
async fn commit_about_an_object_that_somebody_is_deleting_waits_for_the_deletion() {
    let name = "own-deleting";
    let map = |value: &str, finalizers: &[&str]| {
        let mut map = config_map(name, "map", value);
        map["metadata"]["finalizers"] = json!(finalizers);
        map
    };
    let Some(mut apart) = start(name, &[map("1", &["example.com/a"])]).await else { return };
    apart.scenario.remove(&map("1", &[])).await.unwrap();
    let leaving = |live: &Value| live["metadata"].get("deletionTimestamp").is_some();
    apart.scenario.wait_live(&map("1", &[]), leaving).await.unwrap();
    apart.change(&[map("2", &["example.com/a", "example.com/b"])]).unwrap();
    blocked_by(&apart.scenario, &["ConfigMap own-deleting/map", "being deleted"]).await.unwrap();
    apart.wait_troubled(|app| app.bad.is_empty()).await.unwrap();
    let release = json!({ "metadata": { "finalizers": null } });
    apart.scenario.meddle(&map("", &[]), &release).await.unwrap();
    apart.both_good().await.unwrap();
    let live = apart.scenario.live(&map("", &[])).await.unwrap().unwrap();
    assert_eq!(text(&live, "/data/key"), "2");
    apart.scenario.meddle(&map("", &[]), &release).await.unwrap();
}
