//! Another controller that undoes what the agent does: named from the fifth time on.

use leeward_tests::scenario::{
    MEDDLER, Scenario,
    objects::{config_map, documents, text, uid},
};
use serde_json::{Value, json};

async fn started(name: &str, all: &[Value]) -> Option<Scenario> {
    let files = [("all.yaml", documents(all))];
    let mut scenario = Scenario::start(name, &files, |options| options).await.unwrap()?;
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    Some(scenario)
}

fn fight(why: &Value) -> Option<&Value> {
    let blockers = why.as_array().or_else(|| why["why"].as_array())?;
    blockers.iter().find(|blocker| blocker["blocker"] == "fight")
}

#[tokio::test]
async fn other_writer_is_named_from_the_fifth_heal_on() {
    let name = "fight-fields";
    let map = config_map(name, "map", "1");
    let Some(scenario) = started(name, std::slice::from_ref(&map)).await else { return };
    for round in 1..=5 {
        let (why, _) = scenario.ask(&["why"]).await.unwrap();
        assert!(fight(&why).is_none(), "before heal {round}: {why:#}");
        let edit = json!({ "data": { "key": format!("edited-{round}") } });
        scenario.meddle(&map, &edit).await.unwrap();
        scenario.wait_live(&map, |live| text(live, "/data/key") == "1").await.unwrap();
    }
    let named = |why: &Value| {
        fight(why).is_some_and(|fight| {
            let evidence = text(fight, "/evidence");
            evidence.contains(MEDDLER) && evidence.contains("ConfigMap fight-fields/map")
        })
    };
    scenario.wait_why(named).await.unwrap();
    // It is healed all the same, though not at once, and is named after that as before.
    for round in 6..=7 {
        let edit = json!({ "data": { "key": format!("edited-{round}") } });
        scenario.meddle(&map, &edit).await.unwrap();
        scenario.wait_live(&map, |live| text(live, "/data/key") == "1").await.unwrap();
    }
    let (why, _) = scenario.ask(&["why"]).await.unwrap();
    assert!(named(&why), "{why:#}");
}

#[tokio::test]
async fn object_that_is_deleted_again_and_again_is_named() {
    let name = "fight-gone";
    let map = config_map(name, "map", "1");
    let Some(scenario) = started(name, std::slice::from_ref(&map)).await else { return };
    for _ in 1..=5 {
        let before = uid(&scenario.live(&map).await.unwrap().unwrap());
        scenario.remove(&map).await.unwrap();
        scenario.wait_live(&map, |live| uid(live) != before).await.unwrap();
    }
    scenario.wait_why(|why| fight(why).is_some()).await.unwrap();
}
