//! Wiring, threads, signals, the watchdog, HTTP and the control socket.
//!
//! The only room that spawns. One task owns all decisions (`reconcile`); the
//! others poll, watch, report and serve. They live on three threads, so that
//! what blocks one does not stop the others:
//!
//! - the *loop* (`life`), which is the main thread: the reconciler, the watches
//!   of the cluster, the lease, the notifier;
//! - the *link* (`link`): the poller and the reporter;
//! - the *desk* (`desk`): HTTP, the control socket, signals.
//!
//! The death of any of them ends the process: systemd or the kubelet starts it
//! again, and the store knows where it was. A reload makes the loop and the link
//! anew; the desk and the store stay.

pub mod answers;
mod connections;
pub mod control;
mod desk;
mod follow;
pub mod http;
mod life;
mod link;
pub mod notify;
pub mod progress;
mod reload;
pub mod signals;
mod thread;

use std::{cell::RefCell, io, rc::Rc, sync::Arc};

use leeward_core::model::{StatusDocument, chain};
use tokio::{
    sync::{mpsc, watch},
    task::LocalSet,
};
use tokio_util::sync::CancellationToken;

use self::{
    answers::{Answers, Asked, Shown},
    desk::{Desk, Equipment, Place},
    http::Endpoints,
    life::{Baton, Connection, DRAIN, Kept, Life, patience_for_reload},
    notify::Notifier,
    progress::{Heartbeat, Stage},
    reload::refusal,
};
use crate::{
    clock::Clock,
    cluster::ConnectError,
    config::Config,
    metrics::Metrics,
    reconcile::Start,
    store::{OpenStoreError, Opened, Store},
};

pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Requests on their way to the loop.
const REQUESTS: usize = answers::LOOP_REQUESTS_MAX;
/// Threads beside the loop's, for name lookups and for work that it hands over.
/// With those of the link and of the desk below `TasksMax=` of the unit.
const LOOP_BLOCKING: usize = 24;

