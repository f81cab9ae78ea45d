//! Variables out of ConfigMaps and Secrets of the cluster.

use std::{
    fs,
    path::{Path, PathBuf},
};

use leeward_core::model::PhaseName;
use leeward_tests::{
    scenario::{
        MEDDLER, Scenario,
        objects::{GOOD_IMAGE, config_map, deployment, image, namespace, text},
    },
    weather::Link,
};
use serde_json::{Value, json};

/// A value, and forms of it that may be met.
const PLAINTEXT: [&str; 2] = ["correct-horse-battery", "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5"];

fn leeward(name: &str, from: &str) -> String {
    format!(
        "apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps:\n\
         - {{ name: {name}, path: web, substituteFrom: {from} }}\n\
         - {{ name: {name}-other, path: other }}\n"
    )
}

fn config_map_source(name: &str) -> String {
    format!("[{{ kind: ConfigMap, name: settings, namespace: {name} }}]")
}

fn both_sources(name: &str) -> String {
    format!(
        "[{{ kind: ConfigMap, name: settings, namespace: {name} }}, \
         {{ kind: Secret, name: keys, namespace: {name} }}]"
    )
}

fn settings(name: &str, data: &Value) -> Value {
    let mut settings = config_map(name, "settings", "");
    settings["data"] = data.clone();
    settings
}

fn keys(name: &str, password: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "keys", "namespace": name },
        "stringData": { "password": password },
    })
}

/// The files of a cluster with two apps, of which one takes from the cluster.
fn files(name: &str, from: &str, web: &[Value]) -> Vec<(&'static str, String)> {
    let web = leeward_tests::scenario::objects::documents(web);
    vec![
        ("leeward.yaml", leeward(name, from)),
        ("web/web.yaml", web),
        ("other/map.yaml", config_map(name, "other", "1").to_string()),
    ]
}

fn every_file(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.is_file() || path.is_dir())
        .flat_map(|path| if path.is_dir() { every_file(&path) } else { vec![path] })
        .collect()
}

fn assert_nowhere(scenario: &Scenario, shown: &str) {
    for path in every_file(scenario.agent.folder()) {
        let content = fs::read(&path).unwrap();
        for plaintext in PLAINTEXT {
            let found = content.windows(plaintext.len()).any(|part| part == plaintext.as_bytes());
            assert!(!found, "{plaintext} is in {}", path.display());
        }
    }
    assert!(PLAINTEXT.iter().all(|plaintext| !shown.contains(plaintext)), "{shown}");
}

#[tokio::test]
async fn config_map_is_waited_for_followed_without_git_and_comes_back_with_a_rollback() {
    let name = "given-map";
    let map = config_map(name, "map", "${site}");
    let web = [map.clone(), deployment(name, "web", "${image}")];
    let files = files(name, &config_map_source(name), &web);
    let prepared = Scenario::prepare(name, &files, |options| options).await.unwrap();
    let Some(mut scenario) = prepared else { return };
    let link = Link::lay(&mut scenario, None).unwrap();
    scenario.api.apply(&namespace(name), MEDDLER).await.unwrap();
    scenario.agent.start_again().unwrap();

    // It is not there: only that app waits, and nothing is condemned.
    let other = format!("{name}-other");
    scenario.wait_app(&other, |app| app.phase == PhaseName::Good).await.unwrap();
    let why = scenario.wait_why(|why| why.to_string().contains("settings is not there")).await;
    let why = why.unwrap();
    assert!(why.to_string().contains(&format!("ConfigMap {name}/settings")), "{why:#}");
    let waiting = scenario.wait_app(name, |app| app.phase == PhaseName::Waiting).await.unwrap();
    assert!(waiting.bad.is_empty());

    let first = settings(name, &json!({ "site": "north", "image": GOOD_IMAGE }));
    scenario.api.apply(&first, MEDDLER).await.unwrap();
    scenario.wait_app(name, |app| app.phase == PhaseName::Good).await.unwrap();
    let live = scenario.live(&map).await.unwrap().unwrap();
    assert_eq!(text(&live, "/data/key"), "north");

    // From here on there is no Git.
    link.cut().await;
    let south = settings(name, &json!({ "site": "south", "image": GOOD_IMAGE }));
    scenario.api.apply(&south, MEDDLER).await.unwrap();
    scenario.wait_live(&map, |live| text(live, "/data/key") == "south").await.unwrap();
    scenario.wait_app(name, |app| app.phase == PhaseName::Good).await.unwrap();

    // A value that does not run is taken back, with its neighbours.
    let bad = settings(name, &json!({ "site": "west", "image": "absent.invalid/missing:1" }));
    scenario.api.apply(&bad, MEDDLER).await.unwrap();
    let is_back =
        |app: &leeward_core::model::AppStatus| app.phase == PhaseName::Good && app.bad.len() == 1;
    scenario.wait_app(name, is_back).await.unwrap();
    let live = scenario.live(&map).await.unwrap().unwrap();
    assert_eq!(text(&live, "/data/key"), "south");
    let web = deployment(name, "web", "");
    assert_eq!(image(&scenario.live(&web).await.unwrap().unwrap()), GOOD_IMAGE);

    // The object goes: what runs stays, and is still looked after, also after a restart.
    scenario.remove(&first).await.unwrap();
    scenario.wait_why(|why| why.to_string().contains("settings is not there")).await.unwrap();
    scenario.agent.kill();
    scenario.agent.start_again().unwrap();
    scenario.wait(|status| status.agent.running).await.unwrap();
    scenario.wait_why(|why| why.to_string().contains("settings is not there")).await.unwrap();
    scenario.meddle(&map, &json!({ "data": { "key": "meddled" } })).await.unwrap();
    scenario.wait_live(&map, |live| text(live, "/data/key") == "south").await.unwrap();

    // And comes back, still without Git.
    let east = settings(name, &json!({ "site": "east", "image": GOOD_IMAGE }));
    scenario.api.apply(&east, MEDDLER).await.unwrap();
    scenario.wait_live(&map, |live| text(live, "/data/key") == "east").await.unwrap();
    scenario.wait_app(name, |app| app.phase == PhaseName::Good).await.unwrap();
}

