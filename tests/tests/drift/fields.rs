//! `ignoreDifferences`: the live value stays, through everything, until the
//! rule goes.

use leeward_tests::scenario::{
    MEDDLER, Scenario,
    objects::{GOOD_IMAGE, config_map, deployment, documents, image, text},
};
use serde_json::{Value, json};

fn apps(name: &str, rules: &str) -> String {
    format!(
        "apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps:\n- name: {name}\n  path: all\n{rules}"
    )
}

const RULES: &str = "  ignoreDifferences:\n  - { group: apps, kind: Deployment, name: web, \
                     jsonPointers: [/spec/replicas] }\n  - { kind: ConfigMap, name: map, \
                     jsonPointers: [/data/key] }\n";

fn web(namespace: &str, image: &str) -> Value {
    deployment(namespace, "web", image)
}

fn two_keys(namespace: &str, other: &str) -> Value {
    let mut map = config_map(namespace, "map", "git");
    map["data"]["other"] = json!(other);
    map
}

fn replicas(live: &Value) -> Option<u64> {
    live["spec"]["replicas"].as_u64()
}

#[tokio::test]
async fn ignored_field_keeps_its_live_value_until_the_rule_goes() {
    let name = "drift-ignore";
    let (web_1, map_1) = (web(name, GOOD_IMAGE), two_keys(name, "1"));
    let files = [
        ("leeward.yaml", apps(name, RULES)),
        ("all/all.yaml", documents(&[web_1.clone(), map_1.clone()])),
    ];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    // Git's value is the first one.
    let live = scenario.live(&map_1).await.unwrap().unwrap();
    assert_eq!(text(&live, "/data/key"), "git");

    scenario.meddle(&web_1, &json!({ "spec": { "replicas": 2 } })).await.unwrap();
    scenario.meddle(&map_1, &json!({ "data": { "key": "live" } })).await.unwrap();
    // Through the healing of another field,
    let patch = json!([{
        "op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "edited:1",
    }]);
    scenario.patch(&web_1, &patch).await.unwrap();
    scenario.meddle(&map_1, &json!({ "data": { "other": "edited" } })).await.unwrap();
    let live = scenario.wait_live(&web_1, |live| image(live) == GOOD_IMAGE).await.unwrap();
    assert_eq!(replicas(&live), Some(2));
    let live = scenario.wait_live(&map_1, |live| text(live, "/data/other") == "1").await.unwrap();
    assert_eq!(text(&live, "/data/key"), "live");
    // through a commit that changes another field,
    let file = documents(&[web(name, "app:2"), two_keys(name, "2")]);
    let commit = scenario.commit(&[("all/all.yaml", file)]).unwrap();
    scenario.good_at(&commit).await.unwrap();
    let live = scenario.live(&web_1).await.unwrap().unwrap();
    assert_eq!((replicas(&live), image(&live).as_str()), (Some(2), "app:2"));
    let live = scenario.live(&map_1).await.unwrap().unwrap();
    assert_eq!(live["data"], json!({ "key": "live", "other": "2" }));
    // through a commit that changes the field itself, and a restart.
    let mut changed = two_keys(name, "2");
    changed["data"]["key"] = json!("newer");
    let file = documents(&[web(name, "app:2"), changed]);
    let commit = scenario.commit(&[("all/all.yaml", file)]).unwrap();
    scenario.good_at(&commit).await.unwrap();
    scenario.agent.kill();
    scenario.agent.start_again().unwrap();
    let commit = scenario.foreign_commit("after the restart").unwrap();
    scenario.good_at(&commit).await.unwrap();
    let live = scenario.live(&map_1).await.unwrap().unwrap();
    assert_eq!(text(&live, "/data/key"), "live");
    assert_eq!(replicas(&scenario.live(&web_1).await.unwrap().unwrap()), Some(2));
    // Without the rule Git decides again,
    let commit = scenario.commit(&[("leeward.yaml", apps(name, ""))]).unwrap();
    scenario.good_at(&commit).await.unwrap();
    let live = scenario.live(&map_1).await.unwrap().unwrap();
    assert_eq!(text(&live, "/data/key"), "newer");
    assert_eq!(replicas(&scenario.live(&web_1).await.unwrap().unwrap()), Some(1));
    // and heals again.
    scenario.meddle(&map_1, &json!({ "data": { "key": "edited" } })).await.unwrap();
    scenario.wait_live(&map_1, |live| text(live, "/data/key") == "newer").await.unwrap();
}

#[tokio::test]
async fn rule_that_arrives_later_hands_the_field_over_as_it_is() {
    let name = "drift-handover";
    let map = two_keys(name, "1");
    let files = [("leeward.yaml", apps(name, "")), ("all/all.yaml", documents(&[map.clone()]))];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    let commit = scenario.commit(&[("leeward.yaml", apps(name, RULES))]).unwrap();
    scenario.good_at(&commit).await.unwrap();
    // Nobody else owns it yet, so that a field which we just let go would vanish.
    let live = scenario.live(&map).await.unwrap().unwrap();
    assert_eq!(live["data"], json!({ "key": "git", "other": "1" }));
    // From now on it is another's to decide, without force.
    let path = scenario.api.path_of(&map).await.unwrap();
    scenario.api.merge(&path, &json!({ "data": { "key": "live" } }), MEDDLER).await.unwrap();
    let file = documents(&[two_keys(name, "2")]);
    let commit = scenario.commit(&[("all/all.yaml", file)]).unwrap();
    scenario.good_at(&commit).await.unwrap();
    let live = scenario.live(&map).await.unwrap().unwrap();
    assert_eq!(live["data"], json!({ "key": "live", "other": "2" }));
}

#[tokio::test]
async fn key_that_was_handed_over_goes_when_git_removes_it() {
    let name = "drift-release";
    let map = two_keys(name, "1");
    let without = |other: &str| {
        let mut map = two_keys(name, other);
        map["data"] = json!({ "other": other });
        documents(&[map])
    };
    let git = json!({ "key": "git", "other": "1" });
    for rule_goes_first in [false, true] {
        let files = [
            ("leeward.yaml", apps(name, "")),
            ("all/all.yaml", documents(std::slice::from_ref(&map))),
        ];
        let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap()
        else {
            return;
        };
        let commit = scenario.repository.head().unwrap().unwrap();
        scenario.good_at(&commit).await.unwrap();
        let commit = scenario.commit(&[("leeward.yaml", apps(name, RULES))]).unwrap();
        scenario.good_at(&commit).await.unwrap();
        assert_eq!(scenario.live(&map).await.unwrap().unwrap()["data"], git);
        if rule_goes_first {
            let commit = scenario.commit(&[("leeward.yaml", apps(name, ""))]).unwrap();
            scenario.good_at(&commit).await.unwrap();
            assert_eq!(scenario.live(&map).await.unwrap().unwrap()["data"], git);
        }
        let commit = scenario.commit(&[("all/all.yaml", without("2"))]).unwrap();
        scenario.good_at(&commit).await.unwrap();
        let live = scenario.live(&map).await.unwrap().unwrap();
        assert_eq!(live["data"], json!({ "other": "2" }), "rule goes first: {rule_goes_first}");
        drop(scenario.agent);
        scenario.api.delete(&scenario.api.path_of(&map).await.unwrap()).await.unwrap();
    }
}
