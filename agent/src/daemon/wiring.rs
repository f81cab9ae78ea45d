//! One configuration from start to stop: makes the parts and joins them.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use leeward_core::{
    model::{FetchFailure, Fetched, FetchedFolder, GitId, StatusDocument},
    report::Delivery,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    RunError, control,
    http::{self, Endpoints, Heartbeat},
    notify::Notifier,
};
use crate::{
    chance,
    clock::Clock,
    cluster::{Kubernetes, LeaseHolder},
    config::Config,
    edge::Fetch,
    metrics::Metrics,
    reconcile::{Ask, Beat, Channels, Elsewhere, Hooks, Poller, Reconciler, Settings},
    report::Reporter,
    source::GitSource,
    store::{Batch, Store},
};

pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Sightings on their way to the loop. A full channel slows the watches down;
/// nothing is lost.
const SIGHTINGS: usize = 1024;
/// People who ask at the same time.
const REQUESTS: usize = 16;
/// SIGTERM: what is in flight has so long to end; systemd kills after 90 s.
const DRAIN: Duration = Duration::from_secs(30);
/// A follower says that it lives as often as the loop would.
const FOLLOWER_BEAT: Duration = Duration::from_secs(10);

/// Why this configuration ended.
pub(super) enum End {
    Stopped,
    HungUp,
}

/// Git, remembering in the store what it learned about the server.
struct RememberingSource {
    source: GitSource<Arc<Store>>,
    store: Arc<Store>,
    url: String,
}

impl RememberingSource {
    fn remember(&mut self) {
        if let Some(memory) = self.source.take_changed_memory() {
            let link = vec![(self.url.clone(), memory)];
            if let Err(error) = self.store.commit(Batch { link, ..Batch::default() }) {
                tracing::warn!(%error, "Cannot remember what the remote can do.");
            }
        }
    }
}

impl Fetch for RememberingSource {
    async fn fetch(&mut self, have: Option<GitId>) -> Result<Fetched, FetchFailure> {
        let result = self.source.fetch(have).await;
        self.remember();
        result
    }

    async fn fetch_folder(
        &mut self,
        commit: GitId,
        have: Option<GitId>,
        folder: &str,
        most: u64,
    ) -> Result<FetchedFolder, FetchFailure> {
        let result = self.source.fetch_folder(commit, have, folder, most).await;
        self.remember();
        result
    }
}

