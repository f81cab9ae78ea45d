//! What a dry-run refuses because of the cluster as it was before the same revision.

use leeward_core::model::{AppStatus, PhaseName};
use leeward_tests::scenario::{
    Scenario, is_good_at,
    objects::{config_map, custom, definition, documents, namespace, policy, text},
};
use serde_json::{Value, json};

async fn started(name: &str, manifests: &[Value]) -> Option<Scenario> {
    let files = [("all.yaml", documents(manifests))];
    let mut scenario = Scenario::start(name, &files, |options| options).await.unwrap()?;
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    Some(scenario)
}

fn is_bad_at(app: &AppStatus, commit: &str) -> bool {
    app.phase == PhaseName::Good && app.bad.iter().any(|one| one.commit.to_string() == commit)
}

#[tokio::test]
async fn a_resource_uses_a_field_that_its_definition_gains_in_the_same_commit() {
    let (name, group) = ("judge-schema", "judge.example.com");
    let schema = |fields: &[&str]| {
        let mut crd = definition(group, "Till");
        let strings: serde_json::Map<String, Value> =
            fields.iter().map(|field| ((*field).to_owned(), json!({ "type": "string" }))).collect();
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = json!({
            "type": "object",
            "properties": { "spec": { "type": "object", "properties": strings } },
        });
        crd
    };
    let till = |spec: Value| {
        let mut till = custom(group, "Till", name, "a");
        till["spec"] = spec;
        till
    };
    let good = [namespace(name), schema(&["size"]), till(json!({ "size": "1" }))];
    let Some(mut scenario) = started(name, &good).await else { return };
    let next = [
        namespace(name),
        schema(&["size", "colour"]),
        till(json!({ "size": "1", "colour": "red" })),
    ];
    let next = scenario.commit(&[("all.yaml", documents(&next))]).unwrap();
    let app = scenario.wait_app(name, |app| is_good_at(app, &next)).await.unwrap();
    assert_eq!(app.bad, []);
    let live = scenario.live(&till(json!({}))).await.unwrap().unwrap();
    assert_eq!(text(&live, "/spec/colour"), "red");
    // What no definition has is refused all the same, and nothing of it stays.
    let wrong = [
        namespace(name),
        schema(&["size", "colour", "shape"]),
        till(json!({ "size": "1", "weight": "9" })),
    ];
    let wrong = scenario.commit(&[("all.yaml", documents(&wrong))]).unwrap();
    let app = scenario.wait_app(name, |app| is_bad_at(app, &wrong)).await.unwrap();
    assert!(app.bad[0].reason.contains("weight"), "{app:#?}");
    let live = scenario.live(&till(json!({}))).await.unwrap().unwrap();
    assert_eq!(text(&live, "/spec/colour"), "red");
}

const WRITES: [&str; 2] = ["CREATE", "UPDATE"];
const OLD: &str = "!has(object.data) || !('key' in object.data) || object.data.key == '1'";
const NEW: &str = "!has(object.data) || !('key' in object.data) || object.data.key == '2'";

#[tokio::test]
async fn a_policy_changes_in_the_same_commit_as_what_it_refuses() {
    let name = "judge-policy";
    let [policy_1, binding] = policy(name, &WRITES, "configmaps", OLD);
    let good = [namespace(name), config_map(name, "map", "1"), policy_1, binding.clone()];
    let Some(mut scenario) = started(name, &good).await else { return };
    let [policy_2, _] = policy(name, &WRITES, "configmaps", NEW);
    let map = config_map(name, "map", "2");
    let next = [namespace(name), map.clone(), policy_2, binding];
    let next = scenario.commit(&[("all.yaml", documents(&next))]).unwrap();
    let app = scenario.wait_app(name, |app| is_good_at(app, &next)).await.unwrap();
    assert_eq!(app.bad, []);
    assert_eq!(text(&scenario.live(&map).await.unwrap().unwrap(), "/data/key"), "2");
}

#[tokio::test]
async fn a_commit_takes_away_the_policy_that_refuses_what_it_brings() {
    let name = "judge-away";
    let [policy, binding] = policy(name, &WRITES, "configmaps", OLD);
    let map = config_map(name, "map", "1");
    let good = [namespace(name), map, policy.clone(), binding];
    let Some(mut scenario) = started(name, &good).await else { return };
    let map = config_map(name, "map", "2");
    let next = [namespace(name), map.clone()];
    let next = scenario.commit(&[("all.yaml", documents(&next))]).unwrap();
    let app = scenario.wait_app(name, |app| is_good_at(app, &next)).await.unwrap();
    assert_eq!(app.bad, []);
    assert_eq!(text(&scenario.live(&map).await.unwrap().unwrap(), "/data/key"), "2");
    scenario.wait_gone(&policy).await.unwrap();
}
