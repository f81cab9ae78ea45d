//! A revision is not condemned for what is not in Git: an image that takes long,
//! a registry that cannot be reached, a right that is not granted yet, a kind
//! that comes later.

use leeward_core::model::{AppStatus, PhaseName};
use leeward_tests::{
    scenario::{
        MEDDLER, Scenario, is_good_at,
        objects::{
            GOOD_IMAGE, apps, config_map, custom, definition, deployment, documents, image,
            is_rolled_out, namespace, policy, text,
        },
    },
    weather::blocked_by,
};
use serde_json::{Value, json};

/// The app may take so long to become healthy.
const TIMEOUT: &str = "10s";

async fn started(name: &str, manifests: &[Value]) -> Option<Scenario> {
    let files = [("all.yaml", documents(manifests))];
    let options =
        |options: leeward_tests::agent::AgentOptions| options.set("apply.timeout", TIMEOUT);
    let mut scenario = Scenario::prepare(name, &files, options).await.unwrap()?;
    scenario.api.apply(&namespace(name), MEDDLER).await.unwrap();
    scenario.agent.start_again().unwrap();
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    Some(scenario)
}

fn held(app: &AppStatus) -> String {
    app.held.as_ref().map_or_else(String::new, |held| format!("{}: {}", held.reason, held.detail))
}

#[tokio::test]
async fn an_image_that_needs_longer_than_the_timeout_is_waited_for() {
    let name = "out-pull";
    let web = |image: &str| {
        let mut web = deployment(name, "web", image);
        // The controller gives up long before the image is there.
        web["spec"]["progressDeadlineSeconds"] = json!(4);
        web
    };
    let Some(mut scenario) = started(name, &[web(GOOD_IMAGE)]).await else { return };
    let next = scenario.commit(&[("all.yaml", documents(&[web("pull25:2")]))]).unwrap();
    let app = scenario.wait_app(name, |app| app.held.is_some()).await.unwrap();
    assert!(held(&app).contains("pulling the image pull25:2"), "{app:#?}");
    assert!(held(&app).starts_with("outside: "), "{app:#?}");
    let app = scenario.wait_app(name, |app| is_good_at(app, &next)).await.unwrap();
    assert_eq!(app.bad, []);
}

#[tokio::test]
async fn a_registry_that_cannot_be_reached_condemns_nothing() {
    let name = "out-registry";
    let web = deployment(name, "web", GOOD_IMAGE);
    let Some(mut scenario) = started(name, std::slice::from_ref(&web)).await else { return };
    let away = [deployment(name, "web", "unreachable:2")];
    let next = scenario.commit(&[("all.yaml", documents(&away))]).unwrap();
    let app = scenario.wait_app(name, |app| app.held.is_some()).await.unwrap();
    assert!(held(&app).contains("i/o timeout"), "{app:#?}");
    // Longer than the timeout; what is wrong is said all the while.
    tokio::time::sleep(std::time::Duration::from_secs(14)).await;
    let status = scenario.agent.status().await.unwrap();
    assert_eq!(status.apps[0].phase, PhaseName::Probation);
    assert_eq!(status.apps[0].candidate.as_ref().unwrap().commit.to_string(), next);
    blocked_by(&scenario, &["i/o timeout"]).await.unwrap();
    // An image that does not exist is the revision's fault, and at once.
    let missing = [deployment(name, "web", "missing:3")];
    let bad = scenario.commit(&[("all.yaml", documents(&missing))]).unwrap();
    let is_bad = |app: &AppStatus| app.bad.iter().any(|one| one.commit.to_string() == bad);
    scenario.wait_app(name, |app| app.phase == PhaseName::Good && is_bad(app)).await.unwrap();
    assert_eq!(image(&scenario.wait_live(&web, is_rolled_out).await.unwrap()), GOOD_IMAGE);
}

#[tokio::test]
async fn a_kind_that_comes_later_than_the_timeout_is_waited_for_while_drift_is_healed() {
    let (name, group) = ("out-kind", "out.example.com");
    let map = config_map(name, "map", "1");
    let Some(mut scenario) = started(name, std::slice::from_ref(&map)).await else { return };
    let next = [map.clone(), custom(group, "Till", name, "a")];
    let next = scenario.commit(&[("all.yaml", documents(&next))]).unwrap();
    let app = scenario.wait_app(name, |app| app.phase == PhaseName::Held).await.unwrap();
    assert!(held(&app).starts_with("missing: "), "{app:#?}");
    assert_eq!(app.bad, []);
    scenario.meddle(&map, &json!({ "data": { "key": "edited" } })).await.unwrap();
    scenario.wait_live(&map, |live| text(live, "/data/key") == "1").await.unwrap();
    scenario.api.apply(&definition(group, "Till"), MEDDLER).await.unwrap();
    scenario.wait_app(name, |app| is_good_at(app, &next)).await.unwrap();
}

