//! What an agent takes of a small board: memory, processor and disk while
//! nothing happens, and the most that it ever took.

mod binaries;
mod board;
mod page;
mod text;

use std::time::Duration;

use anyhow::{Context, Result};
use leeward_core::model::StatusDocument;
use leeward_tests::{
    agent::{AgentOptions, Footprint},
    controlplane::{ControlPlane, ControlPlaneOptions},
    scenario::{
        MEDDLER, Scenario,
        objects::{documents, namespace, thirds},
    },
    weather::Link,
};

use crate::report::{self, Promises};

pub(crate) use binaries::Released;
pub(crate) use page::measure as measure_releases;

pub(crate) const SIZES: [usize; 2] = [200, 1000];
/// After the last pod is up, until nothing of the start is under way any more.
const SETTLE: Duration = Duration::from_secs(60);
/// From the start to good, on an emulated processor too.
const SOAKED: Duration = Duration::from_secs(600);
const MIB: f64 = 1024.0 * 1024.0;
/// What is promised: MiB at rest for up to so many objects, per cent of one
/// processor, KiB written in ten minutes.
const RESIDENT_MIB: [(usize, f64); 2] = [(200, 15.0), (1000, 25.0)];
const CPU_PERCENT: f64 = 0.1;
const WRITTEN_KIB: f64 = 16.0;

pub(crate) async fn run(promises: &mut Promises, sizes: &[usize], idle: Duration) -> Result<()> {
    for objects in sizes {
        one(promises, *objects, idle).await.with_context(|| format!("{objects} objects"))?;
    }
    Ok(())
}

/// As installed: the intervals and the log level are the agent's own.
fn as_installed(options: AgentOptions) -> AgentOptions {
    options
        .unset("source", "interval")
        .unset("apply", "soak")
        .unset("apply", "timeout")
        .unset("log", "level")
        .set("apply.timeout", "5m")
}

/// An agent that has applied so many objects and has not started.
async fn prepare(
    plane: &ControlPlane,
    name: &str,
    objects: usize,
    adapt: impl FnOnce(AgentOptions) -> AgentOptions,
) -> Result<Scenario> {
    let files = [("all.yaml", documents(&thirds(name, objects, 1)))];
    let scenario =
        Scenario::prepare_on(plane, name, &files, |options| adapt(as_installed(options))).await?;
    scenario.api.apply(&namespace(name), MEDDLER).await?;
    Ok(scenario)
}

/// Waits until all is good, and then until nothing of the start is under way any more.
async fn settle(scenario: &mut Scenario) -> Result<()> {
    let commit = scenario.repository.head()?.context("no commit")?;
    let good = |status: &StatusDocument| {
        status.apps.iter().any(|app| leeward_tests::scenario::is_good_at(app, &commit))
    };
    scenario.agent.wait_status(SOAKED, good).await?;
    tokio::time::sleep(SETTLE).await;
    Ok(())
}

async fn one(promises: &mut Promises, objects: usize, idle: Duration) -> Result<()> {
    let minutes = idle.as_secs_f64() / 60.0;
    report::title(&format!("Footprint: {objects} objects, {minutes} minutes at rest"));
    report::doing("starting a control plane");
    let plane = ControlPlane::start(ControlPlaneOptions::default()).await?;
    let mut scenario = prepare(&plane, "figures-footprint", objects, |options| options).await?;
    let link = Link::lay(&mut scenario, None)?;
    scenario.agent.start_again()?;
    settle(&mut scenario).await?;
    report::doing("watching it rest");
    let (before, polls) = (scenario.agent.footprint()?, link.counts());
    tokio::time::sleep(idle).await;
    let (after, polled) = (scenario.agent.footprint()?, link.counts().since(polls));

    let limit = RESIDENT_MIB.iter().find(|(upto, _)| objects <= *upto);
    let resident = mib(after.resident);
    match limit {
        Some((_, limit)) => promises.at_most("resident at rest", resident, *limit, "MiB"),
        None => report::figure("resident at rest", &format!("{resident:.2} MiB")),
    }
    report::figure("resident, the most ever", &format!("{:.2} MiB", mib(after.peak_resident)));
    promises.at_most("processor at rest", cpu_percent(before, after, idle), CPU_PERCENT, "%");
    let written = kib(after.disk_written - before.disk_written);
    promises.at_most(
        "written to disk at rest",
        written,
        WRITTEN_KIB * (minutes / 10.0).max(1.0),
        "KiB",
    );
    report::figure("processor until good", &format!("{} ms", before.cpu.as_millis()));
    report::figure("written to disk until good", &format!("{:.0} KiB", kib(before.disk_written)));
    report::figure("threads", &after.threads.to_string());
    let traffic = polled.traffic;
    let per_poll = (traffic.up + traffic.down).checked_div(traffic.turns).unwrap_or_default();
    let polls = format!("{} of {per_poll} bytes", traffic.turns);
    report::figure(&format!("polls, on {} new connections", polled.connections), &polls);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a process has less than 2^52 bytes")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

fn kib(bytes: u64) -> f64 {
    mib(bytes) * 1024.0
}

fn cpu_percent(before: Footprint, after: Footprint, idle: Duration) -> f64 {
    after.cpu.saturating_sub(before.cpu).as_secs_f64() / idle.as_secs_f64() * 100.0
}
