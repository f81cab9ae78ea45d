//! Fields that the cluster fills by its own contract are the cluster's; empties that
//! forbid something are Git's.

use leeward_core::model::HealthName;
use leeward_tests::{
    scenario::{
        Scenario,
        objects::{
            GOOD_IMAGE, annotated, config_map, custom, definition, deployment, documents,
            is_rolled_out, text, uid,
        },
    },
    tls::Authority,
};
use serde_json::{Value, json};

const ROLES: &str = "rbac.authorization.k8s.io/v1";

fn role(name: &str, kind: &str, more: &Value) -> Value {
    let mut role =
        json!({ "apiVersion": ROLES, "kind": kind, "metadata": { "name": name }, "rules": [] });
    for (field, value) in more.as_object().unwrap() {
        role[field] = value.clone();
    }
    role
}

/// One that is asked about a kind that nobody has.
fn webhook(name: &str, bundle: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": name },
        "webhooks": [{
            "name": "a.example.com", "sideEffects": "None", "failurePolicy": "Ignore",
            "admissionReviewVersions": ["v1"],
            "rules": [{ "apiGroups": ["nobody.example.com"], "apiVersions": ["v1"],
                "operations": ["CREATE"], "resources": ["nothings"] }],
            "clientConfig": { "url": "https://127.0.0.1:1/", "caBundle": bundle },
        }],
    })
}

/// Has another object healed: whatever the agent saw before, it has dealt with then.
async fn caught_up(scenario: &Scenario, canary: &Value) {
    scenario.meddle(canary, &json!({ "data": { "key": "edited" } })).await.unwrap();
    scenario.wait_live(canary, |live| text(live, "/data/key") == "1").await.unwrap();
}