#[tokio::test]
async fn an_object_of_another_app_is_waited_for_and_taken_when_it_is_free() {
    let name = "out-owner";
    let apps = format!(
        "apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps:\n\
         - name: {name}-one\n  path: one\n- name: {name}-two\n  path: two\n"
    );
    let (first, second) = (config_map(name, "first", "1"), config_map(name, "second", "1"));
    let files = [
        ("leeward.yaml", apps),
        ("one/all.yaml", documents(std::slice::from_ref(&first))),
        ("two/all.yaml", documents(std::slice::from_ref(&second))),
    ];
    let Some(mut scenario) = Scenario::prepare(name, &files, |options| options).await.unwrap()
    else {
        return;
    };
    scenario.api.apply(&namespace(name), MEDDLER).await.unwrap();
    scenario.agent.start_again().unwrap();
    let head = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&head).await.unwrap();
    let both = documents(&[second.clone(), first.clone()]);
    scenario.commit(&[("two/all.yaml", both)]).unwrap();
    let two = format!("{name}-two");
    let app = scenario.wait_app(&two, |app| app.phase == PhaseName::Held).await.unwrap();
    assert!(held(&app).contains(&format!("app {name}-one owns it")), "{app:#?}");
    let other = documents(&[config_map(name, "third", "1")]);
    scenario.commit(&[("one/all.yaml", other)]).unwrap();
    let head = scenario.repository.head().unwrap().unwrap();
    scenario.wait_app(&two, |app| is_good_at(app, &head)).await.unwrap();
}

#[tokio::test]
async fn a_bad_revision_is_tried_again_when_a_person_says_so() {
    let name = "out-retry";
    let web = deployment(name, "web", GOOD_IMAGE);
    let Some(mut scenario) = started(name, std::slice::from_ref(&web)).await else { return };
    let refusal = scenario.tell(&["retry", name]).await.unwrap_err().to_string();
    assert!(refusal.contains("nothing of app out-retry is to be tried again"), "{refusal}");
    forbid_maps(&scenario).await;
    let next = documents(&[web, config_map(name, "map", "1")]);
    let next = scenario.commit(&[("all.yaml", next)]).unwrap();
    scenario.wait_app(name, |app| !app.bad.is_empty()).await.unwrap();
    permit_maps(&scenario).await;
    scenario.tell(&["retry", name]).await.unwrap();
    let app = scenario.wait_app(name, |app| is_good_at(app, &next)).await.unwrap();
    assert_eq!(app.bad, []);
}

/// Has ConfigMaps refused in the namespace of the scenario, by a policy that Git lacks.
async fn forbid_maps(scenario: &Scenario) {
    let name = scenario.name();
    for manifest in policy(name, &["CREATE", "UPDATE"], "configmaps", "false") {
        scenario.api.apply(&manifest, MEDDLER).await.unwrap();
    }
    let probe = config_map(name, "probe", "1");
    while scenario.api.apply(&probe, MEDDLER).await.is_ok() {
        scenario.remove(&probe).await.unwrap();
    }
}

async fn permit_maps(scenario: &Scenario) {
    let name = scenario.name();
    for manifest in policy(name, &[], "configmaps", "false").iter().rev() {
        scenario.remove(manifest).await.unwrap();
    }
    while scenario.api.apply(&config_map(name, "probe", "1"), MEDDLER).await.is_err() {}
}

#[tokio::test]
async fn a_bad_revision_is_tried_again_as_often_as_the_repository_says() {
    let name = "out-retries";
    let app = "out-retries-app";
    let web = deployment(name, "web", GOOD_IMAGE);
    let files = [
        ("leeward.yaml", apps(&[(app, "  retries: 2\n  retryInterval: 4s\n")])),
        ("out-retries-app/all.yaml", documents(&[web.clone()])),
    ];
    let Some(mut scenario) = Scenario::started(name, &files, |options| options).await.unwrap()
    else {
        return;
    };
    forbid_maps(&scenario).await;
    let next = documents(&[web, config_map(name, "map", "1")]);
    let next = scenario.commit(&[("out-retries-app/all.yaml", next)]).unwrap();
    scenario.wait_app(app, |app| !app.bad.is_empty()).await.unwrap();
    let why = scenario.wait_why(|why| why[0]["blocker"] == "bad_revision").await.unwrap();
    assert!(why[0]["hint"].as_str().unwrap().contains("tried again by itself"), "{why}");
    permit_maps(&scenario).await;
    let app = scenario.wait_app(app, |app| is_good_at(app, &next)).await.unwrap();
    assert_eq!(app.bad, []);
}
