//! The control plane that the other tests stand on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::time::Duration;

use leeward_tests::controlplane::{Api, ControlPlane, ControlPlaneOptions};
use serde_json::{Value, json};

const MANAGER: &str = "test";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
/// For anything that takes a moment on an idle machine.
const SOON: Duration = Duration::from_secs(30);

fn deployment(name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "main", "image": image }] },
            },
        },
    })
}

fn job(name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "backoffLimit": 0,
            "template": { "spec": {
                "restartPolicy": "Never",
                "containers": [{ "name": "main", "image": image }],
            }},
        },
    })
}

fn has_condition(object: Option<&Value>, kind: &str) -> bool {
    object.and_then(|object| object["status"]["conditions"].as_array()).is_some_and(|conditions| {
        conditions
            .iter()
            .any(|condition| condition["type"] == kind && condition["status"] == "True")
    })
}

async fn start(test: &str) -> Option<ControlPlane> {
    ControlPlane::start_own(ControlPlaneOptions::default(), test).await.unwrap()
}

/// The reason for which the Pods of an app wait, once one does.
async fn wait_for_waiting_pod(api: &Api, app: &str, reason: &str) {
    let path = format!("/api/v1/namespaces/default/pods?labelSelector=app%3D{app}");
    api.wait_until(&path, SOON, |list| {
        list.and_then(|list| list["items"].as_array()).is_some_and(|pods| {
            pods.iter().any(|pod| {
                pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == reason
            })
        })
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn images_decide_what_becomes_of_their_pods() {
    let test = "images_decide_what_becomes_of_their_pods";
    let Some(plane) = start(test).await else { return };
    let api = plane.api().await.unwrap();
    for (name, image) in [
        ("good", "app:1"),
        ("crashing", "crash:1"),
        ("later", "crash2:1"),
        ("absent", "missing:1"),
        ("slow", "slow2:1"),
    ] {
        api.apply(&deployment(name, image), MANAGER).await.unwrap();
    }
    api.apply(&job("done", "app:1"), MANAGER).await.unwrap();
    api.apply(&job("undone", "failjob:1"), MANAGER).await.unwrap();

    let available = |object: Option<&Value>| has_condition(object, "Available");
    for name in ["good", "later", "slow"] {
        api.wait_until(&format!("{DEPLOYMENTS}/{name}"), SOON, available).await.unwrap();
    }
    wait_for_waiting_pod(&api, "crashing", "CrashLoopBackOff").await;
    wait_for_waiting_pod(&api, "later", "CrashLoopBackOff").await;
    wait_for_waiting_pod(&api, "absent", "ImagePullBackOff").await;
    let jobs = "/apis/batch/v1/namespaces/default/jobs";
    for (name, condition) in [("done", "Complete"), ("undone", "Failed")] {
        api.wait_until(&format!("{jobs}/{name}"), SOON, |job| has_condition(job, condition))
            .await
            .unwrap();
    }
    let crashing = api.get(&format!("{DEPLOYMENTS}/crashing")).await.unwrap();
    assert!(!available(crashing.as_ref()));
}

#[tokio::test]
async fn deleted_deployment_takes_its_pods_with_it() {
    let test = "deleted_deployment_takes_its_pods_with_it";
    let Some(plane) = start(test).await else { return };
    let api = plane.api().await.unwrap();
    api.apply(&deployment("gone", "app:1"), MANAGER).await.unwrap();
    let path = format!("{DEPLOYMENTS}/gone");
    api.wait_until(&path, SOON, |object| has_condition(object, "Available")).await.unwrap();
    api.delete(&path).await.unwrap();
    let pods = "/api/v1/namespaces/default/pods";
    let none = |list: Option<&Value>| list.is_some_and(|list| list["items"] == json!([]));
    assert!(api.wait_until(pods, SOON, none).await.is_ok());
}

#[tokio::test]
async fn stopped_api_server_comes_back_with_its_data_and_a_wiped_one_without() {
    let test = "stopped_api_server_comes_back_with_its_data_and_a_wiped_one_without";
    let Some(mut plane) = start(test).await else { return };
    let api = plane.api().await.unwrap();
    api.apply(&deployment("app", "app:1"), MANAGER).await.unwrap();
    let path = format!("{DEPLOYMENTS}/app");
    let available = |object: Option<&Value>| has_condition(object, "Available");
    api.wait_until(&path, SOON, available).await.unwrap();

    plane.stop_api().unwrap();
    assert!(api.get_text("/readyz").await.is_err());
    plane.start_api().await.unwrap();
    api.apply(&deployment("next", "app:1"), MANAGER).await.unwrap();
    api.wait_until(&format!("{DEPLOYMENTS}/next"), SOON, available).await.unwrap();
    assert!(available(api.get(&path).await.unwrap().as_ref()));

    plane.wipe().await.unwrap();
    assert_eq!(api.list(DEPLOYMENTS).await.unwrap(), Vec::<Value>::new());
}
