//! What a change costs: nothing where nothing changed, a new object where the
//! old one cannot be changed.

use leeward_core::model::PhaseName;
use leeward_tests::scenario::{
    Scenario,
    objects::{annotated, config_map, deployment, documents, is_rolled_out, service, text, uid},
};
use serde_json::{Value, json};

async fn started(name: &str, files: &[(&str, String)]) -> Option<Scenario> {
    let mut scenario = Scenario::start(name, files, |options| options).await.unwrap()?;
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    Some(scenario)
}

/// With another label in its selector, which cannot be changed.
fn reselected(namespace: &str) -> Value {
    let mut web = deployment(namespace, "web", "app:2");
    web["spec"]["selector"]["matchLabels"]["tier"] = json!("front");
    web["spec"]["template"]["metadata"]["labels"]["tier"] = json!("front");
    web
}

#[tokio::test]
async fn field_that_cannot_change_is_refused_by_name_and_nothing_is_touched() {
    let name = "change-immutable";
    let web = deployment(name, "web", "app:1");
    let Some(mut scenario) = started(name, &[("web.yaml", documents(&[web.clone()]))]).await else {
        return;
    };
    let before = scenario.live(&web).await.unwrap().unwrap();
    let bad = scenario.commit(&[("web.yaml", documents(&[reselected(name)]))]).unwrap();
    let app = scenario.wait_app(name, |app| !app.bad.is_empty()).await.unwrap();
    assert_eq!((app.phase, app.bad[0].commit.to_string()), (PhaseName::Good, bad));
    for part in ["Deployment.apps change-immutable/web", "web.yaml:2", "spec.selector", "immutable"]
    {
        assert!(app.bad[0].reason.contains(part), "no {part}: {}", app.bad[0].reason);
    }
    let (why, _) = scenario.ask(&["why"]).await.unwrap();
    assert!(why.to_string().contains("leeward.dev/replace"), "no way out is named: {why:#}");
    let after = scenario.live(&web).await.unwrap().unwrap();
    assert_eq!(
        (uid(&after), &after["metadata"]["generation"]),
        (uid(&before), &before["metadata"]["generation"])
    );
}

#[tokio::test]
async fn field_that_cannot_change_is_changed_by_replacing_what_may_be_replaced() {
    let name = "change-replace";
    let mark = |web| annotated(web, "leeward.dev/replace", "true");
    let web = mark(deployment(name, "web", "app:1"));
    let files = [("web.yaml", documents(&[web.clone(), service(name, "web", 80)]))];
    let Some(mut scenario) = started(name, &files).await else { return };
    let before = scenario.live(&web).await.unwrap().unwrap();
    let other = scenario.live(&service(name, "web", 80)).await.unwrap().unwrap();
    // A change that is possible replaces nothing.
    let file = documents(&[mark(deployment(name, "web", "app:2")), service(name, "web", 80)]);
    let commit = scenario.commit(&[("web.yaml", file)]).unwrap();
    scenario.good_at(&commit).await.unwrap();
    assert_eq!(uid(&scenario.live(&web).await.unwrap().unwrap()), uid(&before));

    let file = documents(&[mark(reselected(name)), service(name, "web", 80)]);
    let commit = scenario.commit(&[("web.yaml", file)]).unwrap();
    scenario.good_at(&commit).await.unwrap();
    let after = scenario.live(&web).await.unwrap().unwrap();
    assert!(is_rolled_out(&after));
    assert_ne!(uid(&after), uid(&before));
    assert_eq!(text(&after, "/spec/selector/matchLabels/tier"), "front");
    let unchanged = scenario.live(&service(name, "web", 80)).await.unwrap().unwrap();
    assert_eq!(unchanged["metadata"]["resourceVersion"], other["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn objects_that_did_not_change_are_not_written() {
    let name = "change-nothing";
    let quiet = [config_map(name, "quiet", "1"), service(name, "quiet", 80)];
    let loud = config_map(name, "loud", "1");
    let files = [("quiet.yaml", documents(&quiet)), ("loud.yaml", documents(&[loud.clone()]))];
    let Some(mut scenario) = started(name, &files).await else { return };
    let before = scenario.versions(&quiet).await.unwrap();
    let loud_before = scenario.versions(std::slice::from_ref(&loud)).await.unwrap();

    let foreign = scenario.foreign_commit("another cluster's").unwrap();
    scenario.good_at(&foreign).await.unwrap();
    assert_eq!(scenario.versions(&quiet).await.unwrap(), before);
    assert_eq!(scenario.versions(std::slice::from_ref(&loud)).await.unwrap(), loud_before);

    // What is no manifest changes the content, and no object.
    let noted = scenario.commit(&[("NOTES.md", "Hello.\n".to_owned())]).unwrap();
    scenario.good_at(&noted).await.unwrap();
    assert_eq!(scenario.versions(std::slice::from_ref(&loud)).await.unwrap(), loud_before);

    let file = documents(&[config_map(name, "loud", "2")]);
    let own = scenario.commit(&[("loud.yaml", file)]).unwrap();
    scenario.good_at(&own).await.unwrap();
    assert_eq!(scenario.versions(&quiet).await.unwrap(), before);
    let changed = scenario.live(&loud).await.unwrap().unwrap();
    assert_eq!(text(&changed, "/data/key"), "2");
    // The object says which commit wrote it; those that were not written do not move on.
    assert_eq!(text(&changed, "/metadata/annotations/leeward.dev~1revision"), own);
}

#[tokio::test]
async fn object_that_moved_to_another_file_is_not_written() {
    let name = "change-move";
    let map = config_map(name, "map", "1");
    let Some(mut scenario) = started(name, &[("a.yaml", documents(&[map.clone()]))]).await else {
        return;
    };
    let before = scenario.versions(std::slice::from_ref(&map)).await.unwrap();
    let moved = scenario
        .repository
        .commit(
            "Move",
            &[
                leeward_tests::fleet::Change::delete(format!("clusters/{name}/a.yaml")),
                leeward_tests::fleet::Change::write(
                    format!("clusters/{name}/deep/b.yaml"),
                    documents(&[map.clone()]),
                ),
            ],
        )
        .unwrap();
    scenario.good_at(&moved).await.unwrap();
    assert_eq!(scenario.versions(&[map]).await.unwrap(), before);
}
