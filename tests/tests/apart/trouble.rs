//! Trouble that the cluster makes.

use leeward_core::model::PhaseName;
use leeward_tests::{
    faultproxy::{FaultProxy, Policy},
    scenario::{
        MEDDLER,
        objects::{annotated, config_map, definition, namespace, thirds},
    },
    weather::blocked_by,
};
use serde_json::{Value, json};

use super::{Apart, mute_server};

#[tokio::test]
async fn edit_is_healed_while_another_app_applies_a_thousand_objects() {
    let name = "apart-bulk";
    let Some(mut apart) = Apart::start(name, &[config_map(name, "first", "1")]).await else {
        return;
    };
    let mut objects = thirds(name, 1000, 0);
    objects.push(config_map(name, "first", "1"));
    let commit = apart.change(&objects);
    apart.wait_troubled(|app| app.phase == PhaseName::Applying).await;
    apart.heals_while(apart.not_good_at(&commit)).await;
}

#[tokio::test]
async fn edit_is_healed_while_a_replacement_of_another_app_waits_for_a_finalizer() {
    let name = "apart-replace";
    let fixed = |value: &str| {
        let mut map = annotated(config_map(name, "fixed", value), "leeward.dev/replace", "true");
        map["immutable"] = json!(true);
        map
    };
    let Some(mut apart) = Apart::start(name, &[fixed("1")]).await else { return };
    let hold = json!({ "metadata": { "finalizers": ["example.com/hold"] } });
    apart.scenario.meddle(&fixed("1"), &hold).await.unwrap();
    let commit = apart.change(&[fixed("2")]);
    let leaving = |live: &Value| live["metadata"].get("deletionTimestamp").is_some();
    apart.scenario.wait_live(&fixed("1"), leaving).await.unwrap();
    apart.heals_while(apart.not_good_at(&commit)).await;
    let words = ["ConfigMap apart-replace/fixed", "its deletion does not end", "example.com/hold"];
    blocked_by(&apart.scenario, &words).await.unwrap();
    apart.heals_while(apart.not_good_at(&commit)).await;
    let release = json!({ "metadata": { "finalizers": null } });
    apart.scenario.meddle(&fixed("1"), &release).await.unwrap();
    apart.both_good().await;
}

#[tokio::test]
async fn edit_is_healed_while_a_foundation_of_another_app_is_not_ready() {
    let (name, group) = ("apart-crd", "apart.example.com");
    let Some(mut apart) = Apart::start(name, &[config_map(name, "first", "1")]).await else {
        return;
    };
    // Its kind is taken, so its names are never accepted.
    apart.scenario.api.apply(&definition(group, "Till"), MEDDLER).await.unwrap();
    let mut second = definition(group, "Till");
    second["metadata"]["name"] = json!(format!("registers.{group}"));
    second["spec"]["names"]["plural"] = json!("registers");
    let late = config_map(name, "late", "1");
    let commit = apart.change(&[second.clone(), config_map(name, "first", "1"), late.clone()]);
    apart.scenario.wait_live(&second, |_| true).await.unwrap();
    apart.heals_while(apart.not_good_at(&commit)).await;
    blocked_by(&apart.scenario, &["registers.apart.example.com", "is not ready"]).await.unwrap();
    assert!(apart.scenario.live(&late).await.unwrap().is_none());
    apart.heals_while(apart.not_good_at(&commit)).await;
    apart.scenario.remove(&definition(group, "Till")).await.unwrap();
    apart.both_good().await;
}

