//! The loop itself: says why it woke, and does one bounded round.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use leeward_core::{
    cycle::{App, AppEvent, Phase, SourceRecord, Work, due, next_work},
    health::watches_health,
    model::{
        AppName, Digest, InventoryEntry, KindVersion, ObjectKey, Seen, StatusDocument, Uptime,
    },
    report::{Delivery, Event, EventData},
    status::LinkView,
};
use leeward_wire::{
    AgentStarted,
    control::{Request, Response},
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{
    apply::Progress,
    given::GivenVariables,
    poller::{Ask, PollOutcome},
    status::STATE_EVERY,
    view::View,
};
use crate::{
    clock::Clock,
    config::Config,
    edge::Cluster,
    metrics::Metrics,
    store::{Batch, Boot, Store, StoreError},
};

/// Pieces of work for one app before the others have their turn: a plan has a
/// handful of stages, and no app may starve the rest.
const MAX_WORK_IN_A_ROW: usize = 64;
/// Sightings taken in before work is looked at again.
const MAX_SIGHTINGS_IN_A_ROW: usize = 8192;
/// The loop turns at least this often, so that the watchdog is fed and pauses end.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);
/// After the store refused a write, e.g. on a full disk.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// What does not change while the loop runs.
#[derive(Clone, Debug)]
pub struct Settings {
    pub config: Config,
    pub version: String,
    /// What became of the store at start, when it had to be set aside.
    pub recovered: Option<String>,
}

/// What the loop hears from.
#[derive(Debug)]
pub struct Channels {
    pub sightings: mpsc::Receiver<Seen>,
    pub polls: mpsc::Receiver<PollOutcome>,
    pub requests: mpsc::Receiver<(Request, oneshot::Sender<Response>)>,
    /// Asks the poller to poll now.
    pub ask_poll: watch::Sender<Ask>,
    /// The newest status, for whoever serves it.
    pub status: watch::Sender<Option<Arc<StatusDocument>>>,
    /// How the reporter fares.
    pub delivery: watch::Receiver<Delivery>,
    pub shutdown: CancellationToken,
}

/// Told when the loop turns, and what it is about.
pub type Beat = Box<dyn FnMut(Uptime, &str)>;

/// What the loop calls without waiting for it.
pub struct Hooks {
    /// Draws from 0.0 to 1.0.
    pub jitter: Box<dyn FnMut() -> f64>,
    /// The loop is alive, and what it is about, in a line.
    pub beat: Beat,
    /// Counts commits that put something into the outbox.
    pub reported: watch::Sender<u64>,
    pub metrics: Arc<Metrics>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooks")
    }
}

#[derive(Debug)]
enum Wake {
    Shutdown,
    Asked(Request, oneshot::Sender<Response>),
    Polled(PollOutcome),
    Seen(Seen),
    Timer,
}

/// Owns every decision about the cluster.
#[derive(Debug)]
pub struct Reconciler<C> {
    pub(super) settings: Settings,
    pub(super) store: Arc<Store>,
    pub(super) cluster: C,
    pub(super) clock: Clock,
    pub(super) hooks: Hooks,
    pub(super) channels: Channels,
    pub(super) apps: BTreeMap<AppName, App>,
    pub(super) inventory: BTreeMap<AppName, BTreeMap<ObjectKey, InventoryEntry>>,
    pub(super) views: BTreeMap<AppName, View>,
    pub(super) source: Option<SourceRecord>,
    pub(super) link: LinkView,
    pub(super) boot: u64,
    /// The newest wall time known to have passed.
    pub(super) wall_floor: Timestamp,
    /// Why the last write to the store failed.
    pub(super) store_fault: Option<String>,
    /// Why the API server could not be seen, by the watches.
    pub(super) cluster_fault: Option<String>,
    pub(super) watched: BTreeSet<KindVersion>,
    /// What apps take variables from.
    pub(super) given: GivenVariables,
    /// The part of the last state report that matters far away, and when it was written.
    pub(super) reported_state: Option<(Digest, Uptime)>,
    /// The state changed since then.
    pub(super) state_is_stale: bool,
}

