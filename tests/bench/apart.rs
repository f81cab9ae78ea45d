//! Two apps: how long an edit of one lasts, and how soon `status` is answered,
//! while the other is in trouble of five kinds.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use leeward_tests::{
    agent::{AgentOptions, socket},
    controlplane::{ControlPlane, ControlPlaneOptions},
    scenario::{
        apart::Apart,
        damage::Damage,
        trouble::{Begun, Trouble},
    },
    weather::percentile,
};
use leeward_wire::control::Request;

use crate::report::{self, Promises};

/// Edits in each kind of trouble: enough for a percentile, within a minute.
const EDITS: usize = 60;
/// Between a heal and the next edit up to so many milliseconds, so that edits
/// come at any moment of what the agent does, and are not taken for a fight.
const PAUSE_MILLIS: usize = 500;
const PAUSE_STEP: usize = 137;
/// Between two questions over the socket: some thousand in each kind of trouble.
const ASK_AGAIN: Duration = Duration::from_millis(10);
/// Trouble is not to end because the app gives up.
const TIMEOUT: &str = "1h";

/// Seconds, as the issue that the figures are for has them.
const P95_SECONDS: f64 = 1.0;
const LONGEST_SECONDS: f64 = 2.0;
const STATUS_P99_MS: f64 = 100.0;

pub(crate) async fn run(promises: &mut Promises) -> Result<()> {
    report::title(&format!("Apart: {EDITS} edits of an app while a different one is in trouble"));
    report::doing("starting a control plane");
    let plane = ControlPlane::start(ControlPlaneOptions::default()).await?;
    let troubles = Trouble::ALL.map(Some);
    for trouble in std::iter::once(None).chain(troubles) {
        let (word, what) = named(trouble);
        report::doing(what);
        let measured = measure(&plane, &format!("figures-apart-{word}"), trouble).await;
        show(promises, what, measured.context(what)?);
    }
    Ok(())
}

/// A part of a name, and what is shown.
fn named(trouble: Option<Trouble>) -> (&'static str, &'static str) {
    match trouble {
        None => ("calm", "no trouble"),
        Some(Trouble::Bulk) => ("bulk", "1,000 objects are applied"),
        Some(Trouble::Replacement) => ("replace", "a replacement waits for a finalizer"),
        Some(Trouble::Foundation) => ("crd", "a definition is never ready"),
        Some(Trouble::Terminating) => ("leaving", "its namespace terminates"),
        Some(Trouble::Webhook) => ("webhook", "a webhook hangs for 30 s"),
    }
}

#[derive(Default)]
struct Measured {
    heals: Vec<Duration>,
    /// Answers of the daemon to whoever speaks its socket's lines.
    by_socket: Vec<Duration>,
    /// Whole runs of `leeward status`.
    by_process: Vec<Duration>,
}

async fn measure(plane: &ControlPlane, name: &str, trouble: Option<Trouble>) -> Result<Measured> {
    let before = trouble.unwrap_or(Trouble::Bulk).before(name);
    let options = |options: AgentOptions| options.set("apply.timeout", TIMEOUT);
    let mut apart = Apart::prepare_on(plane, name, &before, options).await?;
    apart.start().await?;
    let mut begun = None;
    if let Some(trouble) = trouble {
        begun = Some(trouble.begin(&mut apart).await?);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let asking = {
        let (socket, stop) = (apart.scenario.agent.socket_path(), Arc::clone(&stop));
        tokio::task::spawn_blocking(move || ask_until(&socket, &stop))
    };
    let mut measured = Measured::default();
    let edited = edit(&mut apart, begun.as_mut(), &mut measured).await;
    stop.store(true, Ordering::Relaxed);
    measured.by_socket = asking.await??;
    edited?;
    if let Some(begun) = begun {
        begun.end(&apart).await?;
    }
    Ok(measured)
}

/// Times questions over the socket, one after the other. Blocks.
fn ask_until(socket: &Path, stop: &AtomicBool) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        socket::exchange(socket, &Request::Status)?;
        times.push(started.elapsed());
        std::thread::sleep(ASK_AGAIN);
    }
    Ok(times)
}

/// Times edits until they are healed, and runs of the CLI between them.
async fn edit(
    apart: &mut Apart,
    mut begun: Option<&mut Begun>,
    measured: &mut Measured,
) -> Result<()> {
    for round in 0..EDITS {
        // Spread by a step that shares no factor with the whole.
        let pause = round * PAUSE_STEP % PAUSE_MILLIS;
        tokio::time::sleep(Duration::from_millis(pause as u64)).await;
        let started = Instant::now();
        let status = apart.scenario.agent.status().await?;
        measured.by_process.push(started.elapsed());
        if let Some(begun) = &mut begun {
            begun.keep_up(apart, &status).await?;
        }
        measured
            .heals
            .push(Damage::EditedData.healed_after(&apart.scenario, apart.map(round), round).await?);
    }
    Ok(())
}

fn show(promises: &mut Promises, what: &str, measured: Measured) {
    let Measured { heals, by_socket, by_process } = measured;
    let asked = by_socket.len();
    let seconds = |times: &[Duration], percent| percentile(times.to_vec(), percent).as_secs_f64();
    let median = seconds(&heals, 50);
    report::figure(&format!("{what}: healed, median"), &format!("{median:.2} s"));
    let [p95, longest] = [95, 100].map(|percent| seconds(&heals, percent));
    promises.at_most(&format!("{what}: healed, p95"), p95, P95_SECONDS, "s");
    promises.at_most(&format!("{what}: healed, longest"), longest, LONGEST_SECONDS, "s");
    let millis = |times: &[Duration]| {
        [50, 99, 100].map(|percent| format!("{:.1}", seconds(times, percent) * 1000.0)).join(" / ")
    };
    report::figure(
        &format!("{asked} answers: median / p99 / longest"),
        &(millis(&by_socket) + " ms"),
    );
    report::figure("`leeward status`, the process", &(millis(&by_process) + " ms"));
    let p99 = seconds(&by_socket, 99);
    promises.at_most(&format!("{what}: status, p99"), p99 * 1000.0, STATUS_P99_MS, "ms");
}