#[expect(clippy::too_many_lines, reason = "the parts are made and joined in one place, in order")]
pub(super) async fn serve(
    config: Config,
    clock: Clock,
    stop: CancellationToken,
    hung_up: &mut mpsc::Receiver<()>,
    notifier: Notifier,
) -> Result<(End, Notifier), RunError> {
    let opened = Store::open(&config.store.path, config.store.max_size).map_err(RunError::Store)?;
    let store = Arc::new(opened.store);
    if let Some(report) = &config.report {
        store.set_outbox_limit(report.max_size);
    }
    let shutdown = stop.child_token();
    let metrics = Arc::new(Metrics::new());
    let (sightings_in, sightings) = mpsc::channel(SIGHTINGS);
    let (requests_in, requests) = mpsc::channel(REQUESTS);
    let (outcomes, polls) = mpsc::channel(1);
    let (ask_poll, asked) = watch::channel(Ask::default());
    let (status, status_seen) = watch::channel(None);
    let (reported, report_wake) = watch::channel(0);
    let (beats, heartbeat) =
        watch::channel(Heartbeat { at: clock.uptime(), store_open: true, status_published: false });

    let mut tasks: JoinSet<&'static str> = JoinSet::new();
    let endpoints = Endpoints { heartbeat, metrics: Arc::clone(&metrics), clock };
    serve_http(&config, endpoints, &shutdown, &mut tasks).await?;
    let socket = control::listen(&config.control.socket).await.map_err(RunError::Control)?;
    let serving = control::serve(socket, requests_in, shutdown.clone());
    tasks.spawn_local(named("control socket", serving));

    let cluster =
        Kubernetes::connect(&config.cluster, sightings_in).await.map_err(RunError::Cluster)?;
    tasks.spawn_local(named("watch", cluster.run()));
    let notifier = Rc::new(RefCell::new(notifier));
    let lead = follow(&cluster, &config, clock, &beats, &notifier, &shutdown).await;
    if let Some(mut lease) = lead {
        let shutdown = shutdown.clone();
        tasks.spawn_local(named("lease", async move {
            tokio::select! {
                lost = lease.hold() => tracing::error!(?lost, "Lost the lease; another node acts now."),
                () = shutdown.cancelled() => lease.release().await,
            }
        }));
    }

    let poller = Poller {
        fetch: RememberingSource {
            source: GitSource::new(
                config.source.clone(),
                Arc::clone(&store),
                store.link(&config.source.url).map_err(RunError::Boot)?.as_deref(),
            ),
            store: Arc::clone(&store),
            url: config.source.url.clone(),
        },
        store: Arc::clone(&store),
        boundary: config.source.boundary(BTreeMap::new()),
        elsewhere: Elsewhere::default(),
        interval: config.source.interval,
        outcomes,
        asked,
        shutdown: shutdown.clone(),
    };
    let mut delivery = watch::channel(Delivery::default()).1;
    if let Some(report) = &config.report {
        let seed = chance::seed();
        let reporter = Reporter::new(Arc::clone(&store), &config.cluster.name, report, seed);
        delivery = reporter.delivery();
        let run = reporter.run(report_wake, shutdown.clone(), move || clock.wall());
        tasks.spawn_local(named("report", run));
    }
    let hooks = Hooks {
        jitter: Box::new(chance::draw),
        beat: beat(Rc::clone(&notifier), beats, status_seen),
        reported,
        metrics,
    };
    let channels = Channels {
        sightings,
        polls,
        requests,
        ask_poll,
        status,
        delivery,
        shutdown: shutdown.clone(),
    };
    let settings = Settings {
        config,
        version: VERSION.to_owned(),
        recovered: opened.recovered.map(|recovery| {
            format!("{}; the former store is kept as {}", recovery.reason, recovery.set_aside)
        }),
    };
    let reconciler = Reconciler::new(settings, store, cluster, clock, hooks, channels)
        .map_err(RunError::Boot)?;
    let mut looping = tokio::task::spawn_local(reconciler.run());
    tasks.spawn_local(named("poll", poller.run(chance::draw)));
    notifier.borrow_mut().ready(clock.uptime(), "started");

    let end = tokio::select! {
        biased;
        () = stop.cancelled() => Ok(End::Stopped),
        Some(()) = hung_up.recv() => Ok(End::HungUp),
        ended = &mut looping => {
            drop(ended);
            Err(RunError::TaskDied("reconcile"))
        }
        Some(ended) = tasks.join_next() => Err(RunError::TaskDied(ended.unwrap_or("panicked"))),
    };
    shutdown.cancel();
    let drained = async {
        if !looping.is_finished() {
            drop(looping.await);
        }
        while tasks.join_next().await.is_some() {}
    };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!(
            "Some work did not end in time and is dropped; the store knows where it was."
        );
    }
    tasks.shutdown().await;
    let notifier =
        Rc::try_unwrap(notifier).map_or_else(|_| Notifier::from_environment(), RefCell::into_inner);
    end.map(|end| (end, notifier))
}

async fn named(name: &'static str, task: impl Future<Output = ()>) -> &'static str {
    task.await;
    name
}

async fn serve_http(
    config: &Config,
    endpoints: Endpoints,
    shutdown: &CancellationToken,
    tasks: &mut JoinSet<&'static str>,
) -> Result<(), RunError> {
    let Some(address) = config.http.listen else { return Ok(()) };
    let listener = http::listen(address).await.map_err(RunError::Http)?;
    let shutdown = shutdown.clone();
    tasks.spawn_local(named("http", async move {
        if let Err(error) = http::serve(listener, endpoints, shutdown).await {
            tracing::error!(%error, "Cannot serve HTTP any more.");
        }
    }));
    Ok(())
}

/// With leader election (`$LEEWARD_LEASE_NAMESPACE`, the DaemonSet): waits
/// until this node is the one that acts. The probes see a live follower.
async fn follow(
    cluster: &Kubernetes,
    config: &Config,
    clock: Clock,
    beats: &watch::Sender<Heartbeat>,
    notifier: &Rc<RefCell<Notifier>>,
    shutdown: &CancellationToken,
) -> Option<LeaseHolder> {
    std::env::var_os("LEEWARD_LEASE_NAMESPACE")?;
    let mut lease = LeaseHolder::new(cluster, &config.cluster.name);
    notifier.borrow_mut().ready(clock.uptime(), "waits for the lease");
    {
        let acquire = lease.acquire();
        tokio::pin!(acquire);
        loop {
            let alive = Heartbeat { at: clock.uptime(), store_open: true, status_published: true };
            beats.send_replace(alive);
            notifier.borrow_mut().beat(clock.uptime(), "another node acts");
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return None,
                () = &mut acquire => break,
                () = tokio::time::sleep(FOLLOWER_BEAT) => {}
            }
        }
    }
    tracing::info!("This node acts from now on.");
    Some(lease)
}

fn beat(
    notifier: Rc<RefCell<Notifier>>,
    beats: watch::Sender<Heartbeat>,
    status: watch::Receiver<Option<Arc<StatusDocument>>>,
) -> Beat {
    Box::new(move |now, line| {
        notifier.borrow_mut().beat(now, line);
        let status_published = status.borrow().is_some();
        beats.send_replace(Heartbeat { at: now, store_open: true, status_published });
    })
}
