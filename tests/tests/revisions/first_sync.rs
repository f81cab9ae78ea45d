//! The first sync of a folder with everything in it.

use jiff::Timestamp;
use leeward_core::model::HealthName;
use leeward_tests::scenario::{
    Scenario,
    objects::{
        annotated, config_map, custom, definition, deployment, documents, is_rolled_out, namespace,
        pod, selector, service, text, written_at,
    },
};
use serde_json::{Value, json};

const WAVE: &str = "leeward.dev/wave";

fn stateful_set(namespace: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": { "name": "db", "namespace": namespace },
        "spec": {
            "replicas": 2, "serviceName": "db",
            "selector": selector("db"), "template": pod("db", "db:1"),
        },
    })
}

fn daemon_set(namespace: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": { "name": "logs", "namespace": namespace },
        "spec": { "selector": selector("logs"), "template": pod("logs", "logs:1") },
    })
}

fn job(namespace: &str) -> Value {
    let mut template = pod("migrate", "migrate:1");
    template["spec"]["restartPolicy"] = json!("Never");
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": { "name": "migrate", "namespace": namespace },
        "spec": { "backoffLimit": 0, "template": template },
    })
}

fn storage_class(scenario: &str) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": { "name": format!("{scenario}-local") },
        "provisioner": "example.com/none", "volumeBindingMode": "WaitForFirstConsumer",
    })
}

fn claim(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": { "name": "data", "namespace": namespace },
        "spec": {
            "storageClassName": format!("{namespace}-local"), "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": "1Gi" } },
        },
    })
}

fn ingress(namespace: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": { "name": "web", "namespace": namespace },
        "spec": { "rules": [{ "host": "shop.example.com", "http": { "paths": [{
            "path": "/", "pathType": "Prefix",
            "backend": { "service": { "name": "web", "port": { "number": 80 } } },
        }]}}]},
    })
}

fn autoscaler(namespace: &str) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": "web", "namespace": namespace },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
            "minReplicas": 1, "maxReplicas": 3,
            "metrics": [{ "type": "Resource", "resource": {
                "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 },
            }}],
        },
    })
}

fn disruption_budget(namespace: &str) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": { "name": "db", "namespace": namespace },
        "spec": { "maxUnavailable": 1, "selector": selector("db") },
    })
}

fn seconds_of(object: &Value, pointer: &str) -> i64 {
    text(object, pointer).parse::<Timestamp>().unwrap().as_second()
}

#[tokio::test]
async fn folder_with_every_kind_becomes_good_in_the_order_of_its_waves() {
    let name = "first-sync";
    let group = "first-sync.example.com";
    let early = annotated(config_map(name, "early", "1"), WAVE, "-1");
    let slow = deployment(name, "web", "slow3:1");
    let late = annotated(config_map(name, "late", "1"), WAVE, "1");
    let widget = custom(group, "Widget", name, "one");
    // File names are in the wrong order on purpose.
    let files = [
        ("a.yaml", documents(&[late.clone(), widget.clone()])),
        ("b.yaml", documents(&[ingress(name), autoscaler(name), disruption_budget(name)])),
        ("c.yaml", documents(&[claim(name), storage_class(name), job(name), daemon_set(name)])),
        (
            "d/e.yaml",
            documents(&[stateful_set(name), slow.clone(), service(name, "web", 80), early.clone()]),
        ),
        ("f.yaml", documents(&[definition(group, "Widget"), namespace(name)])),
    ];
    let Some(mut scenario) = Scenario::prepare(name, &files, |options| options).await.unwrap()
    else {
        return;
    };
    scenario.agent.start_again().unwrap();
    let commit = scenario.repository.head().unwrap().unwrap();
    let status = scenario.good_at(&commit).await.unwrap();
    let [app] = &status.apps[..] else { panic!("{} apps", status.apps.len()) };
    assert_eq!((app.name.as_str(), app.objects, app.health), (name, 15, HealthName::Healthy));

    let early = scenario.live(&early).await.unwrap().unwrap();
    let slow = scenario.live(&slow).await.unwrap().unwrap();
    let late = scenario.live(&late).await.unwrap().unwrap();
    assert!(is_rolled_out(&slow));
    assert!(written_at(&early) < written_at(&slow));
    // Its pod takes three seconds to be ready, and the next wave waits for that.
    let created = |object| seconds_of(object, "/metadata/creationTimestamp");
    assert!(created(&late) >= created(&slow) + 3, "{slow}\n{late}");
    assert_eq!(text(&late, "/metadata/labels/leeward.dev~1app"), name);
    assert_eq!(text(&late, "/metadata/annotations/leeward.dev~1revision"), commit);
    assert!(scenario.live(&widget).await.unwrap().is_some());
}

#[tokio::test]
async fn restart_on_an_unchanged_cluster_writes_nothing() {
    let name = "first-restart";
    let manifests = [config_map(name, "one", "1"), deployment(name, "web", "app:1")];
    let files = [("all.yaml", documents(&manifests))];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    let config = &manifests[..1];
    let before = scenario.versions(config).await.unwrap();
    let generation = scenario.live(&manifests[1]).await.unwrap().unwrap()["metadata"].clone();
    scenario.agent.kill();
    scenario.agent.start_again().unwrap();
    let boot = |status: &leeward_core::model::StatusDocument| status.agent.boot == 2;
    scenario.wait(boot).await.unwrap();
    // It has gone round with the newest commit when it says so.
    let commit = scenario.foreign_commit("after the restart").unwrap();
    scenario.good_at(&commit).await.unwrap();
    assert_eq!(scenario.versions(config).await.unwrap(), before);
    let after = scenario.live(&manifests[1]).await.unwrap().unwrap()["metadata"].clone();
    assert_eq!(
        (&after["generation"], &after["annotations"]),
        (&generation["generation"], &generation["annotations"])
    );
}
