//! Fields that another tool applied before the agent came: they go when Git
//! removes them, and what Git never had stays.

use hyper::Method;
use leeward_tests::scenario::{
    MEDDLER, Scenario,
    objects::{config_map, documents, namespace, text},
};
use serde_json::{Value, json};

fn map(namespace: &str, name: &str, more: &[(&str, &str)]) -> Value {
    let mut map = config_map(namespace, name, "1");
    for (key, value) in more {
        map["data"][*key] = json!(value);
    }
    map
}

/// As `kubectl create` and client-side `kubectl apply` do.
async fn create(scenario: &Scenario, manifest: &Value, manager: &str) {
    let path = scenario.api.path_of(manifest).await.unwrap();
    let (collection, _) = path.rsplit_once('/').unwrap();
    let target = format!("{collection}?fieldManager={manager}");
    let body = manifest.to_string().into_bytes();
    scenario.api.request(Method::POST, &target, "application/json", body).await.unwrap();
}

/// Who applied the objects before, and how.
const TOOLS: [(&str, bool); 4] = [
    ("kubectl-client-side-apply", false),
    ("kubectl", true),
    ("helm", false),
    ("argocd-controller", true),
];

#[tokio::test]
async fn field_that_another_tool_applied_too_goes_when_git_removes_it() {
    let name = "shared-tools";
    let with = |more: &[(&str, &str)]| TOOLS.map(|(tool, _)| map(name, tool, more));
    let before = with(&[("other", "1")]);
    let files = [("all.yaml", documents(&before))];
    let Some(mut scenario) = Scenario::prepare(name, &files, |options| options).await.unwrap()
    else {
        return;
    };
    scenario.api.apply(&namespace(name), MEDDLER).await.unwrap();
    for ((tool, is_apply), theirs) in TOOLS.iter().zip(with(&[("other", "1"), ("theirs", "1")])) {
        if *is_apply {
            scenario.api.apply(&theirs, tool).await.unwrap();
        } else {
            create(&scenario, &theirs, tool).await;
        }
    }
    scenario.agent.start_again().unwrap();
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    // Through a heal, and a restart.
    scenario.meddle(&before[0], &json!({ "data": { "key": "edited" } })).await.unwrap();
    scenario.wait_live(&before[0], |live| text(live, "/data/key") == "1").await.unwrap();
    scenario.wait_app(name, |app| app.drift.healed == 1).await.unwrap();
    scenario.agent.kill();
    scenario.agent.start_again().unwrap();
    let canary = [map(name, "canary", &[])];
    let file = documents(&[&before[..], &canary].concat());
    let commit = scenario.commit(&[("all.yaml", file)]).unwrap();
    scenario.good_at(&commit).await.unwrap();

    let after = with(&[]);
    let file = documents(&[&after[..], &canary].concat());
    let commit = scenario.commit(&[("all.yaml", file)]).unwrap();
    scenario.good_at(&commit).await.unwrap();
    for one in &after {
        let live = scenario.live(one).await.unwrap().unwrap();
        let tool = &one["metadata"]["name"];
        assert_eq!(live["data"], json!({ "key": "1", "theirs": "1" }), "{tool}");
    }
    let app = scenario.wait_app(name, |app| app.drift.open == 0).await.unwrap();
    assert_eq!(app.drift.healed, 1);
}

#[tokio::test]
async fn what_a_person_takes_over_is_as_git_says_as_a_whole() {
    let name = "shared-takeover";
    let before = map(name, "settings", &[("other", "1")]);
    let files = [("all.yaml", documents(&[before.clone()]))];
    let Some(mut scenario) = Scenario::prepare(name, &files, |options| options).await.unwrap()
    else {
        return;
    };
    scenario.api.apply(&namespace(name), MEDDLER).await.unwrap();
    create(&scenario, &map(name, "settings", &[("other", "1"), ("theirs", "1")]), "rancher").await;
    scenario.agent.start_again().unwrap();
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    assert_eq!(text(&scenario.live(&before).await.unwrap().unwrap(), "/data/theirs"), "1");
    let refused = scenario.tell(&["takeover", "--from", "helm"]).await.unwrap_err().to_string();
    assert!(refused.contains("rancher"), "the managers are named: {refused}");
    let told = scenario.tell(&["takeover", name, "--from", "rancher"]).await.unwrap();
    assert!(told.contains("1 objects: ConfigMap shared-takeover/settings"), "{told}");
    scenario
        .wait_live(&before, |live| {
            live["data"].get("theirs").is_none() && text(live, "/data/key") == "1"
        })
        .await
        .unwrap();
}
