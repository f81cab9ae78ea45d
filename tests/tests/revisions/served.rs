//! A definition moves to another version, and objects leave Git in the same commit.

use leeward_core::model::PhaseName;
use leeward_tests::scenario::{
    Scenario, is_good_at,
    objects::{custom, definition, documents, namespace},
};
use serde_json::{Value, json};

/// A definition whose versions are these, of which the last one is served and stored.
fn versions(group: &str, names: &[&str]) -> Value {
    let mut crd = definition(group, "Till");
    let one = crd["spec"]["versions"][0].clone();
    let all = names.iter().enumerate().map(|(index, name)| {
        let mut version = one.clone();
        let is_last = index + 1 == names.len();
        version["name"] = json!(name);
        version["served"] = json!(is_last);
        version["storage"] = json!(is_last);
        version
    });
    crd["spec"]["versions"] = all.collect();
    crd
}

fn till(group: &str, version: &str, namespace: &str, name: &str) -> Value {
    let mut till = custom(group, "Till", namespace, name);
    till["apiVersion"] = json!(format!("{group}/{version}"));
    till
}

#[tokio::test]
async fn an_object_that_leaves_git_is_found_in_whatever_version_is_served() {
    let (name, group) = ("served-moves", "served.example.com");
    let old = |object: &str| till(group, "v1alpha1", name, object);
    let good = [namespace(name), versions(group, &["v1alpha1"]), old("stays"), old("goes")];
    let files = [("all.yaml", documents(&good))];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let first = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&first).await.unwrap();
    let stays = till(group, "v1", name, "stays");
    let next = [namespace(name), versions(group, &["v1alpha1", "v1"]), stays.clone()];
    let next = scenario.commit(&[("all.yaml", documents(&next))]).unwrap();
    scenario
        .wait_app(name, |app| app.phase == PhaseName::Probation || is_good_at(app, &next))
        .await
        .unwrap();
    // The garbage collector learns of the new version every half minute, and lets it go then.
    scenario.wait_gone(&till(group, "v1", name, "goes")).await.unwrap();
    let app = scenario.wait_app(name, |app| is_good_at(app, &next)).await.unwrap();
    assert_eq!((app.bad.len(), app.objects), (0, 3), "{app:#?}");
    assert!(scenario.live(&stays).await.unwrap().is_some());
    assert!(scenario.live(&till(group, "v1", name, "goes")).await.unwrap().is_none());
}
