//! The loop itself: waits for something to happen, takes it in, and turns to
//! each app. It never waits for anything outside; see the front page of this room.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, future::LocalBoxFuture, stream::FuturesUnordered};
use jiff::Timestamp;
use leeward_core::{
    cycle::{App, AppEvent, AppRecord, Effect, Now, Phase, step},
    model::{AppName, InventoryEntry, KindVersion, Seen, Uptime},
    report::{Event, EventData},
};
use leeward_wire::{
    AgentStarted,
    control::{Request, Response},
};
use tokio::sync::oneshot;

use super::{
    budget::Budget,
    errand::Back,
    garbage::Garbage,
    identity::Identity,
    interface::{Channels, Hooks, Settings, Start},
    journal::{Journal, Written},
    managed::Managed,
    outside::Outside,
    poller::PollOutcome,
    rollback,
    sight::Sight,
    source::SourceView,
    status::{Published, STATE_EVERY},
    variables::ClusterVariables,
};
use crate::{
    clock::Clock,
    config::Config,
    edge::Cluster,
    store::{Batch, Store, StoreError},
};

/// Sightings taken in before work is looked at again.
const MAX_SIGHTINGS_IN_A_ROW: usize = 8192;
/// The loop turns at least this often, so that the watchdog is fed and pauses end.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);
/// Once the loop is told to stop: how long errands have to come back. One that
/// does not is as after a power cut.
const DRAIN: Duration = Duration::from_millis(1500);

/// Something that happened.
enum Wake {
    Shutdown,
    Asked(Request, oneshot::Sender<Response>),
    Back(Back),
    Written(Box<Written>),
    Polled(PollOutcome),
    Seen(Seen),
    Timer,
}

/// Owns every decision about the cluster.
pub struct Reconciler<C> {
    pub(super) settings: Settings,
    pub(super) config: Arc<Config>,
    pub(super) outside: Rc<Outside<C>>,
    pub(super) clock: Clock,
    pub(super) hooks: Hooks,
    pub(super) channels: Channels,
    pub(super) apps: BTreeMap<AppName, Managed>,
    pub(super) source: SourceView,
    pub(super) garbage: Garbage,
    pub(super) variables: ClusterVariables,
    pub(super) journal: Journal,
    pub(super) published: Published,
    /// Which kinds, or the whole API server, cannot be seen.
    pub(super) sight: Sight,
    pub(super) identity: Identity,
    watched: BTreeSet<KindVersion>,
    /// The newest epoch of any app that was forgotten.
    pub(super) last_epoch: u64,
    errands: FuturesUnordered<LocalBoxFuture<'static, Back>>,
}

impl<C> fmt::Debug for Reconciler<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconciler").field("apps", &self.apps.len()).finish_non_exhaustive()
    }
}