#[tokio::test]
async fn edit_is_healed_while_the_namespace_of_another_app_terminates() {
    let (name, home) = ("apart-leaving", "apart-leaving-home");
    let Some(mut apart) = Apart::start(name, &[config_map(name, "first", "1")]).await else {
        return;
    };
    let mut stuck = config_map(home, "stuck", "1");
    stuck["metadata"]["finalizers"] = json!(["example.com/hold"]);
    apart.scenario.api.apply(&namespace(home), MEDDLER).await.unwrap();
    apart.scenario.api.apply(&stuck, MEDDLER).await.unwrap();
    apart.scenario.remove(&namespace(home)).await.unwrap();
    let inside: Vec<Value> =
        (0..40).map(|index| config_map(home, &format!("map-{index}"), "1")).collect();
    let commit = apart.change(&inside);
    apart.wait_troubled(|app| app.phase == PhaseName::Preflight && !app.message.is_empty()).await;
    apart.heals_while(apart.not_good_at(&commit)).await;
    blocked_by(&apart.scenario, &["being terminated"]).await.unwrap();
    apart.scenario.meddle(&stuck, &json!({ "metadata": { "finalizers": null } })).await.unwrap();
}

#[tokio::test]
async fn edit_is_healed_while_a_webhook_of_another_app_hangs() {
    let (name, home) = ("apart-webhook", "apart-webhook-home");
    let Some(mut apart) = Apart::start(name, &[config_map(name, "first", "1")]).await else {
        return;
    };
    let (_mute, port) = mute_server().unwrap();
    apart.scenario.api.apply(&namespace(home), MEDDLER).await.unwrap();
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": name },
        "webhooks": [{
            "name": "mute.example.com",
            "clientConfig": { "url": format!("https://127.0.0.1:{port}/") },
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "timeoutSeconds": 30,
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": home } },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"],
                "resources": ["configmaps"] }],
        }],
    });
    apart.scenario.api.apply(&webhook, MEDDLER).await.unwrap();
    let inside: Vec<Value> =
        (0..100).map(|index| config_map(home, &format!("map-{index}"), "1")).collect();
    let commit = apart.change(&inside);
    apart.wait_troubled(|app| app.phase == PhaseName::Preflight).await;
    apart.heals_while(apart.not_good_at(&commit)).await;
    blocked_by(&apart.scenario, &["ConfigMap apart-webhook-home/map-", "mute.example.com"])
        .await
        .unwrap();
    apart.heals_while(apart.not_good_at(&commit)).await;
    apart.scenario.remove(&webhook).await.unwrap();
    apart.both_good().await;
}

#[tokio::test]
async fn status_is_answered_while_the_api_server_is_mute_and_all_is_healed_when_it_speaks() {
    let name = "apart-mute";
    let first = config_map(name, "first", "1");
    let Some(mut apart) = Apart::prepare(name, &[first.clone()], |options| options).await else {
        return;
    };
    let proxy = through_a_proxy(&mut apart);
    apart.scenario.agent.start_again().unwrap();
    apart.both_good().await;
    proxy.set_policy(Policy { stall: true, ..Policy::default() });
    let changed = config_map(name, "first", "2");
    let commit = apart.change(&[changed.clone()]);
    apart.wait_troubled(|app| app.phase == PhaseName::Preflight).await;
    for _ in 0..20 {
        // The harness fails when `status` is not answered.
        let status = apart.scenario.agent.status().await.unwrap();
        assert!(apart.not_good_at(&commit)(&status));
    }
    proxy.set_policy(Policy::default());
    apart.both_good().await;
}

/// Has the agent reach the API server through a proxy.
fn through_a_proxy(apart: &mut Apart) -> FaultProxy {
    let config = std::fs::read_to_string(apart.scenario.agent.config_path()).unwrap();
    let config: toml::Table = config.parse().unwrap();
    let kubeconfig = config["cluster"]["kubeconfig"].as_str().unwrap();
    let text = std::fs::read_to_string(kubeconfig).unwrap();
    let server = text.split("https://127.0.0.1:").nth(1).unwrap();
    let port: String = server.chars().take_while(char::is_ascii_digit).collect();
    let proxy = FaultProxy::start(port.parse().unwrap(), 1, Policy::default()).unwrap();
    let own = apart.scenario.agent.folder().join("kubeconfig");
    let through = format!("https://127.0.0.1:{}", proxy.port());
    std::fs::write(&own, text.replace(&format!("https://127.0.0.1:{port}"), &through)).unwrap();
    let own = own.display().to_string();
    apart.scenario.agent.configure(|options| options.set("cluster.kubeconfig", own)).unwrap();
    proxy
}
