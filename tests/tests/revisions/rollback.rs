//! What a bad revision leaves behind, and what overtakes it.

use std::time::{Duration, Instant};

use leeward_core::model::{AppStatus, HealthName, PhaseName};
use leeward_tests::scenario::{
    Scenario,
    objects::{
        GOOD_IMAGE, annotated, config_map, deployment, documents, image, is_rolled_out, pod,
        selector, text,
    },
};
use serde_json::{Value, json};

async fn started(name: &str, timeout: &str, manifests: &[Value]) -> Option<Scenario> {
    let files = [("all.yaml", documents(manifests))];
    let timeout = timeout.to_owned();
    let options =
        |options: leeward_tests::agent::AgentOptions| options.set("apply.timeout", timeout);
    let mut scenario = Scenario::start(name, &files, options).await.unwrap()?;
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    Some(scenario)
}

fn is_back_from(app: &AppStatus, bad: &str) -> bool {
    app.phase == PhaseName::Good && app.bad.iter().any(|one| one.commit.to_string() == bad)
}

#[tokio::test]
async fn what_a_bad_revision_brought_goes_and_what_it_removed_comes_back() {
    let name = "back-objects";
    let (web, stays, removed) = (
        deployment(name, "web", GOOD_IMAGE),
        config_map(name, "stays", "1"),
        config_map(name, "removed", "1"),
    );
    let all = [web.clone(), stays.clone(), removed.clone()];
    let Some(mut scenario) = started(name, "10s", &all).await else { return };
    let brought = config_map(name, "brought", "1");
    let next =
        [deployment(name, "web", "crash:1"), config_map(name, "stays", "2"), brought.clone()];
    let bad = scenario.commit(&[("all.yaml", documents(&next))]).unwrap();
    scenario.wait_app(name, |app| is_back_from(app, &bad)).await.unwrap();
    scenario.wait_gone(&brought).await.unwrap();
    assert!(scenario.live(&removed).await.unwrap().is_some());
    assert_eq!(text(&scenario.live(&stays).await.unwrap().unwrap(), "/data/key"), "1");
    let live = scenario.wait_live(&web, is_rolled_out).await.unwrap();
    assert_eq!(image(&live), GOOD_IMAGE);
    assert_eq!(scenario.ask(&["diff"]).await.unwrap(), (json!([]), 0));
}

#[tokio::test]
async fn deployment_that_is_never_ready_is_rolled_back_when_its_time_is_over() {
    let name = "back-timeout";
    let web = deployment(name, "web", GOOD_IMAGE);
    let Some(mut scenario) = started(name, "5s", std::slice::from_ref(&web)).await else { return };
    let started = Instant::now();
    let next = documents(&[deployment(name, "web", "slow300:1")]);
    let bad = scenario.commit(&[("all.yaml", next)]).unwrap();
    let app = scenario.wait_app(name, |app| is_back_from(app, &bad)).await.unwrap();
    let live = scenario.wait_live(&web, is_rolled_out).await.unwrap();
    let took = started.elapsed();
    println!("{name}: last good again after {took:?}, of which the timeout is 5s");
    assert_eq!(image(&live), GOOD_IMAGE);
    assert!(app.bad[0].reason.starts_with("not healthy within 5s"), "{}", app.bad[0].reason);
    assert!(app.bad[0].reason.contains("Deployment.apps back-timeout/web"));
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[tokio::test]
async fn wave_that_fails_keeps_the_next_one_out() {
    let name = "back-wave";
    let stays = config_map(name, "stays", "1");
    let Some(mut scenario) = started(name, "10s", std::slice::from_ref(&stays)).await else {
        return;
    };
    let late = annotated(config_map(name, "late", "1"), "leeward.dev/wave", "5");
    let web = deployment(name, "web", "crash:1");
    let next = documents(&[stays, web.clone(), late.clone()]);
    let bad = scenario.commit(&[("all.yaml", next)]).unwrap();
    let app = scenario.wait_app(name, |app| is_back_from(app, &bad)).await.unwrap();
    assert!(app.bad[0].reason.contains("crashes again and again"), "{}", app.bad[0].reason);
    scenario.wait_gone(&web).await.unwrap();
    assert!(scenario.live(&late).await.unwrap().is_none());
}

#[tokio::test]
async fn newer_commit_overtakes_one_that_is_still_rolled_out() {
    let name = "back-overtake";
    let web = deployment(name, "web", GOOD_IMAGE);
    let Some(mut scenario) = started(name, "5m", std::slice::from_ref(&web)).await else { return };
    let slow = documents(&[deployment(name, "web", "slow300:1")]);
    let slow = scenario.commit(&[("all.yaml", slow)]).unwrap();
    scenario.wait_app(name, |app| app.phase == PhaseName::Probation).await.unwrap();
    let started = Instant::now();
    let next = documents(&[deployment(name, "web", "app:3")]);
    let next = scenario.commit(&[("all.yaml", next)]).unwrap();
    let status = scenario.good_at(&next).await.unwrap();
    println!("{name}: good {:?} after the newer commit", started.elapsed());
    // It was not bad, only late.
    assert_eq!(status.apps[0].bad, []);
    let (history, _) = scenario.ask(&["history"]).await.unwrap();
    let line = history.as_array().unwrap().iter().find(|one| one["commit"] == slow).unwrap();
    assert_eq!(line["verdict"], "superseded");
}

#[tokio::test]
async fn stateful_set_that_crashes_is_rolled_back_and_runs_again() {
    let name = "back-stateful";
    let database = |image: &str| {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": { "name": "db", "namespace": name },
            "spec": {
                "replicas": 1, "serviceName": "db",
                "selector": selector("db"), "template": pod("db", image),
            },
        })
    };
    let good = database("db:1");
    let Some(mut scenario) = started(name, "10s", std::slice::from_ref(&good)).await else {
        return;
    };
    let started = Instant::now();
    let bad = scenario.commit(&[("all.yaml", documents(&[database("crash:1")]))]).unwrap();
    scenario.wait_app(name, |app| is_back_from(app, &bad)).await.unwrap();
    scenario.wait_app(name, |app| app.health == HealthName::Healthy).await.unwrap();
    scenario
        .wait_live(&good, |live| {
            image(live) == "db:1"
                && live["status"]["readyReplicas"] == 1
                && live["status"]["currentRevision"] == live["status"]["updateRevision"]
        })
        .await
        .unwrap();
    println!("{name}: last good again after {:?}", started.elapsed());
}
