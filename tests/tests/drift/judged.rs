//! What somebody stopped on purpose is no trouble, and what the server spells otherwise
//! is no difference.

use leeward_core::model::HealthName;
use leeward_tests::scenario::{
    Scenario,
    objects::{GOOD_IMAGE, deployment, documents, pod},
};
use serde_json::{Value, json};

fn job_spec(name: &str) -> Value {
    let mut template = pod(name, GOOD_IMAGE);
    template["spec"]["restartPolicy"] = json!("Never");
    json!({ "template": template })
}

#[tokio::test]
async fn what_is_suspended_is_well_and_shown_so() {
    let name = "judged-suspended";
    let mut paused = deployment(name, "paused", GOOD_IMAGE);
    paused["spec"]["paused"] = json!(true);
    let mut job = job_spec("later");
    job["suspend"] = json!(true);
    let all = [
        paused,
        json!({
            "apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": { "name": "nightly", "namespace": name },
            "spec": { "schedule": "0 3 * * *", "suspend": true,
                "jobTemplate": { "spec": job_spec("nightly") } },
        }),
        json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": { "name": "later", "namespace": name }, "spec": job,
        }),
    ];
    let files = [("all.yaml", documents(&all))];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    scenario.wait_app(name, |app| app.health == HealthName::Suspended).await.unwrap();
    let said = scenario.tell(&["status", "--exit-code"]).await.unwrap();
    assert!(said.contains("suspended"), "{said}");
    scenario.tell(&["sync", "--wait"]).await.unwrap();
}

#[tokio::test]
async fn what_the_server_spells_otherwise_is_no_difference() {
    let name = "judged-spelling";
    let mut web = deployment(name, "web", GOOD_IMAGE);
    web["spec"]["template"]["spec"]["containers"][0]["resources"] =
        json!({ "limits": { "memory": "1024Mi", "cpu": "1000m" } });
    web["metadata"]["annotations"] = json!({ "deployment.kubernetes.io/revision": "7" });
    web["status"] = json!({ "replicas": 7 });
    let all = [
        web,
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "key", "namespace": name },
            "data": { "wrapped": "YWJjZGVm\nZ2hpamts\n" }, "stringData": { "text": "plain" },
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web", "namespace": name },
            "spec": { "clusterIP": "", "selector": { "app": "web" },
                "ports": [{ "port": 80, "nodePort": 0, "targetPort": "http" }] },
        }),
    ];
    let files = [("all.yaml", documents(&all))];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    let (diff, code) = scenario.ask(&["diff"]).await.unwrap();
    assert_eq!(code, 0, "{diff:#}");
    let app = scenario.wait_app(name, |app| app.drift.open == 0).await.unwrap();
    assert_eq!(app.drift.healed, 0);
}
