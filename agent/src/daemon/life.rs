//! One configuration on the loop's thread, from its start to its end: makes the
//! loop, the watches and the link, and joins them.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use leeward_core::{
    model::{Seen, StatusDocument},
    report::Delivery,
};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::{
    RunError, VERSION,
    answers::Asked,
    follow::{Followed, follow},
    link::Link,
    notify::Notifier,
    progress::{Heartbeat, Stage},
    thread::Thread,
};
use crate::{
    chance,
    clock::Clock,
    cluster::Kubernetes,
    config::Config,
    metrics::Metrics,
    offload::Offload,
    reconcile::{Ask, Beat, Channels, Hooks, IN_FLIGHT, Reconciler, Settings, Start},
    report::Reporter,
    store::Store,
};

/// Sightings on their way to the loop. A full channel slows the watches down;
/// nothing is lost.
const SIGHTINGS: usize = 1024;

/// What outlives a configuration.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) clock: Clock,
    pub(super) store: Arc<Store>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) status: watch::Sender<Option<Arc<StatusDocument>>>,
    pub(super) beats: watch::Sender<Heartbeat>,
    pub(super) notifier: Rc<RefCell<Notifier>>,
    /// What became of the store at the start of the process, when it had to be set aside.
    pub(super) recovered: Option<String>,
}

impl Kept {
    /// Says that the loop is alive, and what it is about.
    pub(super) fn beat(&self, stage: Stage, line: &str) {
        let now = self.clock.uptime();
        self.notifier.borrow_mut().beat(now, line);
        self.beats.send_replace(Heartbeat { at: now, stage });
    }
}

/// What the next configuration begins with.
#[derive(Debug)]
pub(super) struct Baton {
    /// With the requests that came while there was no loop.
    pub(super) requests: mpsc::Receiver<Asked>,
    /// `Reload` once a loop has counted this boot.
    pub(super) start: Start,
}

/// A cluster that can be asked, and what its watches see.
pub(super) struct Connection {
    cluster: Kubernetes,
    sightings: mpsc::Receiver<Seen>,
}

impl Connection {
    pub(super) async fn open(config: &Config) -> Result<Self, RunError> {
        let (seen, sightings) = mpsc::channel(SIGHTINGS);
        let connecting = Kubernetes::connect(&config.cluster, seen);
        Ok(Self { cluster: connecting.await.map_err(RunError::Cluster)?, sightings })
    }
}

/// One configuration at work.
pub(super) struct Life {
    shutdown: CancellationToken,
    acting: JoinHandle<Result<Baton, RunError>>,
    watching: JoinSet<()>,
    link: Thread,
}

impl Life {
    pub(super) fn begin(
        config: Config,
        kept: Kept,
        connection: Connection,
        baton: Baton,
    ) -> Result<Self, RunError> {
        let Connection { cluster, sightings } = connection;
        let shutdown = CancellationToken::new();
        let (outcomes, polls) = mpsc::channel(1);
        let (ask_poll, asked) = watch::channel(Ask::default());
        let (reported, report_wake) = watch::channel(0);
        kept.store.set_max_size(config.store.max_size);
        let mut delivery = watch::channel(Delivery::default()).1;
        let reporter = config.report.as_ref().map(|report| {
            kept.store.set_outbox_limit(report.max_size);
            let name = &config.cluster.name;
            let reporter = Reporter::new(Arc::clone(&kept.store), name, report, chance::seed());
            delivery = reporter.delivery();
            reporter
        });
        let link = Link {
            source: config.source.clone(),
            store: Arc::clone(&kept.store),
            clock: kept.clock,
            outcomes,
            asked,
            reporter,
            reported: report_wake,
            shutdown: shutdown.clone(),
        };
        let link = link.start()?;
        let mut watching = JoinSet::new();
        watching.spawn_local(cluster.run());
        let hooks = Hooks {
            jitter: Box::new(chance::draw),
            beat: beat(kept.clone()),
            reported,
            metrics: Arc::clone(&kept.metrics),
            offload: Offload::new(|job| {
                Box::pin(async move { drop(tokio::task::spawn_blocking(job).await) })
            }),
        };
        let channels = Channels {
            sightings,
            polls,
            requests: baton.requests,
            ask_poll,
            status: kept.status.clone(),
            delivery,
            shutdown: shutdown.clone(),
        };
        let act = act(config, kept, cluster, hooks, channels, baton.start);
        let acting = tokio::task::spawn_local(act);
        Ok(Self { shutdown, acting, watching, link })
    }