impl<C: Cluster + 'static> Reconciler<C> {
    /// Takes up where the store says the last run ended.
    pub fn new(
        settings: Settings,
        start: Start,
        store: &Arc<Store>,
        cluster: C,
        clock: Clock,
        hooks: Hooks,
        channels: Channels,
    ) -> Result<Self, StoreError> {
        let wall_floor = store.wall_floor()?.unwrap_or(Timestamp::UNIX_EPOCH);
        let offload = hooks.offload.clone();
        let journal =
            |boot| Journal::new(Arc::clone(store), offload.clone(), clock, boot, wall_floor);
        let journal = match start {
            Start::Reload => journal(store.boot()?),
            Start::Boot => {
                let boot = store.begin_boot()?;
                let journal = journal(boot.number);
                let started = EventData::AgentStarted(AgentStarted {
                    version: settings.version.clone(),
                    last_run_ended: boot.last_run,
                    recovered: settings.recovered.clone(),
                });
                let events = vec![(journal.stamp(), Event::new(None, &started))];
                store.commit(Batch { events, ..Batch::default() })?;
                hooks.reported.send_modify(|count| *count += 1);
                journal
            }
        };
        let mut this = Self {
            config: Arc::new(settings.config.clone()),
            apps: BTreeMap::new(),
            source: SourceView::new(store.source()?, clock.wall()),
            garbage: Garbage::default(),
            variables: ClusterVariables::default(),
            published: Published::default(),
            sight: Sight::default(),
            identity: Identity::of(store.cluster_id()?),
            watched: BTreeSet::new(),
            last_epoch: 0,
            errands: FuturesUnordered::new(),
            outside: Rc::new(Outside {
                cluster,
                store: Arc::clone(store),
                clock,
                offload,
                budget: Budget::new(settings.in_flight),
            }),
            journal,
            settings,
            clock,
            hooks,
            channels,
        };
        let mut inventory = store.inventory_all()?;
        let now = this.now();
        for record in store.apps()? {
            let name = record.spec.name.clone();
            let owned = inventory.remove(&name).unwrap_or_default();
            this.apps.insert(name, Managed::new(App::resume(record, &now), owned, 0));
        }
        Ok(this)
    }

    /// Runs until it is told to stop, and returns its channels for a successor.
    /// What is under way then has a moment to end.
    pub async fn run(mut self) -> Channels {
        let now = self.clock.uptime();
        self.apps.values_mut().for_each(|managed| managed.look_at_everything(now));
        self.watch_inventory();
        self.survey(false);
        let mut next = self.round();
        let mut woke = now;
        loop {
            self.publish();
            // Whoever is answered and asks for the status next sees what was changed.
            self.journal.settle_answers();
            self.hooks.metrics.observe_reconcile(self.clock.uptime() - woke);
            let wake = self.wait(next).await;
            if matches!(wake, Wake::Shutdown) {
                break;
            }
            woke = self.clock.uptime();
            self.take_in(wake);
            next = self.round();
        }
        self.drain().await;
        self.channels
    }

    async fn wait(&mut self, next: Uptime) -> Wake {
        let now = self.clock.uptime();
        let next = if self.published.is_stale() { next.min(now + STATE_EVERY) } else { next };
        let next = self.published.shown_by().map_or(next, |shown| next.min(shown));
        let next = self.journal.retry_at().map_or(next, |retry| next.min(retry));
        let sleep = (next - now).min(LONGEST_SLEEP);
        let channels = &mut self.channels;
        // Cancel safe, each of them: what is not taken now is there the next time.
        tokio::select! {
            biased;
            () = channels.shutdown.cancelled() => Wake::Shutdown,
            Some((request, answer)) = channels.requests.recv() => Wake::Asked(request, answer),
            written = self.journal.written() => Wake::Written(Box::new(written)),
            Some(back) = self.errands.next() => Wake::Back(back),
            Some(outcome) = channels.polls.recv() => Wake::Polled(outcome),
            Some(seen) = channels.sightings.recv() => Wake::Seen(seen),
            () = tokio::time::sleep(sleep) => Wake::Timer,
        }
    }

    fn take_in(&mut self, wake: Wake) {
        match wake {
            Wake::Shutdown => {}
            Wake::Timer => self.journal.write(),
            Wake::Asked(request, answer) => self.answer(request, answer),
            Wake::Back(back) => self.back(back),
            Wake::Written(written) => self.written(*written),
            Wake::Polled(outcome) => self.polled(outcome),
            Wake::Seen(seen) => {
                self.see(seen);
                for _ in 0..MAX_SIGHTINGS_IN_A_ROW {
                    let Ok(seen) = self.channels.sightings.try_recv() else { break };
                    self.see(seen);
                }
            }
        }
    }

    /// Turns to every app; returns when to look again.
    fn round(&mut self) -> Uptime {
        let now = self.clock.uptime();
        let mut next = now + LONGEST_SLEEP;
        if self.variables.look_at.is_some_and(|at| at <= now) {
            self.survey(true);
        }
        next = self.variables.look_at.map_or(next, |at| next.min(at));
        self.give_back();
        let names: Vec<AppName> = self.apps.keys().cloned().collect();
        for name in names {
            next = next.min(self.turn_to(&name));
            self.forget_removed(&name);
        }
        let line = self.status_line();
        (self.hooks.beat)(now, &line);
        next
    }

    /// Lets what is under way end, and records it. How long the disk may take for
    /// that is up to whoever waits for the end of the loop.
    async fn drain(&mut self) {
        for managed in self.apps.values() {
            if let Some(errand) = &managed.errand {
                errand.stop.cancel();
            }
        }
        let until = tokio::time::sleep(DRAIN);
        tokio::pin!(until);
        let mut is_over = false;
        loop {
            self.journal.settle_answers();
            let is_back = is_over || self.apps.values().all(|one| one.errand.is_none());
            if is_back && (self.journal.is_idle() || self.journal.fault().is_some()) {
                return;
            }
            tokio::select! {
                biased;
                written = self.journal.written() => self.written(written),
                Some(back) = self.errands.next(), if !is_over => self.back(back),
                () = &mut until, if !is_over => is_over = true,
            }
        }
    }

    fn written(&mut self, written: Written) {
        let events = self.journal.take_in(written);
        self.collect_given_up();
        // Events or a state may be among it; who looks in vain loses nothing.
        self.hooks.reported.send_modify(|count| *count += 1);
        for event in &events {
            self.outside.cluster.announce(event);
        }
    }

    pub(super) fn now(&mut self) -> Now {
        Now { uptime: self.clock.uptime(), wall: self.clock.wall(), jitter: (self.hooks.jitter)() }
    }

    /// Sends an errand on its way.
    pub(super) fn send(&mut self, errand: LocalBoxFuture<'static, Back>) {
        self.errands.push(errand);
    }

    /// Moves an app by an event, and records what came of it together with
    /// whatever else belongs to the same step.
    pub(super) fn take(&mut self, name: &AppName, event: AppEvent, mut batch: Batch) {
        let event = self.variables.masked(event);
        let now = self.now();
        let Some(managed) = self.apps.get_mut(name) else { return self.record(batch) };
        let before = managed.app.record.clone();
        let (mut app, effects) = step(managed.app.clone(), event, &now);
        let stamp = self.journal.stamp();
        for effect in effects {
            match effect {
                Effect::Report(event) => {
                    rollback::log(&event);
                    batch.events.push((stamp, event));
                }
                Effect::History(mut record) => {
                    record.bytes = self.source.bytes_of(record.commit);
                    batch.revisions.push(record);
                }
            }
        }
        app.record.keep_good_revisions(self.settings.config.store.good_revisions);
        if app.record != before {
            batch.apps.push(app.record.clone());
        }
        if matches!(before.phase, Phase::Probation { .. }) && app.record.phase == Phase::Good {
            // It has proven itself with what another app left to it, and keeps that. What it
            // never sent still bears the mark of the other one.
            let taken = managed.inventory.iter();
            let taken = taken.filter(|(_, entry)| entry.from.is_some() && entry.applied.is_some());
            batch.inventory.extend(taken.map(|(key, entry)| {
                let entry = InventoryEntry { from: None, ..entry.clone() };
                (name.clone(), key.clone(), Some(entry))
            }));
        }
        managed.app = app;
        if !managed.app.record.phase.has_same_work(&before.phase) {
            let (from, to) = (before.phase.name(), managed.app.record.phase.name());
            let reason = reason(&managed.app.record);
            tracing::info!(app = %name, from, to, reason, "The app moved on.");
            managed.entered_phase(now.uptime);
        }
        self.record(batch);
    }

    /// Records a batch. What it says of the inventory is true in memory at once;
    /// what follows from it in the cluster waits until it is on disk.
    pub(super) fn record(&mut self, mut batch: Batch) {
        batch.events.iter_mut().for_each(|(_, event)| self.variables.mask_report(event));
        let mut concerned: BTreeSet<AppName> =
            batch.apps.iter().map(|record| record.spec.name.clone()).collect();
        for (app, key, entry) in &batch.inventory {
            if let Some(managed) = self.apps.get_mut(app) {
                managed.put(key.clone(), entry.clone());
            }
            // What is about to be sent must be known on disk; what was sent may follow.
            let is_ahead = entry.as_ref().is_some_and(|entry| entry.applied.is_none());
            if is_ahead && !concerned.contains(app) {
                concerned.insert(app.clone());
            }
        }
        let ticket = self.journal.record(batch);
        for name in concerned {
            if let Some(managed) = self.apps.get_mut(&name) {
                managed.durable_from = ticket;
            }
        }
    }

    /// Watches the kinds of everything that is owned.
    pub(super) fn watch_inventory(&mut self) {
        let owned = self.apps.values().flat_map(|managed| &managed.inventory);
        let kinds: BTreeSet<KindVersion> = owned
            .map(|(key, entry)| KindVersion { kind: key.kind(), version: entry.version.clone() })
            .collect();
        if kinds != self.watched {
            self.sight.keep(&kinds);
            self.outside.cluster.watch(kinds.clone());
            self.watched = kinds;
        }
    }
}

/// Returns why an app came into its phase; `None` where the phase itself says it.
fn reason(record: &AppRecord) -> Option<&str> {
    match &record.phase {
        Phase::Held { hold, .. } => Some(&hold.detail),
        Phase::RollingBack { .. } | Phase::Failed { .. } => {
            record.bad.last().map(|bad| bad.reason.as_str())
        }
        _ => None,
    }
}
