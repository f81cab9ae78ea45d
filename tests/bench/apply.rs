//! From nothing to all healthy: the agent, with its preflight of every object,
//! beside raw server-side applies of the same objects.
//!
//! One ratio counts from the moment when the agent has the revision, as raw
//! applies have their manifests; a second one from the start of its process,
//! which connects, fetches and renders besides.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use leeward_tests::{
    controlplane::{Api, ControlPlane, ControlPlaneOptions},
    scenario::{
        MEDDLER, Scenario, is_good_at,
        objects::{documents, is_rolled_out, namespace, thirds},
    },
    weather::median,
};
use serde_json::{Value, json};

use crate::report::{self, Promises};

pub(crate) const SIZES: [usize; 3] = [10, 100, 1000];
/// Raw applies under way at once.
const RAW_IN_FLIGHT: usize = 16;
/// From the fetch, of the raw applies' time.
const RATIO: f64 = 1.2;
/// From the start of the process, of the raw applies' time, for so many objects.
const RATIO_FROM_START: [(usize, f64); 2] = [(100, 1.4), (1000, 1.15)];
/// Seconds from the fetch of one change to a healthy rollout.
const CHANGE_SECONDS: f64 = 1.0;
const CHANGES: u32 = 5;
const TIMEOUT: Duration = Duration::from_secs(300);
/// Looking costs the API server something too: a fiftieth of what is measured, at least this.
const LOOK: Duration = Duration::from_millis(20);
const NAME: &str = "figures-apply";

pub(crate) async fn run(promises: &mut Promises, sizes: &[usize], rounds: usize) -> Result<()> {
    report::title(&format!("Apply: start to all healthy, medians of {rounds}"));
    for objects in sizes {
        let mut raw = Vec::new();
        let (mut started, mut ours, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            report::doing(&format!("{objects} objects, round {} of {rounds}", round + 1));
            raw.push(raw_applies(*objects).await.context("raw applies")?);
            let measured = agent(*objects).await.context("agent")?;
            started.push(measured.from_start);
            ours.push(measured.from_fetch);
            changes.extend(measured.changes);
        }
        let [raw, started, ours] = [raw, started, ours].map(|times| median(times).as_secs_f64());
        report::figure(&format!("{objects} objects, raw applies"), &format!("{raw:.2} s"));
        let what = format!("{objects} objects, leeward, from the start of its process");
        report::figure(&what, &format!("{started:.2} s"));
        let what = format!("{objects} objects, leeward, from its fetch");
        report::figure(&what, &format!("{ours:.2} s"));
        promises.at_most(&format!("{objects} objects, ratio"), ours / raw, RATIO, "");
        let what = format!("{objects} objects, ratio from the start of the process");
        match RATIO_FROM_START.iter().find(|(promised, _)| promised == objects) {
            Some((_, bound)) => promises.at_most(&what, started / raw, *bound, ""),
            None => report::figure(&what, &format!("{:.2}", started / raw)),
        }
        let change = median(changes).as_secs_f64();
        let what = format!("one changed among {objects}: fetched to healthy");
        promises.at_most(&what, change, CHANGE_SECONDS, "s");
    }
    Ok(())
}

async fn raw_applies(objects: usize) -> Result<Duration> {
    let plane = ControlPlane::start(ControlPlaneOptions::default()).await?;
    plane.api().await?.apply(&namespace(NAME), MEDDLER).await?;
    let manifests = thirds(NAME, objects, 1);
    let started = Instant::now();
    // A new client, which connects and looks its kinds up, because the agent is new too.
    let api = plane.api().await?;
    let applies = stream::iter(&manifests).map(|manifest| api.apply(manifest, MEDDLER));
    applies.buffer_unordered(RAW_IN_FLIGHT).try_for_each(|_| async { Ok(()) }).await?;
    all_healthy(&api, &manifests, started).await
}

struct Measured {
    from_start: Duration,
    from_fetch: Duration,
    /// For single changes, from each one's fetch to its being rolled out.
    changes: Vec<Duration>,
}

