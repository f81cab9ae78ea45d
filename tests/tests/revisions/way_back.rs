//! The way back when the cluster does not let everything go back.

use std::time::Duration;

use leeward_core::{
    model::{AppStatus, PhaseName},
    report::EventKind,
};
use leeward_tests::{
    scenario::{
        MEDDLER, Scenario, is_good_at,
        objects::{
            GOOD_IMAGE, annotated, config_map, custom, definition, deployment, documents, image,
            is_rolled_out, namespace, policy, text,
        },
    },
    weather::{blocked_by, outbox},
};
use serde_json::{Value, json};

/// A deletion that hangs, and all that comes after it.
const DELETION: Duration = Duration::from_secs(150);

async fn started(name: &str, before: &[Value], manifests: &[Value]) -> Option<Scenario> {
    let files = [("all.yaml", documents(manifests))];
    let options = |options: leeward_tests::agent::AgentOptions| options.set("apply.timeout", "10s");
    let mut scenario = Scenario::prepare(name, &files, options).await.unwrap()?;
    scenario.api.apply(&namespace(name), MEDDLER).await.unwrap();
    for manifest in before {
        scenario.api.apply(manifest, MEDDLER).await.unwrap();
    }
    scenario.agent.start_again().unwrap();
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    Some(scenario)
}

fn is_back_from(app: &AppStatus, bad: &str) -> bool {
    app.phase == PhaseName::Good && app.bad.iter().any(|one| one.commit.to_string() == bad)
}

fn stuck(app: &AppStatus) -> String {
    let lines: Vec<String> = app.stuck.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn value(live: &Value) -> String {
    text(live, "/data/key")
}

/// Whether what the agent looks after is healed, and nothing was left undone.
async fn heals(scenario: &Scenario, map: &Value) {
    scenario.meddle(map, &json!({ "data": { "key": "edited" } })).await.unwrap();
    let wanted = value(map);
    scenario.wait_live(map, |live| value(live) == wanted).await.unwrap();
}

#[tokio::test]
async fn a_stored_version_that_cannot_go_keeps_nothing_else_from_going_back() {
    let (name, group) = ("way-stored", "way.example.com");
    let (map, web) = (config_map(name, "map", "1"), deployment(name, "web", GOOD_IMAGE));
    let one = definition(group, "Till");
    let good = [one.clone(), web.clone(), map.clone(), custom(group, "Till", name, "a")];
    let Some(mut scenario) = started(name, &[], &good).await else { return };
    let mut two = one.clone();
    let mut newer = two["spec"]["versions"][0].clone();
    newer["name"] = json!("v2");
    two["spec"]["versions"][0]["storage"] = json!(false);
    two["spec"]["versions"].as_array_mut().unwrap().push(newer);
    let brought = config_map(name, "brought", "1");
    let next = [
        two,
        deployment(name, "web", "crash:1"),
        config_map(name, "map", "2"),
        brought.clone(),
        custom(group, "Till", name, "a"),
    ];
    let bad = scenario.commit(&[("all.yaml", documents(&next))]).unwrap();
    let app = scenario.wait_app(name, |app| is_back_from(app, &bad)).await.unwrap();
    assert!(stuck(&app).contains("tills.way.example.com"), "{app:#?}");
    assert!(stuck(&app).contains("storedVersions"), "{app:#?}");
    assert_eq!(app.stuck.len(), 1, "{app:#?}");
    assert_eq!(image(&scenario.wait_live(&web, is_rolled_out).await.unwrap()), GOOD_IMAGE);
    scenario.wait_gone(&brought).await.unwrap();
    assert_eq!(value(&scenario.live(&map).await.unwrap().unwrap()), "1");
    blocked_by(&scenario, &["tills.way.example.com", "storedVersions"]).await.unwrap();
    heals(&scenario, &map).await;
    // It is no other revision's trouble.
    let mut fixed = next.to_vec();
    fixed[1] = web;
    let fixed = scenario.commit(&[("all.yaml", documents(&fixed))]).unwrap();
    let app = scenario.wait_app(name, |app| is_good_at(app, &fixed)).await.unwrap();
    assert_eq!(stuck(&app), "");
}

#[tokio::test]
async fn a_volume_that_grew_stays_grown_and_the_rest_goes_back() {
    let name = "way-volume";
    let class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": { "name": name }, "provisioner": "example.com/none",
        "allowVolumeExpansion": true,
    });
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": name },
        "spec": {
            "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"],
            "storageClassName": name, "hostPath": { "path": "/tmp/none" },
        },
    });
    let claim = |size: &str| {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": { "name": "disk", "namespace": name },
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": name,
                "resources": { "requests": { "storage": size } },
            },
        })
    };
    let (map, web) = (config_map(name, "map", "1"), deployment(name, "web", GOOD_IMAGE));
    let good = [claim("1Gi"), web.clone(), map.clone()];
    let Some(mut scenario) = started(name, &[class, volume], &good).await else { return };
    let brought = config_map(name, "brought", "1");
    let next = [claim("2Gi"), deployment(name, "web", "crash:1"), map.clone(), brought.clone()];
    let bad = scenario.commit(&[("all.yaml", documents(&next))]).unwrap();
    let app = scenario.wait_app(name, |app| is_back_from(app, &bad)).await.unwrap();
    assert!(stuck(&app).contains("PersistentVolumeClaim way-volume/disk"), "{app:#?}");
    assert_eq!(image(&scenario.wait_live(&web, is_rolled_out).await.unwrap()), GOOD_IMAGE);
    scenario.wait_gone(&brought).await.unwrap();
    heals(&scenario, &map).await;
    let (history, _) = scenario.ask(&["history"]).await.unwrap();
    let told = history.as_array().unwrap().iter().find(|one| one["verdict"] == "rolled_back");
    assert!(told.unwrap()["reason"].as_str().unwrap().contains("could not go back"), "{history}");
}

