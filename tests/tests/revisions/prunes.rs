//! When what Git does not declare any more goes: after its successor has proven
//! itself, and in an order in which whoever cleans up is still there.

use leeward_core::model::{AppStatus, PhaseName};
use leeward_tests::scenario::{
    Scenario, is_good_at,
    objects::{
        annotated, apps, config_map, custom, definition, deployment, documents, is_rolled_out, uid,
    },
};
use serde_json::{Value, json};

async fn started(name: &str, objects: &[Value]) -> Option<Scenario> {
    let files = [("all.yaml", documents(objects))];
    Scenario::started(name, &files, |options| options).await.unwrap()
}

/// Whether an object is there and not on its way out.
async fn is_there(scenario: &Scenario, manifest: &Value) -> bool {
    let live = scenario.live(manifest).await.unwrap();
    live.is_some_and(|live| live["metadata"].get("deletionTimestamp").is_none())
}

#[tokio::test]
async fn renamed_workload_runs_until_its_successor_is_good() {
    let name = "prunes-rename";
    let keep = config_map(name, "keep", "1");
    let (old, new) = (deployment(name, "old", "app:1"), deployment(name, "new", "slow4:1"));
    let Some(mut scenario) = started(name, &[keep.clone(), old.clone()]).await else { return };
    let before = uid(&scenario.live(&old).await.unwrap().unwrap());
    let commit = scenario.commit(&[("all.yaml", documents(&[keep.clone(), new.clone()]))]).unwrap();
    scenario.wait_live(&new, is_rolled_out).await.unwrap();
    let live = scenario.live(&old).await.unwrap().unwrap();
    assert!(is_rolled_out(&live) && uid(&live) == before, "nothing of it ran meanwhile");
    scenario.good_at(&commit).await.unwrap();
    scenario.wait_gone(&old).await.unwrap();

    // One that fails costs nothing of what runs.
    let crash = deployment(name, "newer", "crash:1");
    let bad = scenario.commit(&[("all.yaml", documents(&[keep, crash.clone()]))]).unwrap();
    let before = uid(&scenario.live(&new).await.unwrap().unwrap());
    scenario
        .wait_app(name, |app| {
            app.phase == PhaseName::Good && app.bad.iter().any(|one| one.commit.to_string() == bad)
        })
        .await
        .unwrap();
    scenario.wait_gone(&crash).await.unwrap();
    let live = scenario.live(&new).await.unwrap().unwrap();
    assert!(is_rolled_out(&live) && uid(&live) == before);
}

#[tokio::test]
async fn workload_for_which_there_is_no_room_gets_that_of_its_predecessor() {
    let name = "prunes-room";
    let with_port = |one: &str| {
        let mut made = deployment(name, one, "app:1");
        made["spec"]["template"]["spec"]["containers"][0]["ports"] =
            json!([{ "containerPort": 18080, "hostPort": 18080 }]);
        made
    };
    let keep = config_map(name, "keep", "1");
    let (old, new) = (with_port("old"), with_port("new"));
    let Some(mut scenario) = started(name, &[keep.clone(), old.clone()]).await else { return };
    let commit = scenario.commit(&[("all.yaml", documents(&[keep, new]))]).unwrap();
    let status = scenario.good_at(&commit).await.unwrap();
    assert_eq!(status.apps[0].bad, []);
    scenario.wait_gone(&old).await.unwrap();
}

#[tokio::test]
async fn what_blocks_its_successor_can_be_told_to_go_first() {
    let name = "prunes-first";
    let app = "prunes-first-app";
    let keep = config_map(name, "keep", "1");
    let (old, new) = (config_map(name, "old", "1"), deployment(name, "web", "slow4:1"));
    let files = [
        ("leeward.yaml", apps(&[(app, "  prune: { first: true }\n")])),
        ("prunes-first-app/all.yaml", documents(&[keep.clone(), old.clone()])),
    ];
    let Some(mut scenario) = Scenario::started(name, &files, |options| options).await.unwrap()
    else {
        return;
    };
    let next = [("prunes-first-app/all.yaml", documents(&[keep, new.clone()]))];
    let commit = scenario.commit(&next).unwrap();
    scenario.wait_gone(&old).await.unwrap();
    assert!(!is_rolled_out(&scenario.live(&new).await.unwrap().unwrap()));
    scenario.good_at(&commit).await.unwrap();
}

#[tokio::test]
async fn node_port_of_a_service_that_goes_is_free_for_the_one_that_comes() {
    let name = "prunes-port";
    let service = |one: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": one, "namespace": name },
            "spec": { "type": "NodePort", "ports": [{ "port": 80, "nodePort": 31877 }] },
        })
    };
    let keep = config_map(name, "keep", "1");
    let Some(mut scenario) = started(name, &[keep.clone(), service("old")]).await else { return };
    let commit = scenario.commit(&[("all.yaml", documents(&[keep, service("new")]))]).unwrap();
    let status = scenario.good_at(&commit).await.unwrap();
    assert_eq!(status.apps[0].bad, []);
    scenario.wait_gone(&service("old")).await.unwrap();
}

