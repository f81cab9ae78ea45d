//! The way to Git and the way to the API server fail each for itself.

use leeward_core::model::{LinkState, PhaseName};
use leeward_tests::{
    controlplane::{ControlPlane, ControlPlaneOptions},
    scenario::{
        MEDDLER, Scenario,
        objects::{config_map, documents, namespace},
    },
    weather::{Link, blocked_by, unblocked},
};

#[tokio::test]
async fn first_start_without_a_link_says_so_and_goes_on_when_it_is_there() {
    let name = "offline-first";
    let map = config_map(name, "first", "1");
    let files = [("all.yaml", documents(std::slice::from_ref(&map)))];
    let prepared = Scenario::prepare(name, &files, |options| options).await.unwrap();
    let Some(mut scenario) = prepared else { return };
    scenario.api.apply(&namespace(name), MEDDLER).await.unwrap();
    let link = Link::lay(&mut scenario, None).unwrap();
    link.cut().await;
    scenario.agent.start_again().unwrap();

    let blocker = blocked_by(&scenario, &["link", "cannot connect to 127.0.0.1"]).await.unwrap();
    assert!(!blocker["next_try"].is_null(), "{blocker:#}");
    let status = scenario.wait(|status| status.link.state == LinkState::Down).await.unwrap();
    assert!(status.apps.is_empty() && status.source.commit.is_none(), "{status:#?}");
    // Still so in the next life.
    scenario.agent.kill();
    scenario.agent.start_again().unwrap();
    blocked_by(&scenario, &["link", "cannot connect to 127.0.0.1"]).await.unwrap();

    link.restore().await.unwrap();
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    unblocked(&scenario).await.unwrap();
    assert!(scenario.live(&map).await.unwrap().is_some());
}

#[tokio::test]
async fn revision_is_fetched_while_the_api_server_is_down_and_applied_when_it_is_back() {
    let name = "offline-api";
    let started = ControlPlane::start_own(ControlPlaneOptions::default(), name).await.unwrap();
    let Some(mut plane) = started else { return };
    let files =
        |value: &str| [("all.yaml", documents(&[namespace(name), config_map(name, "one", value)]))];
    let mut scenario =
        Scenario::prepare_on(&plane, name, &files("1"), |options| options).await.unwrap();
    let link = Link::lay(&mut scenario, None).unwrap();
    scenario.agent.start_again().unwrap();
    let first = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&first).await.unwrap();

    plane.stop_api().unwrap();
    let second = scenario.commit(&files("2")).unwrap();
    let fetched = scenario
        .wait(|status| status.source.commit.is_some_and(|id| id.to_string() == second))
        .await
        .unwrap();
    assert_eq!(fetched.link.state, LinkState::Up);
    blocked_by(&scenario, &["api_server", "the API server cannot be reached"]).await.unwrap();
    let status = scenario.agent.status().await.unwrap();
    let good = status.apps[0].good.as_ref().map(|good| good.commit.to_string());
    assert_eq!((good, status.apps[0].bad.len()), (Some(first), 0), "{status:#?}");

    // Both ways are gone, and so was the power for a moment.
    link.cut().await;
    scenario.agent.kill();
    scenario.agent.start_again().unwrap();
    blocked_by(&scenario, &["api_server", "the API server cannot be reached"]).await.unwrap();
    blocked_by(&scenario, &["link", "cannot connect"]).await.unwrap();

    plane.start_api().await.unwrap();
    let status = scenario.good_at(&second).await.unwrap();
    assert_eq!((status.link.state, status.apps[0].phase), (LinkState::Down, PhaseName::Good));
    link.restore().await.unwrap();
    unblocked(&scenario).await.unwrap();
}
