//! Fields and objects that are not ours to decide.

use leeward_core::model::PhaseName;
use leeward_tests::scenario::{
    Scenario,
    objects::{
        GOOD_IMAGE, annotated, config_map, deployment, documents, image, is_rolled_out, text,
    },
};
use serde_json::{Value, json};

async fn started(name: &str, files: &[(&str, String)]) -> Option<Scenario> {
    let mut scenario = Scenario::start(name, files, |options| options).await.unwrap()?;
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    Some(scenario)
}

/// Comes back when the agent has seen and healed everything up to now: an edit
/// of a field of its own, which it takes in after all that was before.
async fn caught_up(scenario: &Scenario, canary: &Value) {
    scenario.meddle(canary, &json!({ "data": { "key": "edited" } })).await.unwrap();
    scenario.wait_live(canary, |live| text(live, "/data/key") == "1").await.unwrap();
}

#[tokio::test]
async fn field_that_git_does_not_declare_is_left_alone() {
    let name = "drift-unowned";
    let (map, canary) = (config_map(name, "map", "1"), config_map(name, "canary", "1"));
    let files = [("all.yaml", documents(&[map.clone(), canary.clone()]))];
    let Some(mut scenario) = started(name, &files).await else { return };
    let patch = json!({
        "data": { "theirs": "2" },
        "metadata": { "labels": { "theirs": "2" }, "annotations": { "theirs": "2" } },
    });
    scenario.meddle(&map, &patch).await.unwrap();
    let written = scenario.versions(std::slice::from_ref(&map)).await.unwrap();
    caught_up(&scenario, &canary).await;
    assert_eq!(scenario.versions(std::slice::from_ref(&map)).await.unwrap(), written);
    // It survives the healing of a field of ours, and a commit that changes one.
    scenario.meddle(&map, &json!({ "data": { "key": "edited" } })).await.unwrap();
    scenario.wait_live(&map, |live| text(live, "/data/key") == "1").await.unwrap();
    let file = documents(&[config_map(name, "map", "3"), canary]);
    let commit = scenario.commit(&[("all.yaml", file)]).unwrap();
    scenario.good_at(&commit).await.unwrap();
    let live = scenario.live(&map).await.unwrap().unwrap();
    assert_eq!(live["data"], json!({ "key": "3", "theirs": "2" }));
    assert_eq!(text(&live, "/metadata/labels/theirs"), "2");
}

fn autoscaler(namespace: &str) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": "web", "namespace": namespace },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
            "minReplicas": 1, "maxReplicas": 5,
            "metrics": [{ "type": "Resource", "resource": {
                "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 },
            }}],
        },
    })
}

#[tokio::test]
async fn replicas_that_an_autoscaler_decides_are_not_fought_over() {
    let name = "drift-hpa";
    let (web, canary) = (deployment(name, "web", GOOD_IMAGE), config_map(name, "canary", "1"));
    let files = [("all.yaml", documents(&[web.clone(), autoscaler(name), canary.clone()]))];
    let Some(mut scenario) = started(name, &files).await else { return };
    let replicas = |live: &Value| live["spec"]["replicas"].as_u64();
    let scale = json!({ "spec": { "replicas": 3 } });
    scenario.meddle_below(&web, "scale", &scale, "kube-controller-manager").await.unwrap();
    caught_up(&scenario, &canary).await;
    assert_eq!(replicas(&scenario.live(&web).await.unwrap().unwrap()), Some(3));
    // Nor when another field of the Deployment is healed, or changed in Git.
    let patch = json!([{
        "op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "edited:1",
    }]);
    scenario.patch(&web, &patch).await.unwrap();
    scenario.wait_live(&web, |live| image(live) == GOOD_IMAGE).await.unwrap();
    assert_eq!(replicas(&scenario.live(&web).await.unwrap().unwrap()), Some(3));
    let mut next = deployment(name, "web", "app:2");
    next["spec"]["replicas"] = json!(2);
    let file = documents(&[next, autoscaler(name), canary]);
    let commit = scenario.commit(&[("all.yaml", file)]).unwrap();
    scenario.good_at(&commit).await.unwrap();
    let live = scenario.live(&web).await.unwrap().unwrap();
    assert_eq!((replicas(&live), image(&live).as_str()), (Some(3), "app:2"));
    assert!(is_rolled_out(&live));
}

#[tokio::test]
async fn object_marked_so_is_not_healed_but_follows_git() {
    let name = "drift-mark";
    let mark = |map| annotated(map, "leeward.dev/heal", "disabled");
    let (map, gone) = (mark(config_map(name, "map", "1")), mark(config_map(name, "gone", "1")));
    let canary = config_map(name, "canary", "1");
    let files = [("all.yaml", documents(&[map.clone(), gone.clone(), canary.clone()]))];
    let Some(mut scenario) = started(name, &files).await else { return };
    scenario.meddle(&map, &json!({ "data": { "key": "edited" } })).await.unwrap();
    scenario.remove(&gone).await.unwrap();
    let app = scenario.wait_app(name, |app| app.drift.open == 2).await.unwrap();
    assert_eq!(app.phase, PhaseName::Good);
    caught_up(&scenario, &canary).await;
    assert_eq!(text(&scenario.live(&map).await.unwrap().unwrap(), "/data/key"), "edited");
    assert!(scenario.live(&gone).await.unwrap().is_none());
    let file = documents(&[
        mark(config_map(name, "map", "2")),
        mark(config_map(name, "gone", "2")),
        canary,
    ]);
    let commit = scenario.commit(&[("all.yaml", file)]).unwrap();
    scenario.good_at(&commit).await.unwrap();
    assert_eq!(text(&scenario.live(&map).await.unwrap().unwrap(), "/data/key"), "2");
    assert_eq!(text(&scenario.live(&gone).await.unwrap().unwrap(), "/data/key"), "2");
    scenario.wait_app(name, |app| app.drift.open == 0).await.unwrap();
}

#[tokio::test]
async fn app_that_only_reports_drift_changes_nothing_until_it_may() {
    let name = "drift-report";
    let apps = |heal: &str| {
        format!(
            "apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps:\n- name: {name}\n  path: all\n  \
             heal: {heal}\n"
        )
    };
    let (edited, deleted) = (config_map(name, "edited", "1"), config_map(name, "deleted", "1"));
    let files = [
        ("leeward.yaml", apps("report")),
        ("all/all.yaml", documents(&[edited.clone(), deleted.clone()])),
    ];
    let Some(mut scenario) = started(name, &files).await else { return };
    scenario.meddle(&edited, &json!({ "data": { "key": "2" } })).await.unwrap();
    scenario.remove(&deleted).await.unwrap();
    let app = scenario.wait_app(name, |app| app.drift.open == 2).await.unwrap();
    assert_eq!((app.phase, app.drift.healed), (PhaseName::Good, 0));
    assert_eq!(text(&scenario.live(&edited).await.unwrap().unwrap(), "/data/key"), "2");
    assert!(scenario.live(&deleted).await.unwrap().is_none());
    scenario.commit(&[("leeward.yaml", apps("always"))]).unwrap();
    scenario.wait_live(&edited, |live| text(live, "/data/key") == "1").await.unwrap();
    scenario.wait_live(&deleted, |_| true).await.unwrap();
    scenario.wait_app(name, |app| app.drift.open == 0).await.unwrap();
}