async fn agent(objects: usize) -> Result<Measured> {
    let plane = ControlPlane::start(ControlPlaneOptions::default()).await?;
    let manifests = thirds(NAME, objects, 1);
    let files = [("all.yaml", documents(&manifests))];
    let options = |options: leeward_tests::agent::AgentOptions| options.set("apply.timeout", "5m");
    let mut scenario = Scenario::prepare_on(&plane, NAME, &files, options).await?;
    scenario.api.apply(&namespace(NAME), MEDDLER).await?;
    let started = Instant::now();
    scenario.agent.start_again()?;
    let from_start = all_healthy(&scenario.api, &manifests, started).await?;
    let from_fetch = since_fetch(&scenario, Timestamp::now()).await?;
    let mut head = scenario.repository.head()?.context("no commit")?;
    let mut changes = Vec::new();
    for number in 0..CHANGES {
        settle(&mut scenario, &head).await?;
        let mut changed = manifests.clone();
        changed[1]["spec"]["template"]["metadata"]["annotations"] =
            json!({ "n": number.to_string() });
        head = scenario.commit(&[("all.yaml", documents(&changed))])?;
        let pointer = "/spec/template/metadata/annotations/n";
        scenario
            .wait_live(&changed[1], |live| {
                live.pointer(pointer) == changed[1].pointer(pointer) && is_rolled_out(live)
            })
            .await?;
        changes.push(since_fetch(&scenario, Timestamp::now()).await?);
    }
    Ok(Measured { from_start, from_fetch, changes })
}

/// From the newest fetch until `done`, both by this machine's clock.
async fn since_fetch(scenario: &Scenario, done: Timestamp) -> Result<Duration> {
    let status = scenario.agent.status().await?;
    let fetched = status.source.fetched_at.context("nothing was fetched")?;
    Ok(Duration::try_from(done.duration_since(fetched)).unwrap_or_default())
}

async fn settle(scenario: &mut Scenario, head: &str) -> Result<()> {
    let good = |app: &leeward_core::model::AppStatus| is_good_at(app, head);
    scenario.agent.wait_status(TIMEOUT, |status| status.apps.iter().any(good)).await.map(drop)
}

/// Waits until every Deployment is rolled out and everything else is there.
///
/// Looking must not slow down what is measured: a list of hundreds of Deployments
/// costs the API server as much as many applies. So lists begin only when those
/// Deployments are rolled out that come last, by their place and by their name.
async fn all_healthy(api: &Api, manifests: &[Value], started: Instant) -> Result<Duration> {
    let deployments = || manifests.iter().filter(|manifest| manifest["kind"] == "Deployment");
    let by_name = deployments().max_by_key(|manifest| manifest["metadata"]["name"].as_str());
    for last in deployments().next_back().into_iter().chain(by_name) {
        let path = api.path_of(last).await?;
        while !api.get(&path).await?.is_some_and(|live| is_rolled_out(&live)) {
            pause(started).await?;
        }
    }
    let lists = [
        ("Deployment", format!("/apis/apps/v1/namespaces/{NAME}/deployments")),
        ("ConfigMap", format!("/api/v1/namespaces/{NAME}/configmaps")),
        ("Service", format!("/api/v1/namespaces/{NAME}/services")),
    ];
    for (kind, path) in lists {
        let wanted: Vec<&str> = manifests
            .iter()
            .filter(|manifest| manifest["kind"] == kind)
            .filter_map(|manifest| manifest["metadata"]["name"].as_str())
            .collect();
        loop {
            let listed = api.list(&path).await?;
            let ready = |name: &&str| {
                let found = listed.iter().find(|live| live["metadata"]["name"] == *name);
                found.is_some_and(|live| kind != "Deployment" || is_rolled_out(live))
            };
            if wanted.iter().all(ready) {
                break;
            }
            pause(started).await?;
        }
    }
    Ok(started.elapsed())
}

/// Waits before the next look, or no longer once that is hopeless.
async fn pause(started: Instant) -> Result<()> {
    ensure!(started.elapsed() < TIMEOUT, "not everything is healthy after {TIMEOUT:?}");
    tokio::time::sleep((started.elapsed() / 50).max(LOOK)).await;
    Ok(())
}