impl<C: Cluster> Reconciler<C> {
    /// Takes up where the store says the last run ended.
    pub fn new(
        settings: Settings,
        store: Arc<Store>,
        cluster: C,
        clock: Clock,
        hooks: Hooks,
        channels: Channels,
    ) -> Result<Self, StoreError> {
        let Boot { number, last_run } = store.begin_boot()?;
        let mut this = Self {
            link: LinkView::unknown(clock.wall()),
            apps: BTreeMap::new(),
            inventory: store.inventory_all()?,
            views: BTreeMap::new(),
            source: store.source()?,
            boot: number,
            wall_floor: store.wall_floor()?.unwrap_or(Timestamp::UNIX_EPOCH),
            store_fault: None,
            cluster_fault: None,
            watched: BTreeSet::new(),
            given: GivenVariables::default(),
            reported_state: None,
            state_is_stale: false,
            settings,
            store,
            cluster,
            clock,
            hooks,
            channels,
        };
        let now = this.now();
        for record in this.store.apps()? {
            this.apps.insert(record.spec.name.clone(), App::resume(record, &now));
        }
        let started = EventData::AgentStarted(AgentStarted {
            version: this.settings.version.clone(),
            last_run_ended: last_run,
            recovered: this.settings.recovered.clone(),
        });
        let started = Event::new(None, &started);
        this.store.commit(Batch { events: vec![(this.stamp(), started)], ..Batch::default() })?;
        this.hooks.reported.send_modify(|count| *count += 1);
        Ok(this)
    }

    /// Runs until it is told to stop; what is in flight is finished first.
    pub async fn run(mut self) {
        let names: Vec<AppName> = self.apps.keys().cloned().collect();
        for name in &names {
            self.look_at_everything(name);
        }
        self.watch_inventory();
        let offered = self.offer_source().await;
        self.remember_store(offered);
        let mut next = self.round().await;
        loop {
            self.publish();
            let wake = self.wait(next).await;
            match wake {
                Wake::Shutdown => break,
                Wake::Asked(request, answer) => {
                    let response = self.answer(request).await;
                    // Whoever asked may have gone away; the work is done all the same.
                    drop(answer.send(response));
                }
                Wake::Polled(outcome) => {
                    let polled = self.polled(outcome).await;
                    self.remember_store(polled);
                }
                Wake::Seen(seen) => self.see(seen),
                Wake::Timer => {}
            }
            next = self.round().await;
        }
        if let Err(error) = self.store.end_boot() {
            tracing::warn!(%error, "Cannot record a clean end.");
        }
    }

    async fn wait(&mut self, next: Uptime) -> Wake {
        let now = self.clock.uptime();
        let next = if self.state_is_stale { next.min(now + STATE_EVERY) } else { next };
        let sleep = (next - now).min(LONGEST_SLEEP);
        let channels = &mut self.channels;
        tokio::select! {
            biased;
            () = channels.shutdown.cancelled() => Wake::Shutdown,
            // Cancel safe: `recv` loses nothing when dropped.
            Some((request, answer)) = channels.requests.recv() => Wake::Asked(request, answer),
            Some(outcome) = channels.polls.recv() => Wake::Polled(outcome),
            Some(seen) = channels.sightings.recv() => Wake::Seen(seen),
            () = tokio::time::sleep(sleep) => Wake::Timer,
        }
    }

    /// Does what is to be done for every app; returns when to look again.
    async fn round(&mut self) -> Uptime {
        let started = self.clock.uptime();
        let mut next = started + LONGEST_SLEEP;
        let looked = self.look_at_variables().await;
        self.remember_store(looked);
        next = self.given.look_at.map_or(next, |at| next.min(at));
        let names: Vec<AppName> = self.apps.keys().cloned().collect();
        let mut worked = false;
        for name in names {
            if self.channels.shutdown.is_cancelled() {
                break;
            }
            match self.advance(&name).await {
                Ok((due, did)) => {
                    worked |= did;
                    next = next.min(due);
                    self.store_fault = None;
                    let forgotten = self.forget_removed(&name).await;
                    self.remember_store(forgotten);
                }
                Err(error) => {
                    self.remember_store(Err(error));
                    next = next.min(self.clock.uptime() + STORE_RETRY);
                }
            }
        }
        let now = self.clock.uptime();
        if worked {
            self.hooks.metrics.observe_reconcile(now - started);
        }
        let line = self.status_line();
        (self.hooks.beat)(now, &line);
        next
    }

