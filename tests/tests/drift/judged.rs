//! What the server spells otherwise is no difference.

use leeward_tests::scenario::{
    Scenario,
    objects::{GOOD_IMAGE, deployment, documents},
};
use serde_json::json;

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
