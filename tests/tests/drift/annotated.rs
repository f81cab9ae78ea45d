//! Objects on which somebody has put, in the cluster, that they are to be left alone.

use leeward_tests::scenario::{
    MEDDLER, Scenario,
    objects::{annotated, config_map, documents, text},
};
use serde_json::{Value, json};

/// Ours to write and to leave: `map` and `canary`, with these values.
fn file(name: &str, value: &str) -> [(&'static str, String); 1] {
    let all = [config_map(name, "map", value), config_map(name, "canary", value)];
    [("all.yaml", documents(&all))]
}

async fn good(scenario: &mut Scenario) {
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
}

fn value(live: &Value) -> String {
    text(live, "/data/key")
}

#[tokio::test]
async fn object_that_is_annotated_in_the_cluster_is_neither_changed_nor_healed_until_that_goes() {
    for (name, annotation, asks) in [
        ("drift-disabled", "kustomize.toolkit.fluxcd.io/reconcile", "disabled"),
        ("drift-ssa-ignore", "kustomize.toolkit.fluxcd.io/ssa", "Ignore"),
    ] {
        let (map, canary) = (config_map(name, "map", "1"), config_map(name, "canary", "1"));
        let Some(mut scenario) = Scenario::start(name, &file(name, "1"), |o| o).await.unwrap()
        else {
            return;
        };
        good(&mut scenario).await;
        let ask = json!({ "metadata": { "annotations": { annotation: asks } } });
        scenario.meddle(&map, &ask).await.unwrap();
        scenario.commit(&file(name, "2")).unwrap();
        good(&mut scenario).await;
        assert_eq!(value(&scenario.live(&canary).await.unwrap().unwrap()), "2");
        assert_eq!(value(&scenario.live(&map).await.unwrap().unwrap()), "1");
        // An edit of it stays, although the agent has seen a later one of the other.
        let edit = json!({ "data": { "key": "edited" } });
        scenario.meddle(&map, &edit).await.unwrap();
        scenario.meddle(&canary, &edit).await.unwrap();
        scenario.wait_live(&canary, |live| value(live) == "2").await.unwrap();
        assert_eq!(value(&scenario.live(&map).await.unwrap().unwrap()), "edited");
        let remove = json!({ "metadata": { "annotations": { annotation: null } } });
        scenario.meddle(&map, &remove).await.unwrap();
        scenario.wait_live(&map, |live| value(live) == "2").await.unwrap();
    }
}

#[tokio::test]
async fn object_of_somebody_else_that_is_annotated_so_is_taken_over_once_that_goes() {
    let (name, annotation) = ("drift-theirs", "kustomize.toolkit.fluxcd.io/reconcile");
    let map = config_map(name, "map", "theirs");
    let Some(mut scenario) = Scenario::prepare(name, &file(name, "1"), |o| o).await.unwrap() else {
        return;
    };
    let namespace = leeward_tests::scenario::objects::namespace(name);
    scenario.api.apply(&namespace, MEDDLER).await.unwrap();
    scenario.api.apply(&annotated(map.clone(), annotation, "disabled"), MEDDLER).await.unwrap();
    scenario.agent.start_again().unwrap();
    good(&mut scenario).await;
    scenario.commit(&file(name, "2")).unwrap();
    good(&mut scenario).await;
    let live = scenario.live(&map).await.unwrap().unwrap();
    assert_eq!((value(&live).as_str(), live["metadata"]["labels"].is_null()), ("theirs", true));
    // Neither does a restart forget that Git wants it.
    scenario.agent.kill();
    scenario.agent.start_again().unwrap();
    scenario.wait(|status| status.agent.boot == 2).await.unwrap();
    let remove = json!({ "metadata": { "annotations": { annotation: null } } });
    scenario.meddle(&map, &remove).await.unwrap();
    let live = scenario.wait_live(&map, |live| value(live) == "2").await.unwrap();
    assert_eq!(text(&live, "/metadata/labels/leeward.dev~1app"), name);
}