#[tokio::test]
async fn rules_bundles_and_statuses_that_the_cluster_fills_are_its_own() {
    use base64::Engine as _;
    let name = "contract-filled";
    let label = format!("{name}-part");
    let aggregate = json!({ "aggregationRule": { "clusterRoleSelectors": [
        { "matchLabels": { label.as_str(): "true" } },
    ]}});
    let whole = role(&format!("{name}-whole"), "ClusterRole", &aggregate);
    let rules =
        json!([{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"] }]);
    let mut part = role(&format!("{name}-part"), "ClusterRole", &json!({ "rules": rules }));
    part["metadata"]["labels"] = json!({ label.as_str(): "true" });
    let encode = |pem: String| base64::engine::general_purpose::STANDARD.encode(pem);
    let bundles = [(); 2].map(|()| encode(Authority::new().unwrap().pem()));
    let empty = webhook(&format!("{name}-empty"), "");
    let injected = annotated(
        webhook(&format!("{name}-injected"), &bundles[0]),
        "cert-manager.io/inject-ca-from",
        "a/b",
    );
    let group = format!("{name}.example.com");
    let mut widget = custom(&group, "Widget", name, "widget");
    widget["status"] = json!({ "phase": "New" });
    let canary = config_map(name, "canary", "1");
    let all = [
        whole.clone(),
        part,
        empty.clone(),
        injected.clone(),
        definition(&group, "Widget"),
        widget.clone(),
        canary.clone(),
    ];
    let files = [("all.yaml", documents(&all))];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();

    scenario.wait_live(&whole, |live| live["rules"] == rules).await.unwrap();
    for hook in [&empty, &injected] {
        let path = "/webhooks/0/clientConfig/caBundle";
        let patch = json!([{ "op": "add", "path": path, "value": bundles[1] }]);
        scenario.patch(hook, &patch).await.unwrap();
    }
    scenario.meddle(&widget, &json!({ "status": { "phase": "Ready" } })).await.unwrap();
    for _ in 0..3 {
        caught_up(&scenario, &canary).await;
    }
    let app = scenario
        .wait_app(name, |app| app.health == HealthName::Healthy && app.drift.open == 0)
        .await
        .unwrap();
    assert_eq!(app.drift.healed, 3, "only the edits were healed");
    let (diff, code) = scenario.ask(&["diff"]).await.unwrap();
    assert_eq!(code, 0, "{diff:#}");
    // A commit that has them sent again keeps what the cluster filled in.
    let changed = all.map(|one| annotated(one, "note", "2"));
    let commit = scenario.commit(&[("all.yaml", documents(&changed))]).unwrap();
    scenario.good_at(&commit).await.unwrap();
    assert_eq!(scenario.live(&whole).await.unwrap().unwrap()["rules"], rules);
    for hook in [&empty, &injected] {
        let live = scenario.live(hook).await.unwrap().unwrap();
        assert_eq!(text(&live, "/webhooks/0/clientConfig/caBundle"), bundles[1]);
    }
    let live = scenario.live(&widget).await.unwrap().unwrap();
    assert_eq!(text(&live, "/status/phase"), "Ready");
}

#[tokio::test]
async fn empties_that_forbid_something_are_enforced() {
    let name = "contract-empty";
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": "deny", "namespace": name },
        "spec": { "podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [], "egress": [] },
    });
    let mut nothing = role("nothing", "Role", &json!({}));
    nothing["metadata"]["namespace"] = json!(name);
    let mut web = deployment(name, "web", GOOD_IMAGE);
    web["spec"]["template"]["spec"]["tolerations"] = json!([]);
    let all = [policy.clone(), nothing.clone(), web.clone()];
    let files = [("all.yaml", documents(&all))];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    let is_empty = |pointer: &'static str| {
        move |live: &Value| {
            live.pointer(pointer).and_then(Value::as_array).is_none_or(Vec::is_empty)
        }
    };
    let open = json!({ "spec": { "ingress": [{}], "egress": [{}] } });
    scenario.meddle(&policy, &open).await.unwrap();
    scenario.wait_live(&policy, is_empty("/spec/ingress")).await.unwrap();
    scenario.wait_live(&policy, is_empty("/spec/egress")).await.unwrap();
    let everything =
        json!({ "rules": [{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"] }] });
    scenario.meddle(&nothing, &everything).await.unwrap();
    scenario.wait_live(&nothing, is_empty("/rules")).await.unwrap();
    let tolerate = json!({ "spec": { "template": { "spec": { "tolerations": [
        { "operator": "Exists" },
    ]}}}});
    scenario.meddle(&web, &tolerate).await.unwrap();
    scenario.wait_live(&web, is_empty("/spec/template/spec/tolerations")).await.unwrap();
}

fn autoscaler(namespace: &str) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": "web", "namespace": namespace },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
            "minReplicas": 1, "maxReplicas": 5,
            // Spelled as nobody stores it; `diff` does not mind.
            "metrics": [{ "type": "External", "external": {
                "metric": { "name": "queue" }, "target": { "type": "Value", "value": "3000m" },
            }}],
        },
    })
}

async fn pods(scenario: &Scenario) -> Vec<String> {
    let path = format!("/api/v1/namespaces/{}/pods", scenario.name());
    let mut pods: Vec<String> = scenario.api.list(&path).await.unwrap().iter().map(uid).collect();
    pods.sort();
    pods
}

#[tokio::test]
async fn replicas_that_git_leaves_to_an_autoscaler_stay_as_they_are() {
    for (name, in_one_commit) in [("contract-hpa", true), ("contract-hpa-later", false)] {
        let mut web = deployment(name, "web", GOOD_IMAGE);
        web["spec"]["replicas"] = json!(4);
        let mut bare = web.clone();
        bare["spec"].as_object_mut().unwrap().remove("replicas");
        let files = [("all.yaml", documents(std::slice::from_ref(&web)))];
        let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap()
        else {
            return;
        };
        let commit = scenario.repository.head().unwrap().unwrap();
        scenario.good_at(&commit).await.unwrap();
        scenario.wait_live(&web, is_rolled_out).await.unwrap();
        let before = pods(&scenario).await;
        assert_eq!(before.len(), 4);
        if !in_one_commit {
            let file = documents(&[web.clone(), autoscaler(name)]);
            let commit = scenario.commit(&[("all.yaml", file)]).unwrap();
            scenario.good_at(&commit).await.unwrap();
        }
        let file = documents(&[bare.clone(), autoscaler(name)]);
        let commit = scenario.commit(&[("all.yaml", file)]).unwrap();
        scenario.good_at(&commit).await.unwrap();
        let live = scenario.live(&web).await.unwrap().unwrap();
        assert_eq!(live["spec"]["replicas"], 4);
        let (diff, code) = scenario.ask(&["diff"]).await.unwrap();
        assert_eq!(code, 0, "{diff:#}");
        // It outlives the autoscaler: nobody asked for one replica.
        let commit = scenario.commit(&[("all.yaml", documents(&[bare]))]).unwrap();
        scenario.good_at(&commit).await.unwrap();
        let live = scenario.wait_live(&web, is_rolled_out).await.unwrap();
        assert_eq!(live["spec"]["replicas"], 4);
        assert_eq!(pods(&scenario).await, before, "a Pod was made anew");
    }
}
