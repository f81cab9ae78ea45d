//! What is said about drift: which field, from what to what, by whom.

use leeward_tests::{
    receiver::{Event, Receiver, ReceiverOptions},
    scenario::{
        SOON, Scenario,
        objects::{config_map, documents, text},
    },
};
use serde_json::json;

const HEALED: &str = "dev.leeward.drift.healed.v1";
const SEEN: &str = "dev.leeward.drift.seen.v1";

/// Waits for an event of a kind about an object.
async fn event_about(receiver: &Receiver, kind: &str, object: &str) -> Event {
    let started = std::time::Instant::now();
    loop {
        let found = receiver
            .events()
            .into_iter()
            .find(|event| event.kind == kind && event.data["object"] == object);
        if let Some(event) = found {
            return event;
        }
        assert!(started.elapsed() < SOON, "no {kind} about {object}: {:#?}", receiver.events());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn events_name_the_field_both_values_and_the_manager() {
    let name = "drift-told";
    let receiver = Receiver::start(ReceiverOptions::default()).unwrap();
    let (edited, deleted) = (config_map(name, "edited", "1"), config_map(name, "deleted", "1"));
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "secret", "namespace": name },
        "stringData": { "password": "hunter2" },
    });
    let seen = config_map(name, "seen", "1");
    let apps = format!(
        "apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps:\n- name: {name}\n  path: all\n- name: \
         {name}-report\n  path: report\n  heal: report\n"
    );
    let files = [
        ("leeward.yaml", apps),
        ("all/all.yaml", documents(&[edited.clone(), deleted.clone(), secret.clone()])),
        ("report/all.yaml", documents(&[seen.clone()])),
    ];
    let url = receiver.url();
    let options = |options: leeward_tests::agent::AgentOptions| options.set("report.url", url);
    let Some(mut scenario) = Scenario::start(name, &files, options).await.unwrap() else { return };
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();

    scenario.meddle(&edited, &json!({ "data": { "key": "2" } })).await.unwrap();
    let event = event_about(&receiver, HEALED, &format!("ConfigMap {name}/edited")).await;
    assert_eq!(event.subject.as_deref(), Some(name));
    assert_eq!(
        event.data["fields"],
        json!([{ "path": "/data/key", "old": "\"1\"", "new": "\"2\"", "manager": "meddler" }])
    );

    scenario.meddle(&edited, &json!({ "data": { "key": null } })).await.unwrap();
    let wanted = json!([{ "path": "/data/key", "old": "\"1\"", "new": null, "manager": null }]);
    let object = format!("ConfigMap {name}/edited");
    let told = |events: Vec<Event>| {
        events.iter().any(|event| event.data["object"] == object && event.data["fields"] == wanted)
    };
    let started = std::time::Instant::now();
    while !told(receiver.events()) {
        assert!(started.elapsed() < SOON, "{:#?}", receiver.events());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }

    scenario.remove(&deleted).await.unwrap();
    let event = event_about(&receiver, HEALED, &format!("ConfigMap {name}/deleted")).await;
    assert_eq!(event.data["fields"][0]["path"], "");

    scenario.meddle(&secret, &json!({ "stringData": { "password": "swordfish" } })).await.unwrap();
    let event = event_about(&receiver, HEALED, &format!("Secret {name}/secret")).await;
    assert_eq!(event.data["fields"][0]["manager"], "meddler");
    let shown = event.data.to_string();
    for secret in ["hunter2", "swordfish", "aHVudGVyMg", "c3dvcmRmaXNo"] {
        assert!(!shown.contains(secret), "{shown}");
    }

    scenario.meddle(&seen, &json!({ "data": { "key": "2" } })).await.unwrap();
    let event = event_about(&receiver, SEEN, &format!("ConfigMap {name}/seen")).await;
    assert_eq!(event.subject, Some(format!("{name}-report")));
    assert_eq!(event.data["fields"][0]["new"], "\"2\"");
    assert_eq!(text(&scenario.live(&seen).await.unwrap().unwrap(), "/data/key"), "2");
    assert_eq!(receiver.violations(), Vec::<String>::new());
}