#[tokio::test]
async fn value_of_a_secret_is_in_the_objects_that_ask_for_it_and_nowhere_else() {
    let name = "given-secret";
    let map = config_map(name, "map", "postgres://shop:${password}@${host}");
    let mut service = leeward_tests::scenario::objects::service(name, "web", 80);
    let files_ = files(name, &both_sources(name), std::slice::from_ref(&map));
    let trace = |options: leeward_tests::agent::AgentOptions| options.set("log.level", "trace");
    let start = Scenario::start(name, &files_, trace);
    let Some(mut scenario) = start.await.unwrap() else { return };
    scenario
        .api
        .apply(&settings(name, &json!({ "host": "db", "password": "of the map" })), MEDDLER)
        .await
        .unwrap();
    scenario.api.apply(&keys(name, PLAINTEXT[0]), MEDDLER).await.unwrap();
    scenario.wait_app(name, |app| app.phase == PhaseName::Good).await.unwrap();
    let live = scenario.live(&map).await.unwrap().unwrap();
    let url = |password: &str| format!("postgres://shop:{password}@db");
    assert_eq!(text(&live, "/data/key"), url(PLAINTEXT[0]));

    // Drift is told and healed without it, and a diff shows none of it.
    scenario.meddle(&map, &json!({ "data": { "key": "meddled" } })).await.unwrap();
    scenario.wait_live(&map, |live| text(live, "/data/key") == url(PLAINTEXT[0])).await.unwrap();
    let diff = scenario.ask(&["diff"]).await.unwrap();

    // The API server refuses an object, and its words about the value stay with it.
    service["spec"]["ports"][0]["name"] = json!("${password}!");
    let both = [map.clone(), service];
    scenario.commit(&files(name, &both_sources(name), &both)).unwrap();
    let refused = scenario.wait_app(name, |app| !app.bad.is_empty()).await.unwrap();
    assert!(refused.message.contains("the API server refused it"), "{}", refused.message);
    let mut shown = vec![format!("{diff:?}")];
    for verb in [["why"], ["status"], ["history"]] {
        shown.push(format!("{:?}", scenario.ask(&verb).await.unwrap()));
    }
    let events = format!("/api/v1/namespaces/{name}/events");
    shown.push(format!("{:?}", scenario.api.list(&events).await.unwrap()));
    let shown = shown.join("\n");
    assert_nowhere(&scenario, &shown);

    // Another value is another revision, of the same commit.
    scenario.commit(&files_).unwrap();
    scenario.wait_app(name, |app| app.phase == PhaseName::Good).await.unwrap();
    scenario.api.apply(&keys(name, "another-value"), MEDDLER).await.unwrap();
    scenario.wait_live(&map, |live| text(live, "/data/key") == url("another-value")).await.unwrap();
    scenario.wait_app(name, |app| app.phase == PhaseName::Good).await.unwrap();

    // Without the Secret nothing is touched; the app says what it wants.
    scenario.remove(&keys(name, "")).await.unwrap();
    let why = scenario.wait_why(|why| why.to_string().contains("keys is not there")).await.unwrap();
    assert!(why.to_string().contains(&format!("Secret {name}/keys")), "{why:#}");
    let live = scenario.live(&map).await.unwrap().unwrap();
    assert_eq!(text(&live, "/data/key"), url("another-value"));
    assert_nowhere(&scenario, &shown);
}