#[tokio::test]
async fn a_policy_that_came_with_the_bad_revision_goes_first() {
    let name = "way-policy";
    let web = deployment(name, "web", GOOD_IMAGE);
    let Some(mut scenario) = started(name, &[], std::slice::from_ref(&web)).await else { return };
    let [policy, binding] =
        policy(name, &["UPDATE"], "deployments", "object.metadata.name == 'free'");
    let next = [deployment(name, "web", "crash:1"), policy.clone(), binding];
    let bad = scenario.commit(&[("all.yaml", documents(&next))]).unwrap();
    scenario.wait_app(name, |app| is_back_from(app, &bad)).await.unwrap();
    assert_eq!(image(&scenario.wait_live(&web, is_rolled_out).await.unwrap()), GOOD_IMAGE);
    scenario.wait_gone(&policy).await.unwrap();
    scenario.wait_app(name, |app| app.stuck.is_empty()).await.unwrap();
}

#[tokio::test]
async fn what_the_bad_revision_replaced_is_replaced_on_the_way_back() {
    let name = "way-replace";
    let fixed = |value: &str| {
        let mut map = config_map(name, "fixed", value);
        map["immutable"] = json!(true);
        map
    };
    let web = deployment(name, "web", GOOD_IMAGE);
    let Some(mut scenario) = started(name, &[], &[fixed("1"), web.clone()]).await else { return };
    let replaced = annotated(fixed("2"), "leeward.dev/replace", "true");
    let next = [replaced, deployment(name, "web", "crash:1")];
    let bad = scenario.commit(&[("all.yaml", documents(&next))]).unwrap();
    let app = scenario.wait_app(name, |app| is_back_from(app, &bad)).await.unwrap();
    assert_eq!(stuck(&app), "");
    assert_eq!(value(&scenario.live(&fixed("1")).await.unwrap().unwrap()), "1");
    assert_eq!(image(&scenario.wait_live(&web, is_rolled_out).await.unwrap()), GOOD_IMAGE);
}

#[tokio::test]
async fn an_object_that_does_not_go_is_named_and_condemns_nothing() {
    let name = "way-finalizer";
    let (map, goes) = (config_map(name, "map", "1"), config_map(name, "goes", "1"));
    let Some(mut scenario) = started(name, &[], &[map.clone(), goes.clone()]).await else { return };
    let hold = json!({ "metadata": { "finalizers": ["example.com/hold"] } });
    scenario.meddle(&goes, &hold).await.unwrap();
    let next = scenario.commit(&[("all.yaml", documents(std::slice::from_ref(&map)))]).unwrap();
    blocked_by(&scenario, &["ConfigMap way-finalizer/goes", "example.com/hold"]).await.unwrap();
    // A deletion has a minute before the apply goes on without it.
    let is_good = |app: &AppStatus| is_good_at(app, &next);
    let status = scenario.agent.wait_status(DELETION, |status| status.apps.iter().any(is_good));
    let app = status.await.unwrap().apps.remove(0);
    assert!(stuck(&app).contains("ConfigMap way-finalizer/goes"), "{app:#?}");
    assert!(stuck(&app).contains("example.com/hold"), "{app:#?}");
    heals(&scenario, &map).await;
    scenario.meddle(&goes, &json!({ "metadata": { "finalizers": null } })).await.unwrap();
    scenario.wait_gone(&goes).await.unwrap();
    scenario.wait_app(name, |app| app.stuck.is_empty() && app.objects == 1).await.unwrap();
}

#[tokio::test]
async fn an_object_that_cannot_be_healed_keeps_no_other_from_it() {
    let name = "way-frozen";
    let (map, web) = (config_map(name, "map", "1"), deployment(name, "web", GOOD_IMAGE));
    let frozen = annotated(config_map(name, "frozen", "1"), "leeward.dev/wave", "-1");
    let good = [map.clone(), web, frozen.clone()];
    let fits = "object.metadata.name != 'frozen' || object.data.key == 'edited'";
    let policy = policy(name, &["UPDATE"], "configmaps", fits);
    let Some(mut scenario) = started(name, &policy, &good).await else { return };
    scenario.meddle(&frozen, &json!({ "data": { "key": "edited" } })).await.unwrap();
    let app = scenario.wait_app(name, |app| !app.stuck.is_empty()).await.unwrap();
    assert!(stuck(&app).contains("refused by policy"), "{app:#?}");
    heals(&scenario, &map).await;
    for manifest in &policy {
        scenario.remove(manifest).await.unwrap();
    }
    scenario.wait_live(&frozen, |live| value(live) == "1").await.unwrap();
    scenario.wait_app(name, |app| app.stuck.is_empty()).await.unwrap();
    scenario.agent.kill();
    let told = outbox(&scenario.agent).unwrap();
    let told = told.iter().filter(|one| one.event.kind == EventKind::AppStuck);
    let told: Vec<_> = told.map(|one| one.event.data["stuck"].as_u64()).collect();
    assert_eq!(told, [Some(1), Some(0)]);
}
