//! The DaemonSet's manifests against a real API server, and its role: all that
//! the agent needs, and nothing that it never uses.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use hyper::Method;
use leeward_core::model::PhaseName;
use leeward_tests::{
    controlplane::{ControlPlane, ControlPlaneOptions},
    installed::{NAMESPACE, overlay, rendered, service_account},
    leash::ScratchDir,
    scenario::{
        MEDDLER, Scenario,
        objects::{GOOD_IMAGE, config_map, deployment, documents, namespace, service, text},
    },
};
use serde_json::{Value, json};

const NAME: &str = "daemonset-role";

/// Two Pods of a node would want the same store at the same time.
#[tokio::test]
async fn upgrade_ends_the_old_pod_before_it_starts_the_next() {
    for folder in ["", "cluster-admin"] {
        let objects = rendered(&overlay(folder)).await.unwrap();
        let daemon = objects.iter().find(|one| one["kind"] == "DaemonSet").unwrap();
        let strategy = &daemon["spec"]["updateStrategy"];
        assert_eq!(strategy["type"], "RollingUpdate", "{folder}");
        assert_eq!(strategy["rollingUpdate"]["maxSurge"], 0, "{folder}");
        let store = daemon["spec"]["template"]["spec"]["volumes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|volume| volume["name"] == "store")
            .unwrap();
        assert_eq!(store["hostPath"]["path"], "/var/lib/leeward", "{folder}");
    }
}

#[tokio::test]
async fn kustomizations_pass_a_server_side_dry_run() {
    let options = ControlPlaneOptions::default();
    let Some(plane) = ControlPlane::start_own(options, "daemonset-dry-run").await.unwrap() else {
        return;
    };
    let api = plane.api().await.unwrap();
    for folder in ["", "cluster-admin"] {
        for object in rendered(&overlay(folder)).await.unwrap() {
            if object["kind"] == "Namespace" {
                api.apply(&object, MEDDLER).await.unwrap();
                continue;
            }
            let path = api.path_of(&object).await.unwrap();
            let path = format!("{path}?fieldManager={MEDDLER}&dryRun=All&fieldValidation=Strict");
            let body = object.to_string().into_bytes();
            api.request(Method::PATCH, &path, "application/apply-patch+yaml", body).await.unwrap();
        }
    }
}

fn object(version: &str, kind: &str, mut fields: Value) -> Value {
    fields["apiVersion"] = json!(version);
    fields["kind"] = json!(kind);
    fields["metadata"] = json!({ "name": NAME, "namespace": NAME });
    fields
}

/// One object of every kind that the role names, each of which runs well.
fn all_kinds() -> Vec<Value> {
    let labels = json!({ "app": "other" });
    let selector = json!({ "matchLabels": labels });
    let template = json!({
        "metadata": { "labels": labels },
        "spec": { "terminationGracePeriodSeconds": 0, "containers": [{ "name": "main", "image": GOOD_IMAGE }] },
    });
    let workload = json!({ "selector": selector, "template": template, "serviceName": NAME });
    let mut daemon = workload.clone();
    daemon.as_object_mut().unwrap().remove("serviceName");
    let mut job = template.clone();
    job["spec"]["restartPolicy"] = json!("Never");
    let cron = json!({ "schedule": "0 0 1 1 *", "jobTemplate": { "spec": { "template": job } } });
    let claim = json!({
        "accessModes": ["ReadWriteOnce"], "storageClassName": "later",
        "resources": { "requests": { "storage": "1Mi" } },
    });
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" });
    let scaling = json!({ "scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 2 });
    let endpoints = json!([{ "addresses": ["10.1.1.1"] }]);
    vec![
        namespace(NAME),
        config_map(NAME, "map", "1"),
        deployment(NAME, "web", GOOD_IMAGE),
        service(NAME, "web", 80),
        object("v1", "Endpoints", json!({})),
        object("v1", "LimitRange", json!({ "spec": { "limits": [] } })),
        object("v1", "PersistentVolumeClaim", json!({ "spec": claim })),
        object("v1", "Pod", json!({ "spec": template["spec"] })),
        object("v1", "PodTemplate", json!({ "template": template })),
        object(
            "v1",
            "ReplicationController",
            json!({ "spec": { "replicas": 0, "selector": labels, "template": template } }),
        ),
        object("v1", "ResourceQuota", json!({ "spec": { "hard": { "pods": "99" } } })),
        object("v1", "Secret", json!({ "stringData": { "a": "b" } })),
        object("v1", "ServiceAccount", json!({})),
        object("apps/v1", "DaemonSet", json!({ "spec": daemon })),
        object("apps/v1", "ReplicaSet", json!({ "spec": daemon })),
        object("apps/v1", "StatefulSet", json!({ "spec": workload })),
        object("batch/v1", "Job", json!({ "spec": { "template": job } })),
        object("batch/v1", "CronJob", json!({ "spec": cron })),
        object("autoscaling/v2", "HorizontalPodAutoscaler", json!({ "spec": scaling })),
        object(
            "networking.k8s.io/v1",
            "IngressClass",
            json!({ "spec": { "controller": "a.b/c" } }),
        ),
        object(
            "networking.k8s.io/v1",
            "Ingress",
            json!({ "spec": { "defaultBackend": { "service": { "name": "web", "port": { "number": 80 } } } } }),
        ),
        object("networking.k8s.io/v1", "NetworkPolicy", json!({ "spec": { "podSelector": {} } })),
        object("policy/v1", "PodDisruptionBudget", json!({ "spec": { "selector": selector } })),
        object(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            json!({ "addressType": "IPv4", "endpoints": endpoints }),
        ),
        object("scheduling.k8s.io/v1", "PriorityClass", json!({ "value": 1 })),
        object("helm.cattle.io/v1", "HelmChart", json!({ "spec": { "chart": "none" } })),
        object("helm.cattle.io/v1", "HelmChartConfig", json!({ "spec": {} })),
    ]
}

/// What the machine brings, as k3s does: its kinds, and storage that comes with its first user.
fn of_the_machine() -> Vec<Value> {
    let kind = |kind: &str| {
        let mut definition = leeward_tests::scenario::objects::definition("helm.cattle.io", kind);
        definition["metadata"]["annotations"]["api-approved.kubernetes.io"] = json!("unapproved");
        definition
    };
    let storage = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": { "name": "later" }, "provisioner": "nobody",
        "volumeBindingMode": "WaitForFirstConsumer",
    });
    vec![kind("HelmChart"), kind("HelmChartConfig"), storage]
}

/// `(group, resource)` → verbs.
type Grants = BTreeMap<(String, String), BTreeSet<String>>;

async fn granted(scenario: &Scenario) -> Grants {
    let mut grants = Grants::new();
    for path in [
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/leeward".to_owned(),
        format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles/leeward-leader"),
    ] {
        let role = scenario.api.get(&path).await.unwrap().unwrap();
        let strings = |value: &Value| -> Vec<String> {
            let items = value.as_array().into_iter().flatten();
            items.map(|item| item.as_str().unwrap().to_owned()).collect()
        };
        for rule in role["rules"].as_array().unwrap() {
            for group in strings(&rule["apiGroups"]) {
                for resource in strings(&rule["resources"]) {
                    let verbs = grants.entry((group.clone(), resource)).or_default();
                    verbs.extend(strings(&rule["verbs"]));
                }
            }
        }
    }
    grants
}

/// What the API server has seen, and what it refused.
fn used(log: &str) -> (Grants, Vec<String>) {
    let mut grants = Grants::new();
    let mut refused = Vec::new();
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let Some(resource) = event["objectRef"]["resource"].as_str() else { continue };
        let group = text(&event, "/objectRef/apiGroup");
        let verb = text(&event, "/verb");
        let code = event["responseStatus"]["code"].as_u64().unwrap_or_default();
        if code == 403 {
            refused.push(format!("{verb} {resource}.{group}"));
        }
        let verbs = grants.entry((group, resource.to_owned())).or_default();
        // An apply that makes the object is asked for as `patch`, and needs `create` as well.
        if verb == "patch" && code == 201 {
            verbs.insert("create".to_owned());
        }
        verbs.insert(verb);
    }
    (grants, refused)
}