    /// Waits for the end of any part, which is the end of the process. Cancel safe.
    pub(super) async fn died(&mut self) -> RunError {
        tokio::select! {
            biased;
            ended = &mut self.acting => match ended {
                Ok(Err(error)) => error,
                Ok(Ok(_)) | Err(_) => RunError::TaskDied("reconcile"),
            },
            _ = self.watching.join_next() => RunError::TaskDied("watch"),
            task = self.link.ended() => RunError::TaskDied(task),
        }
    }

    /// Ends it all in order, and returns the loop's baton. What has not ended
    /// once `patience` has is dropped, and the baton with it.
    pub(super) async fn end(mut self, patience: impl Future<Output = ()>) -> Option<Baton> {
        self.shutdown.cancel();
        let orderly = async {
            let mut baton = None;
            if !self.acting.is_finished() {
                baton = (&mut self.acting).await.ok().and_then(Result::ok);
            }
            // The watches end with the channel that the loop held.
            while self.watching.join_next().await.is_some() {}
            self.link.ended().await;
            baton
        };
        tokio::select! {
            biased;
            baton = orderly => baton,
            () = patience => {
                tracing::warn!(
                    "Some work did not end in time and is dropped; the store knows where it was."
                );
                self.acting.abort();
                None
            }
        }
    }
}

/// Decides and acts, until `channels.shutdown`, as soon as this node may.
async fn act(
    config: Config,
    kept: Kept,
    cluster: Kubernetes,
    hooks: Hooks,
    channels: Channels,
    start: Start,
) -> Result<Baton, RunError> {
    let mut lease = match follow(&cluster, &config, &kept, &channels.shutdown).await {
        Followed::NoElection => None,
        Followed::Leads(lease) => Some(lease),
        Followed::Stopped => return Ok(Baton { requests: channels.requests, start }),
    };
    let stage = if kept.status.borrow().is_some() { Stage::Runs } else { Stage::FirstRound };
    kept.beats.send_replace(Heartbeat { at: kept.clock.uptime(), stage });
    let settings = Settings {
        config,
        version: VERSION.to_owned(),
        recovered: kept.recovered,
        in_flight: IN_FLIGHT,
    };
    let (store, clock) = (&kept.store, kept.clock);
    let reconciler = Reconciler::new(settings, start, store, cluster, clock, hooks, channels)
        .map_err(RunError::Boot)?;
    let held = async {
        match &mut lease {
            Some(lease) => lease.hold().await,
            None => std::future::pending().await,
        }
    };
    let channels = tokio::select! {
        biased;
        lost = held => {
            tracing::error!(?lost, "Lost the lease; a different node acts now.");
            return Err(RunError::TaskDied("lease"));
        }
        channels = reconciler.run() => channels,
    };
    // Only after the loop has ended: whoever gets it acts at once.
    if let Some(mut lease) = lease {
        lease.release().await;
    }
    Ok(Baton { requests: channels.requests, start: Start::Reload })
}

fn beat(kept: Kept) -> Beat {
    Box::new(move |_, line| {
        let published = kept.status.borrow().is_some();
        kept.beat(if published { Stage::Runs } else { Stage::FirstRound }, line);
    })
}

/// How long a loop that was asked to end may take, unless it is asked in vain: a
/// reload waits for the longest single call to the API server, a stop does not.
pub(super) async fn patience_for_reload(stop: &CancellationToken) {
    let asked_to_stop = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        () = tokio::time::sleep(RELOAD_DRAIN) => {}
        () = asked_to_stop => {}
    }
}

/// SIGTERM: what is under way has so long to end, commits above all.
pub(super) const DRAIN: Duration = Duration::from_secs(2);
/// SIGHUP: a loop that does not end within a call to the API server (30 s) hangs.
const RELOAD_DRAIN: Duration = Duration::from_secs(35);
