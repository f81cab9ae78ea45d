//! What people do with the agent: pause, resume, diff, history.

use std::time::{Duration, Instant};

use leeward_core::model::PhaseName;
use leeward_tests::scenario::{
    Scenario,
    objects::{config_map, documents, text},
};
use serde_json::json;

async fn started(name: &str, files: &[(&str, String)]) -> Option<Scenario> {
    let mut scenario = Scenario::start(name, files, |options| options).await.unwrap()?;
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    Some(scenario)
}

#[tokio::test]
async fn paused_app_stays_as_it_is_until_it_is_resumed_or_the_pause_ends() {
    let name = "command-pause";
    let map = config_map(name, "map", "1");
    let file = |value: &str| documents(&[config_map(name, "map", value)]);
    let Some(mut scenario) = started(name, &[("map.yaml", file("1"))]).await else { return };
    scenario.tell(&["pause", name, "--for", "1h", "--reason", "stocktaking"]).await.unwrap();
    let app = scenario.wait_app(name, |app| app.phase == PhaseName::Paused).await.unwrap();
    let held = app.held.unwrap();
    assert_eq!((held.reason.as_str(), held.detail.as_str()), ("pause", "stocktaking"));
    assert!(held.until.is_some());
    let (why, _) = scenario.ask(&["why"]).await.unwrap();
    assert_eq!((&why[0]["blocker"], &why[0]["app"]), (&json!("pause"), &json!(name)));

    // Neither healed nor moved on, and a restart does not end it.
    scenario.meddle(&map, &json!({ "data": { "key": "edited" } })).await.unwrap();
    let commit = scenario.commit(&[("map.yaml", file("2"))]).unwrap();
    let arrived = |status: &leeward_core::model::StatusDocument| {
        status.source.commit.is_some_and(|newest| newest.to_string() == commit)
            && status.apps[0].phase == PhaseName::Paused
    };
    scenario.wait(arrived).await.unwrap();
    scenario.agent.kill();
    scenario.agent.start_again().unwrap();
    scenario.wait(|status| status.agent.boot == 2 && arrived(status)).await.unwrap();
    assert_eq!(text(&scenario.live(&map).await.unwrap().unwrap(), "/data/key"), "edited");
    scenario.tell(&["resume", name]).await.unwrap();
    scenario.good_at(&commit).await.unwrap();
    assert_eq!(text(&scenario.live(&map).await.unwrap().unwrap(), "/data/key"), "2");

    // Without a name it is for every app; this one ends by itself.
    let started = Instant::now();
    scenario.tell(&["pause", "--for", "3s", "--reason", "a moment"]).await.unwrap();
    let commit = scenario.commit(&[("map.yaml", file("3"))]).unwrap();
    let status = scenario.good_at(&commit).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(3));
    assert_eq!(status.apps[0].held, None);
    assert_eq!(text(&scenario.live(&map).await.unwrap().unwrap(), "/data/key"), "3");
}

#[tokio::test]
async fn diff_says_what_is_missing_what_differs_and_what_would_go() {
    let name = "command-diff";
    let maps = ["same", "edited", "missing", "extra"].map(|one| config_map(name, one, "1"));
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "secret", "namespace": name },
        "stringData": { "password": "hunter2" },
    });
    let all = documents(&[&maps[..3], &[secret.clone()]].concat());
    let files = [("all.yaml", all), ("extra.yaml", documents(&maps[3..]))];
    let Some(mut scenario) = started(name, &files).await else { return };
    assert_eq!(scenario.ask(&["diff"]).await.unwrap(), (json!([]), 0));

    // While it is paused, what differs stays.
    scenario.tell(&["pause", "--for", "1h", "--reason", "look"]).await.unwrap();
    scenario.meddle(&maps[1], &json!({ "data": { "key": "2", "more": "x" } })).await.unwrap();
    scenario.meddle(&secret, &json!({ "stringData": { "password": "swordfish" } })).await.unwrap();
    scenario.remove(&maps[2]).await.unwrap();
    let (diff, code) = scenario.ask(&["diff", name]).await.unwrap();
    assert_eq!(code, 1);
    let one =
        |object: &str| diff.as_array().unwrap().iter().find(|one| one["object"] == object).cloned();
    let edited = one("ConfigMap command-diff/edited").unwrap();
    assert_eq!(
        edited,
        json!({
            "app": name, "object": "ConfigMap command-diff/edited",
            "missing": false, "surplus": false,
            "fields": [{ "path": "/data/key", "old": "\"1\"", "new": "\"2\"", "manager": "meddler" }],
        })
    );
    let missing = one("ConfigMap command-diff/missing").unwrap();
    assert_eq!((&missing["missing"], &missing["surplus"]), (&json!(true), &json!(false)));
    assert_eq!(one("ConfigMap command-diff/same"), None);
    assert!(one("Secret command-diff/secret").is_some(), "{diff:#}");
    let shown = format!(
        "{diff}{}",
        String::from_utf8_lossy(&scenario.run(&["diff"]).await.unwrap().stdout)
    );
    for secret in ["hunter2", "swordfish", "aHVudGVyMg", "c3dvcmRmaXNo"] {
        assert!(!shown.contains(secret), "{shown}");
    }

    // Against what Git wants now, not against what it wanted.
    let commit = scenario.delete(&["extra.yaml"]).unwrap();
    scenario
        .wait(|status| status.source.commit.is_some_and(|one| one.to_string() == commit))
        .await
        .unwrap();
    let (diff, _) = scenario.ask(&["diff"]).await.unwrap();
    let extra = diff.as_array().unwrap().iter().find(|one| one["surplus"] == true);
    assert_eq!(extra.unwrap()["object"], "ConfigMap command-diff/extra");
    let unknown = scenario.run(&["diff", "nobody"]).await.unwrap();
    assert_eq!(unknown.status.code(), Some(69), "{}", String::from_utf8_lossy(&unknown.stderr));
}

#[tokio::test]
async fn history_tells_newest_first_with_the_daemon_up_and_down() {
    let name = "command-history";
    let file = |value: &str| documents(&[config_map(name, "map", value)]);
    let Some(mut scenario) = started(name, &[("map.yaml", file("1"))]).await else { return };
    let first = scenario.repository.head().unwrap().unwrap();
    let bad = scenario.commit(&[("map.yaml", documents(&[config_map(name, "Bad", "1")]))]).unwrap();
    scenario.wait_app(name, |app| !app.bad.is_empty()).await.unwrap();
    let third = scenario.commit(&[("map.yaml", file("3"))]).unwrap();
    scenario.good_at(&third).await.unwrap();
    let (history, code) = scenario.ask(&["history", name]).await.unwrap();
    assert_eq!(code, 0);
    let lines: Vec<(String, String)> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (text(one, "/commit"), text(one, "/verdict")))
        .collect();
    let expected = [(third, "good"), (bad, "bad"), (first, "good")];
    assert_eq!(lines, expected.map(|(commit, verdict)| (commit, verdict.to_owned())));
    scenario.agent.stop(Duration::from_secs(20)).await.unwrap();
    assert_eq!(scenario.ask(&["history"]).await.unwrap().0, history);
    let note = scenario.run(&["history"]).await.unwrap();
    assert!(!note.stderr.is_empty(), "nothing says that the daemon is down");
}
