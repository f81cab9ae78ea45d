//! What runs once to its end: done for its content, whoever removes it then.

use leeward_core::model::HealthName;
use leeward_tests::{
    controlplane::{ControlPlane, ControlPlaneOptions},
    scenario::{
        SOON, Scenario, is_good_at,
        objects::{config_map, documents, is_condition, namespace, pod, text, uid},
    },
};
use serde_json::{Value, json};

fn job(namespace: &str, name: &str, image: &str, ttl: Option<u64>) -> Value {
    let mut template = pod(name, image);
    template["spec"]["restartPolicy"] = json!("Never");
    let mut spec = json!({ "backoffLimit": 0, "template": template });
    if let Some(ttl) = ttl {
        spec["ttlSecondsAfterFinished"] = json!(ttl);
    }
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": { "name": name, "namespace": namespace }, "spec": spec,
    })
}

fn bare_pod(namespace: &str, name: &str, image: &str) -> Value {
    let mut spec = pod(name, image)["spec"].clone();
    spec["restartPolicy"] = json!("Never");
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": namespace }, "spec": spec,
    })
}

/// Has another object healed, and a commit of it applied: whatever else the agent
/// knew of drift before, it has dealt with then.
async fn heal_and_change(scenario: &mut Scenario, map: &Value, others: &[Value], value: &str) {
    for round in 0..3 {
        let edit = json!({ "data": { "key": format!("edited-{round}") } });
        scenario.meddle(map, &edit).await.unwrap();
        let wanted = text(map, "/data/key");
        scenario.wait_live(map, |live| text(live, "/data/key") == wanted).await.unwrap();
    }
    let mut changed = map.clone();
    changed["data"]["key"] = json!(value);
    let file = documents(&[&[changed][..], others].concat());
    let commit = scenario.commit(&[("all.yaml", file)]).unwrap();
    scenario.good_at(&commit).await.unwrap();
}

async fn all_are_gone(scenario: &Scenario, manifests: &[Value]) {
    for manifest in manifests {
        let live = scenario.live(manifest).await.unwrap();
        assert!(live.is_none(), "{} runs again", manifest["metadata"]["name"]);
    }
}

#[tokio::test]
async fn job_that_its_ttl_removes_has_run_for_its_content() {
    let name = "ended-ttl";
    let map = config_map(name, "map", "1");
    let jobs = [job(name, "at-once", "app:1", Some(0)), job(name, "in-a-second", "app:1", Some(1))];
    let files = [("all.yaml", documents(&[&[map.clone()][..], &jobs].concat()))];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    for job in &jobs {
        scenario.wait_gone(job).await.unwrap();
    }
    heal_and_change(&mut scenario, &map, &jobs, "2").await;
    all_are_gone(&scenario, &jobs).await;
    // Nor after a restart, whose lists show that they are not there.
    scenario.agent.kill();
    scenario.agent.start_again().unwrap();
    let changed = config_map(name, "map", "2");
    heal_and_change(&mut scenario, &changed, &jobs, "3").await;
    all_are_gone(&scenario, &jobs).await;
    let app = scenario
        .wait_app(name, |app| app.health == HealthName::Healthy && app.drift.open == 0)
        .await
        .unwrap();
    assert_eq!(app.drift.healed, 6, "only the edits were healed");
    let (diff, code) = scenario.ask(&["diff"]).await.unwrap();
    assert_eq!(code, 0, "{diff:#}");
    // Another content runs.
    let again = job(name, "in-a-second", "app:2", None);
    let file = documents(&[config_map(name, "map", "3"), jobs[0].clone(), again.clone()]);
    let commit = scenario.commit(&[("all.yaml", file)]).unwrap();
    scenario.good_at(&commit).await.unwrap();
    scenario.wait_live(&again, |live| is_condition(live, "Complete")).await.unwrap();
    all_are_gone(&scenario, &jobs[..1]).await;
}

