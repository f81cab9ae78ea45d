//! Started with the store alone.

use std::time::{Duration, Instant};

use leeward_core::model::LinkState;
use leeward_tests::{
    controlplane::{ControlPlane, ControlPlaneOptions},
    scenario::{
        Scenario,
        objects::{
            GOOD_IMAGE, config_map, deployment, documents, is_rolled_out, namespace, service, uid,
        },
    },
    weather::{Link, blocked_by, median, say},
};
use serde_json::Value;

/// Five times what the project promises, on a machine that does other things too.
const AT_MOST: Duration = Duration::from_secs(10);
const ROUNDS: usize = 3;

fn workloads(namespace: &str) -> Vec<Value> {
    let mut all = vec![config_map(namespace, "settings", "1"), service(namespace, "web", 80)];
    all.extend(["web", "till", "stock"].map(|name| deployment(namespace, name, GOOD_IMAGE)));
    all
}

/// Waits until all objects are there, not as `before` but new; returns how
/// long that took, and how long until the workloads ran.
async fn back(scenario: &Scenario, all: &[Value], before: &[String]) -> (Duration, Duration) {
    let started = Instant::now();
    for manifest in all {
        let is_new = |live: &Value| !before.contains(&uid(live));
        scenario.wait_live(manifest, is_new).await.unwrap();
    }
    let there = started.elapsed();
    for manifest in all.iter().filter(|manifest| manifest["kind"] == "Deployment") {
        scenario.wait_live(manifest, is_rolled_out).await.unwrap();
    }
    (there, started.elapsed())
}

async fn uids(scenario: &Scenario, all: &[Value]) -> Vec<String> {
    let mut uids = Vec::new();
    for manifest in all {
        uids.push(uid(&scenario.live(manifest).await.unwrap().unwrap()));
    }
    uids
}

#[tokio::test]
async fn workloads_deleted_while_it_was_dead_are_back_without_a_link() {
    let name = "offline-deleted";
    let all = workloads(name);
    let files = [("all.yaml", documents(&[vec![namespace(name)], all.clone()].concat()))];
    let prepared = Scenario::prepare(name, &files, |options| options).await.unwrap();
    let Some(mut scenario) = prepared else { return };
    let link = Link::lay(&mut scenario, None).unwrap();
    scenario.agent.start_again().unwrap();
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();

    let (mut there, mut running) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        link.cut().await;
        scenario.agent.kill();
        let before = uids(&scenario, &all).await;
        for manifest in &all {
            scenario.remove(manifest).await.unwrap();
        }
        for manifest in &all {
            scenario.wait_gone(manifest).await.unwrap();
        }
        scenario.agent.start_again().unwrap();
        let took = back(&scenario, &all, &before).await;
        there.push(took.0);
        running.push(took.1);
        let status = scenario.wait(|status| status.link.state == LinkState::Down).await.unwrap();
        assert_eq!(status.source.commit.map(|id| id.to_string()).as_deref(), Some(&*commit));
    }
    say(&format!(
        "from SIGKILL, with the store alone: there {:?} after the start, running after {:?} (medians of {ROUNDS}: {there:?}, {running:?})",
        median(there.clone()),
        median(running.clone())
    ));
    blocked_by(&scenario, &["link", "cannot connect"]).await.unwrap();
    assert!(there.iter().all(|time| *time <= AT_MOST), "{there:?}");
}

#[tokio::test]
async fn wiped_cluster_is_built_again_without_a_link() {
    let name = "offline-wiped";
    let started = ControlPlane::start_own(ControlPlaneOptions::default(), name).await.unwrap();
    let Some(mut plane) = started else { return };
    let all = [vec![namespace(name)], workloads(name)].concat();
    let files = [("all.yaml", documents(&all))];
    let mut scenario = Scenario::prepare_on(&plane, name, &files, |options| options).await.unwrap();
    let link = Link::lay(&mut scenario, None).unwrap();
    scenario.agent.start_again().unwrap();
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();

    link.cut().await;
    scenario.agent.kill();
    let before = uids(&scenario, &all).await;
    plane.wipe().await.unwrap();
    scenario.api = plane.api().await.unwrap();
    scenario.agent.start_again().unwrap();
    let (there, running) = back(&scenario, &all, &before).await;
    say(&format!("wiped while dead: there {there:?} after the start, running after {running:?}"));
    assert!(there <= AT_MOST, "{there:?}");

    // Once more under an agent that lives: it hears that the API server went, no more.
    let before = uids(&scenario, &all).await;
    plane.wipe().await.unwrap();
    scenario.api = plane.api().await.unwrap();
    let (there, running) = back(&scenario, &all, &before).await;
    say(&format!(
        "wiped under it: there {there:?} after the cluster was usable, running {running:?}"
    ));

    link.restore().await.unwrap();
    let next = scenario.commit(&[("more.yaml", documents(&[config_map(name, "more", "1")]))]);
    scenario.good_at(&next.unwrap()).await.unwrap();
}