    /// Works on one app until there is nothing to do now. Returns when to look
    /// again, and whether anything was done.
    async fn advance(&mut self, name: &AppName) -> Result<(Uptime, bool), StoreError> {
        let mut worked = false;
        for _ in 0..MAX_WORK_IN_A_ROW {
            self.take_in_sightings();
            let now = self.now();
            let Some(app) = self.apps.get(name) else {
                return Ok((now.uptime + LONGEST_SLEEP, worked));
            };
            if due(app, &now).is_some_and(|due| due <= now.uptime) {
                self.take(name, AppEvent::Tick, Batch::default()).await?;
            }
            if self.is_time_to_look(name) {
                let event = self.observe(name).await;
                self.take(name, event, Batch::default()).await?;
            }
            let now = self.now();
            let Some(app) = self.apps.get(name) else { continue };
            let drifted = self.views.get(name).is_some_and(|view| !view.drifted.is_empty());
            let work = next_work(app, self.unready(app).as_ref(), drifted, &now);
            match work {
                Work::Wait(due) => {
                    let look = self.next_look(name);
                    let again = self.views.get(name).and_then(View::next_heal);
                    let far = now.uptime + LONGEST_SLEEP;
                    let next = [due, look, again].into_iter().flatten().min().unwrap_or(far);
                    return Ok((next, worked));
                }
                Work::Know(event) => self.take(name, event, Batch::default()).await?,
                Work::Preflight => {
                    let event = self.preflight(name).await;
                    self.take(name, event, Batch::default()).await?;
                }
                Work::Apply => match self.apply(name).await? {
                    Progress::Event(event) => self.take(name, event, Batch::default()).await?,
                    Progress::LookAgain(after) => return Ok((now.uptime + after, true)),
                },
                Work::Heal => self.heal(name).await?,
            }
            worked = true;
            let line = self.status_line();
            (self.hooks.beat)(self.clock.uptime(), &line);
            if self.channels.shutdown.is_cancelled() {
                break;
            }
        }
        Ok((self.clock.uptime(), worked))
    }

    fn take_in_sightings(&mut self) {
        for _ in 0..MAX_SIGHTINGS_IN_A_ROW {
            let Ok(seen) = self.channels.sightings.try_recv() else { return };
            self.see(seen);
        }
    }

    /// The first app that this one depends on and that is not good at what Git wants.
    fn unready(&self, app: &App) -> Option<AppName> {
        app.record.spec.depends_on.iter().find(|name| !self.is_settled(name)).cloned()
    }

    fn is_settled(&self, name: &AppName) -> bool {
        self.apps.get(name).is_some_and(|app| {
            let good = app.record.good.as_ref().map(|good| &good.revision.content);
            let newest = app.record.newest.as_ref().map(|newest| &newest.content);
            app.record.phase == Phase::Good && good == newest
        }) && !self.given.wanting.contains_key(name)
    }

    pub(super) fn view(&mut self, name: &AppName) -> &mut View {
        self.views.entry(name.clone()).or_default()
    }

    /// What follows from an app having entered a phase.
    pub(super) fn changed_phase(&mut self, name: &AppName, phase: &Phase) {
        match phase {
            Phase::Preflight { .. } | Phase::RollingBack { .. } => {
                self.view(name).leave_revision();
            }
            Phase::Probation { .. } => {
                // All is applied; what drifts from now on is rendered again.
                self.view(name).desired = None;
                self.look_at_everything(name);
            }
            Phase::Good | Phase::Failed { .. } => {
                self.view(name).leave_revision();
                self.look_at_everything(name);
            }
            Phase::Waiting | Phase::Held { .. } | Phase::Applying { .. } => {}
        }
    }

    /// Marks every object that has any health for a fresh verdict.
    pub(super) fn look_at_everything(&mut self, name: &AppName) {
        let keys: BTreeSet<ObjectKey> = self
            .inventory
            .get(name)
            .into_iter()
            .flat_map(BTreeMap::keys)
            .filter(|key| watches_health(&key.kind()))
            .cloned()
            .collect();
        let now = self.clock.uptime();
        let view = self.view(name);
        view.health.retain(|key, _| keys.contains(key));
        view.dirty = keys;
        view.look_at = Some(now);
    }

    /// Watches the kinds of everything that is owned.
    pub(super) fn watch_inventory(&mut self) {
        let kinds: BTreeSet<KindVersion> = self
            .inventory
            .values()
            .flatten()
            .map(|(key, entry)| KindVersion { kind: key.kind(), version: entry.version.clone() })
            .collect();
        if kinds != self.watched {
            self.cluster.watch(kinds.clone());
            self.watched = kinds;
        }
    }

    pub(super) fn remember_store(&mut self, result: Result<(), StoreError>) {
        match result {
            Ok(()) => self.store_fault = None,
            Err(error) => {
                tracing::error!(%error, "Cannot write to the store; will retry.");
                self.store_fault = Some(error.to_string());
            }
        }
    }
}