/// Why the daemon cannot run, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("cannot start a thread with its runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot listen to signals")]
    Signals(#[source] signals::InstallError),
    #[error("cannot open the store")]
    Store(#[source] OpenStoreError),
    #[error("cannot record the start in the store")]
    Boot(#[source] crate::store::StoreError),
    #[error("cannot open the control socket")]
    Control(#[source] control::ListenError),
    #[error("cannot serve health and metrics")]
    Http(#[source] http::ListenError),
    #[error("cannot use the cluster's configuration")]
    Cluster(#[source] ConnectError),
    #[error("the {0} task ended; the process ends with it")]
    TaskDied(&'static str),
    #[error("the loop did not end for the new configuration; the process ends instead")]
    Hangs,
}

/// Runs until SIGTERM or SIGINT. `reload` is asked for the configuration again
/// at every SIGHUP; one that is refused is said so, and the old one stays.
pub fn run(config: Config, reload: impl Fn() -> Option<Config>) -> Result<(), RunError> {
    let runtime = thread::runtime(LOOP_BLOCKING).map_err(RunError::Runtime)?;
    let result = runtime.block_on(LocalSet::new().run_until(until_stopped(config, reload)));
    // Dropping it would wait for every name lookup that hangs.
    runtime.shutdown_background();
    result
}

async fn until_stopped(
    config: Config,
    reload: impl Fn() -> Option<Config>,
) -> Result<(), RunError> {
    let clock = Clock::system();
    let stop = CancellationToken::new();
    let (hang_ups, hung_up) = mpsc::channel(1);
    let (requests, asked) = mpsc::channel::<Asked>(REQUESTS);
    let metrics = Arc::new(Metrics::new());
    let (status, published) = watch::channel(None::<Arc<StatusDocument>>);
    let (beats, heartbeat) =
        watch::channel(Heartbeat { at: clock.uptime(), stage: Stage::OpensStore });
    let (shown_store, seen_store) = watch::channel(None);
    let endpoints =
        Endpoints { heartbeat: heartbeat.clone(), metrics: Arc::clone(&metrics), clock };
    let shown = Shown { heartbeat, status: published, store: seen_store };
    let answers = Answers::new(clock, shown, requests);
    let equipment = Equipment { endpoints, answers, stop: stop.clone(), hang_ups };
    // The desk comes first: opening the store may take minutes.
    let mut desk = Desk::open(Place::from(&config), equipment)?;
    let Opened { store, recovered } =
        Store::open(&config.store.path, config.store.max_size).map_err(RunError::Store)?;
    desk.opened().await?;
    let store = Arc::new(store);
    shown_store.send_replace(Some(Arc::clone(&store)));
    beats.send_replace(Heartbeat { at: clock.uptime(), stage: Stage::FirstRound });
    let recovered = recovered
        .map(|found| format!("{}; the former store is kept as {}", found.reason, found.set_aside));
    let notifier = Rc::new(RefCell::new(Notifier::from_environment()));
    let kept = Kept { clock, store, metrics, status, beats, notifier, recovered };
    let mut lives = Lives { config, kept, desk, stop, hung_up };
    let result = lives.live(asked, reload).await;
    // The last owner closes the store in order.
    shown_store.send_replace(None);
    drop(lives.kept);
    lives.desk.close().await;
    result
}

/// One configuration after the other.
struct Lives {
    config: Config,
    kept: Kept,
    desk: Desk,
    stop: CancellationToken,
    hung_up: mpsc::Receiver<()>,
}

/// Why it does not just go on.
enum Turn {
    Stopped,
    HungUp,
    Died(RunError),
}

impl Lives {
    async fn live(
        &mut self,
        requests: mpsc::Receiver<Asked>,
        reload: impl Fn() -> Option<Config>,
    ) -> Result<(), RunError> {
        let connection = Connection::open(&self.config).await?;
        let first = Baton { requests, start: Start::Boot };
        let mut life = Life::begin(self.config.clone(), self.kept.clone(), connection, first)?;
        self.ready("started");
        loop {
            match self.turn(&mut life).await {
                Turn::Stopped => {
                    self.kept.notifier.borrow().stopping();
                    let ended = life.end(tokio::time::sleep(DRAIN)).await;
                    if ended.is_some_and(|baton| baton.start == Start::Reload) {
                        self.record_clean_end();
                    }
                    return Ok(());
                }
                Turn::Died(error) => {
                    self.kept.notifier.borrow().stopping();
                    life.end(tokio::time::sleep(DRAIN)).await;
                    return Err(error);
                }
                Turn::HungUp => {
                    self.kept.notifier.borrow().reloading();
                    if let Some((config, connection)) = self.reconsider(&reload).await {
                        let ended = life.end(patience_for_reload(&self.stop)).await;
                        let Some(baton) = ended else { return self.hangs() };
                        self.config = config;
                        let (config, kept) = (self.config.clone(), self.kept.clone());
                        life = Life::begin(config, kept, connection, baton)?;
                    }
                    self.ready("read the configuration again");
                }
            }
        }
    }

    async fn turn(&mut self, life: &mut Life) -> Turn {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Turn::Stopped,
            // Cancel safe, all of them.
            Some(()) = self.hung_up.recv() => Turn::HungUp,
            error = life.died() => Turn::Died(error),
            task = self.desk.ended() => Turn::Died(RunError::TaskDied(task)),
        }
    }

    /// The configuration as it is now, and a connection to its cluster; `None`
    /// when the old one stays, which goes on undisturbed.
    async fn reconsider(
        &self,
        reload: &impl Fn() -> Option<Config>,
    ) -> Option<(Config, Connection)> {
        let refused = |why: Option<String>| {
            tracing::error!(why, "The new configuration is refused; the old one stays.");
        };
        let Some(config) = reload() else {
            // What is wrong with it has been said already.
            refused(None);
            return None;
        };
        if let Some(why) = refusal(&self.config, &config) {
            refused(Some(why));
            return None;
        }
        let connection = match Connection::open(&config).await {
            Ok(connection) => connection,
            Err(error) => {
                refused(Some(chain(&error)));
                return None;
            }
        };
        if let Err(error) = self.desk.move_to(Place::from(&config)).await {
            refused(Some(chain(&error)));
            return None;
        }
        tracing::info!("Read the configuration again.");
        Some((config, connection))
    }

    fn ready(&self, line: &str) {
        self.kept.notifier.borrow_mut().ready(self.kept.clock.uptime(), line);
    }

    fn record_clean_end(&self) {
        if let Err(error) = self.kept.store.end_boot() {
            tracing::warn!(%error, "Cannot record a clean end.");
        }
    }

    /// Asked to stop while it waited, or not.
    fn hangs(&self) -> Result<(), RunError> {
        if self.stop.is_cancelled() { Ok(()) } else { Err(RunError::Hangs) }
    }
}