#[tokio::test]
async fn operator_outlives_the_resources_that_it_cleans_up() {
    let name = "prunes-operator";
    let group = "prunes-operator.example.com";
    let crd = annotated(definition(group, "Gadget"), "leeward.dev/prune", "confirmed");
    let mut gadget = custom(group, "Gadget", name, "one");
    gadget["metadata"]["finalizers"] = json!([format!("{group}/cleanup")]);
    let operator = deployment(name, "operator", "app:1");
    let keep = (0..10).map(|one| config_map(name, &format!("keep-{one}"), "1"));
    let keep: Vec<Value> = keep.collect();
    let all = [&keep[..], &[crd.clone(), gadget.clone(), operator.clone()]].concat();
    let Some(mut scenario) = started(name, &all).await else { return };
    let commit = scenario.commit(&[("all.yaml", documents(&keep))]).unwrap();
    scenario
        .wait_live(&gadget, |live| live["metadata"].get("deletionTimestamp").is_some())
        .await
        .unwrap();
    // The operator cleans up; it would be named as what is waited for until then.
    let status = scenario
        .wait(|status| status.apps[0].message.contains("waits for the deletion of Gadget"))
        .await
        .unwrap();
    assert!(!is_good_at(&status.apps[0], &commit));
    assert!(is_there(&scenario, &operator).await && is_there(&scenario, &crd).await);
    scenario.meddle(&gadget, &json!({ "metadata": { "finalizers": null } })).await.unwrap();
    scenario.good_at(&commit).await.unwrap();
    for gone in [&gadget, &operator, &crd] {
        scenario.wait_gone(gone).await.unwrap();
    }
}

#[tokio::test]
async fn app_goes_after_the_one_that_depends_on_it() {
    let (name, operating, using) = ("prunes-depends", "prunes-operating", "prunes-using");
    let group = "prunes-depends.example.com";
    let crd = annotated(definition(group, "Gadget"), "leeward.dev/prune", "confirmed");
    let operator = deployment(name, "operator", "app:1");
    let mut gadget = custom(group, "Gadget", name, "one");
    gadget["metadata"]["finalizers"] = json!([format!("{group}/cleanup")]);
    let keep = documents(&[config_map(name, "keep", "1")]);
    let depends = format!("  dependsOn: [{operating}]\n");
    let files = [
        ("leeward.yaml", apps(&[(name, ""), (operating, ""), (using, &depends)])),
        ("prunes-depends/all.yaml", keep),
        ("prunes-operating/all.yaml", documents(&[crd.clone(), operator.clone()])),
        ("prunes-using/all.yaml", documents(&[gadget.clone()])),
    ];
    let Some(mut scenario) = Scenario::started(name, &files, |options| options).await.unwrap()
    else {
        return;
    };
    scenario.commit(&[("leeward.yaml", apps(&[(name, "")]))]).unwrap();
    let is_asked = |app: &AppStatus| {
        let held = app.held.as_ref();
        held.is_some_and(|held| held.reason == "prune_guard")
    };
    scenario.wait_app(using, is_asked).await.unwrap();
    scenario.tell(&["approve", using, "--yes"]).await.unwrap();
    scenario
        .wait_live(&gadget, |live| live["metadata"].get("deletionTimestamp").is_some())
        .await
        .unwrap();
    let said = format!("waits until app {using} is gone, which depends on it");
    scenario
        .wait_app(operating, |app| app.held.as_ref().is_some_and(|held| held.detail == said))
        .await
        .unwrap();
    assert!(is_there(&scenario, &operator).await && is_there(&scenario, &crd).await);
    // The operator has cleaned up.
    scenario.meddle(&gadget, &json!({ "metadata": { "finalizers": null } })).await.unwrap();
    scenario.wait_app(operating, is_asked).await.unwrap();
    scenario.tell(&["approve", operating, "--yes"]).await.unwrap();
    for gone in [&gadget, &operator, &crd] {
        scenario.wait_gone(gone).await.unwrap();
    }
    scenario.wait(|status| status.apps.len() == 1).await.unwrap();
}

#[tokio::test]
async fn settings_stay_as_long_as_pods_mount_them() {
    let name = "prunes-generated";
    let with = |settings: &str| {
        let mut made = deployment(name, "web", "slow4:1");
        made["spec"]["template"]["spec"]["volumes"] =
            json!([{ "name": "settings", "configMap": { "name": settings } }]);
        made
    };
    let (one, two) = (config_map(name, "settings-1", "1"), config_map(name, "settings-2", "2"));
    let Some(mut scenario) = started(name, &[one.clone(), with("settings-1")]).await else {
        return;
    };
    let next = documents(&[two.clone(), with("settings-2")]);
    let commit = scenario.commit(&[("all.yaml", next)]).unwrap();
    scenario
        .wait_live(&with("settings-2"), |live| live["metadata"]["generation"] == 2)
        .await
        .unwrap();
    assert!(is_there(&scenario, &one).await);
    let status = scenario.good_at(&commit).await.unwrap();
    assert_eq!(status.apps[0].objects, 2);
    scenario.wait_gone(&one).await.unwrap();
}