#[tokio::test]
async fn role_suffices_for_all_that_it_names_and_no_grant_is_unused() {
    let user = format!("system:serviceaccount:{NAMESPACE}:leeward");
    let options = ControlPlaneOptions { audited_user: Some(user), ..Default::default() };
    let Some(plane) = ControlPlane::start_own(options, NAME).await.unwrap() else { return };
    let api = plane.api().await.unwrap();
    for object in of_the_machine() {
        api.apply(&object, MEDDLER).await.unwrap();
    }
    let folder = ScratchDir::new(NAME).unwrap();
    let kubeconfig = service_account(&plane, &api, folder.path()).await.unwrap();
    let all = all_kinds();
    let files = [("all.yaml", documents(&all))];
    let mut scenario = Scenario::prepare_on(&plane, NAME, &files, |options| {
        options
            .set("cluster.kubeconfig", kubeconfig.display().to_string())
            .set("apply.timeout", "60s")
            // As the DaemonSet has it.
            .env("LEEWARD_LEASE_NAMESPACE", NAMESPACE)
            .env("POD_NAMESPACE", NAMESPACE)
            .env("NODE_NAME", "edge-node-0")
    })
    .await
    .unwrap();
    scenario.agent.start_again().unwrap();
    // What the Helm controller of k3s does with a chart.
    let chart = all.iter().find(|one| one["kind"] == "HelmChart").unwrap();
    scenario.wait_live(chart, |_| true).await.unwrap();
    scenario.meddle(chart, &json!({ "status": { "jobName": "install" } })).await.unwrap();
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();

    // Somebody takes our label off each, which has each looked at and put right.
    let bare = json!({ "metadata": { "labels": { "leeward.dev/app": null } } });
    for manifest in &all {
        scenario.meddle(manifest, &bare).await.unwrap();
        let ours = |live: &Value| text(live, "/metadata/labels/leeward.dev~1app") == NAME;
        scenario.wait_live(manifest, ours).await.unwrap();
    }
    // All of it goes, and nothing but the approval of a person is in its way.
    scenario.commit(&[("all.yaml", "# nothing\n".to_owned())]).unwrap();
    scenario.wait_app(NAME, |app| app.phase == PhaseName::Held).await.unwrap();
    scenario.tell(&["approve", NAME, "--yes"]).await.unwrap();
    for manifest in &all {
        scenario.wait_gone(manifest).await.unwrap();
    }
    scenario.agent.stop(leeward_tests::scenario::SOON).await.unwrap();

    let log = fs::read_to_string(plane.folder().unwrap().join("audit.log")).unwrap();
    let (used, refused) = used(&log);
    assert_eq!(refused, Vec::<String>::new());
    let mut unused = BTreeMap::new();
    for (place, verbs) in granted(&scenario).await {
        let idle: BTreeSet<String> =
            verbs.difference(used.get(&place).unwrap_or(&BTreeSet::new())).cloned().collect();
        if !idle.is_empty() {
            unused.insert(place, idle);
        }
    }
    assert_eq!(unused, BTreeMap::new(), "granted, and never used");
}
