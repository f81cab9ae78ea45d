//! Overlays whose base lies elsewhere in the repository.

use leeward_core::model::PhaseName;
use leeward_tests::{
    fleet::Change,
    scenario::{
        Scenario,
        objects::{GOOD_IMAGE, config_map, deployment, documents, image, text},
    },
    weather::{Link, say},
};
use serde_json::Value;

const OVERLAY: &str = "resources: [../../base/shop]\nnamePrefix: till-\n";
const BASE: &str = "resources: [shop.yaml]\ncomponents: [../../parts/labels]\n";
const COMPONENT: &str = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n\
    labels: [{ pairs: { part: labels } }]\n";

fn shop(namespace: &str, image: &str) -> Vec<Change> {
    let all =
        documents(&[config_map(namespace, "settings", "1"), deployment(namespace, "web", image)]);
    vec![
        Change::write("base/shop/kustomization.yaml", BASE),
        Change::write("base/shop/shop.yaml", all),
        Change::write("parts/labels/kustomization.yaml", COMPONENT),
        Change::write("base/other/large.bin", vec![b'x'; 300_000]),
    ]
}

fn renamed(mut manifest: Value) -> Value {
    let name = format!("till-{}", text(&manifest, "/metadata/name"));
    manifest["metadata"]["name"] = name.into();
    manifest
}

#[tokio::test]
async fn base_outside_of_the_path_is_fetched_followed_and_kept_for_the_time_without_a_link() {
    let name = "base-shop";
    let files = [("kustomization.yaml", OVERLAY.to_owned())];
    let prepared = Scenario::prepare(name, &files, |options| options).await.unwrap();
    let Some(mut scenario) = prepared else { return };
    let link = Link::lay(&mut scenario, None).unwrap();
    let namespace = leeward_tests::scenario::objects::namespace(name);
    scenario.api.apply(&namespace, leeward_tests::scenario::MEDDLER).await.unwrap();
    let first = scenario.repository.commit("A base", &shop(name, GOOD_IMAGE)).unwrap();
    scenario.agent.start_again().unwrap();
    scenario.good_at(&first).await.unwrap();
    let web = renamed(deployment(name, "web", GOOD_IMAGE));
    let live = scenario.live(&web).await.unwrap().unwrap();
    assert_eq!(text(&live, "/metadata/labels/part"), "labels");
    let received = link.counts().traffic.down;
    say(&format!("an overlay, its base and a component: {received} bytes received"));
    assert!(received < 10_000, "{received}");

    // A change of the base alone is a new revision of the app.
    let next = scenario.repository.commit("Move the base", &shop(name, "app:2")).unwrap();
    scenario.good_at(&next).await.unwrap();
    assert_eq!(image(&scenario.live(&web).await.unwrap().unwrap()), "app:2");

    // A commit elsewhere is none.
    let versions = scenario.versions(std::slice::from_ref(&web)).await.unwrap();
    let foreign = scenario.foreign_commit("note").unwrap();
    scenario.good_at(&foreign).await.unwrap();
    assert_eq!(scenario.versions(std::slice::from_ref(&web)).await.unwrap(), versions);

    // All of it is in the store.
    link.cut().await;
    scenario.agent.kill();
    scenario.remove(&web).await.unwrap();
    scenario.wait_gone(&web).await.unwrap();
    scenario.agent.start_again().unwrap();
    scenario.wait_live(&web, |live| image(live) == "app:2").await.unwrap();
}

#[tokio::test]
async fn base_that_is_not_there_is_named_and_the_next_commit_brings_it() {
    let name = "base-missing";
    let files = [("kustomization.yaml", OVERLAY.to_owned())];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let app = scenario.wait_app(name, |app| app.phase == PhaseName::Failed).await.unwrap();
    assert!(app.message.contains("base/shop"), "{}", app.message);
    let next = scenario.repository.commit("A base", &shop(name, GOOD_IMAGE)).unwrap();
    scenario.good_at(&next).await.unwrap();
}