#[tokio::test]
async fn what_somebody_deletes_once_it_has_ended_does_not_run_again() {
    let name = "ended-deleted";
    let map = config_map(name, "map", "1");
    let all = [job(name, "migrate", "app:1", None), bare_pod(name, "once", "app:1")];
    let files = [("all.yaml", documents(&[&[map.clone()][..], &all].concat()))];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    for one in &all {
        scenario.remove(one).await.unwrap();
        scenario.wait_gone(one).await.unwrap();
    }
    heal_and_change(&mut scenario, &map, &all, "2").await;
    all_are_gone(&scenario, &all).await;
    let app = scenario.wait_app(name, |app| app.health == HealthName::Healthy).await.unwrap();
    assert_eq!(app.drift.healed, 3, "only the edits were healed");
}

#[tokio::test]
async fn job_that_was_deleted_before_its_end_runs_again() {
    let name = "ended-early";
    let all = [
        job(name, "long", "slow600:1", None),
        // Its time after the end never began.
        job(name, "long-with-ttl", "slow600:1", Some(0)),
    ];
    let files = [("all.yaml", documents(&all))];
    let options = |options: leeward_tests::agent::AgentOptions| options.set("apply.timeout", "10m");
    let Some(mut scenario) = Scenario::start(name, &files, options).await.unwrap() else { return };
    for one in &all {
        let live = scenario.wait_live(one, |live| live["status"]["active"] == 1).await.unwrap();
        let before = uid(&live);
        scenario.wait_app(name, |app| app.objects == 2).await.unwrap();
        scenario.remove(one).await.unwrap();
        scenario.wait_live(one, |live| uid(live) != before).await.unwrap();
    }
}

#[tokio::test]
async fn failed_job_that_its_ttl_removed_still_fails_its_revision() {
    let name = "ended-failed";
    let map = config_map(name, "map", "1");
    let files = [("all.yaml", documents(std::slice::from_ref(&map)))];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let good = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&good).await.unwrap();
    let job = job(name, "fails", "failjob:1", Some(0));
    let file = documents(&[config_map(name, "map", "2"), job.clone()]);
    scenario.commit(&[("all.yaml", file)]).unwrap();
    let app =
        scenario.wait_app(name, |app| app.bad.len() == 1 && is_good_at(app, &good)).await.unwrap();
    assert!(format!("{:?}", app.bad).contains("fails"), "{:?}", app.bad);
    scenario.wait_live(&map, |live| text(live, "/data/key") == "1").await.unwrap();
}

#[tokio::test]
async fn job_runs_again_where_its_namespace_or_its_cluster_is_made_anew() {
    let name = "ended-anew";
    let started = ControlPlane::start_own(ControlPlaneOptions::default(), name).await.unwrap();
    let Some(mut plane) = started else { return };
    let (own, foreign) = (
        job("ended-anew-inside", "own", "app:1", None),
        job("default", "foreign", "app:1", Some(0)),
    );
    let space = namespace("ended-anew-inside");
    let files = [("all.yaml", documents(&[space.clone(), own.clone(), foreign.clone()]))];
    let mut scenario = Scenario::prepare_on(&plane, name, &files, |options| options).await.unwrap();
    scenario.agent.start_again().unwrap();
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    scenario.wait_gone(&foreign).await.unwrap();

    let complete = |live: &Value| is_condition(live, "Complete");
    let before = uid(&scenario.wait_live(&own, complete).await.unwrap());
    scenario.remove(&space).await.unwrap();
    scenario.wait_live(&own, |live| uid(live) != before && complete(live)).await.unwrap();
    let foreign_pods = "/api/v1/namespaces/default/events?fieldSelector=reason%3DCompleted";
    let runs = scenario.api.list(foreign_pods).await.unwrap().len();
    assert_eq!(runs, 1, "what is elsewhere ran again");

    scenario.agent.kill();
    plane.wipe().await.unwrap();
    scenario.api = plane.api().await.unwrap();
    scenario.agent.start_again().unwrap();
    scenario.wait_live(&own, complete).await.unwrap();
    let ran = |list: Option<&Value>| {
        list.is_some_and(|list| list["items"].as_array().is_some_and(|events| !events.is_empty()))
    };
    scenario.api.wait_until(foreign_pods, SOON, ran).await.unwrap();
}
