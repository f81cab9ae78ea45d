//! The one place where the loop writes: what was decided, with its reports and
//! history, in the order in which it was decided.
//!
//! The loop never waits for the disk. What is recorded is true in memory at
//! once; it is written while the loop goes on, together with whatever else was
//! recorded meanwhile. Each record has a *ticket*: whoever is about to change
//! the cluster because of it waits until the ticket is written. A disk that is
//! slow, full or read-only so delays what follows from a decision, and never
//! the healing of what is decided already.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::Arc,
    time::Duration,
};

use futures::future::LocalBoxFuture;
use jiff::Timestamp;
use leeward_core::{
    cycle::{AppRecord, RevisionRecord, SourceRecord},
    model::{AppName, InventoryEntry, ObjectKey, Uptime},
    report::{Event, Stamp},
};
use leeward_wire::control::Response;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::{
    clock::Clock,
    offload::Offload,
    store::{Batch, Store, StoreError},
};

/// After the store refused a write, for example on a full disk.
const RETRY: Duration = Duration::from_secs(5);
/// Events that wait for a disk that takes none; each has about a kilobyte.
const WAITING_EVENTS: usize = 4096;
/// Lines of history that wait for a disk that takes none.
const WAITING_REVISIONS: usize = 1024;

/// What was recorded and is not on its way to the disk yet. Of two records of
/// one thing the later counts.
#[derive(Debug, Default)]
struct Waiting {
    /// `None`: the app is to be forgotten.
    apps: BTreeMap<AppName, Option<AppRecord>>,
    source: Option<SourceRecord>,
    inventory: BTreeMap<(AppName, ObjectKey), Option<InventoryEntry>>,
    revisions: VecDeque<RevisionRecord>,
    events: VecDeque<(Stamp, Event)>,
    state: Option<(Stamp, Value)>,
    wall_floor: Option<Timestamp>,
    cluster_id: Option<String>,
}

/// A write that ended.
#[derive(Debug)]
pub(super) struct Written {
    batch: Batch,
    result: Result<(), StoreError>,
}

/// Records decisions, and writes them in the background.
pub(super) struct Journal {
    store: Arc<Store>,
    offload: Offload,
    clock: Clock,
    boot: u64,
    /// The newest wall time known to have passed.
    wall_floor: Timestamp,
    waiting: Waiting,
    /// The ticket of the newest record.
    recorded: u64,
    /// The ticket up to which all is on disk.
    written: u64,
    /// The write under way, and the ticket up to which it goes.
    under_way: Option<(u64, LocalBoxFuture<'static, Written>)>,
    /// Why the last write failed, and when it is tried again.
    fault: Option<(String, Uptime)>,
    /// Reports that were given up because the disk took none for too long.
    lost: u64,
    /// Answers to people that are true only once their ticket is written.
    answers: Vec<(u64, Response, oneshot::Sender<Response>)>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("recorded", &self.recorded)
            .field("written", &self.written)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

impl Journal {
    pub(super) fn new(
        store: Arc<Store>,
        offload: Offload,
        clock: Clock,
        boot: u64,
        wall_floor: Timestamp,
    ) -> Self {
        Self {
            store,
            offload,
            clock,
            boot,
            wall_floor,
            waiting: Waiting::default(),
            recorded: 0,
            written: 0,
            under_way: None,
            fault: None,
            lost: 0,
            answers: Vec::new(),
        }
    }

    /// Returns the time and place in the agent's life at which something happens now.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp {
            boot: self.boot,
            uptime_ms: self.clock.uptime().as_millis(),
            wall: self.clock.wall(),
            clock_trusted: self.clock.trusted(self.wall_floor),
        }
    }

    pub(super) fn boot(&self) -> u64 {
        self.boot
    }

    /// Raises the wall time that is known to have passed.
    pub(super) fn raise_wall_floor(&mut self, to: Timestamp) {
        self.wall_floor = self.wall_floor.max(to);
        self.waiting.wall_floor = Some(self.wall_floor);
    }

    /// Records a batch. Returns its ticket.
    pub(super) fn record(&mut self, batch: Batch) -> u64 {
        if batch == Batch::default() {
            return self.recorded;
        }
        let waiting = &mut self.waiting;
        for record in batch.apps {
            waiting.apps.insert(record.spec.name.clone(), Some(record));
        }
        for name in batch.forget_apps {
            waiting.apps.insert(name, None);
        }
        waiting.source = batch.source.or(waiting.source.take());
        for (app, key, entry) in batch.inventory {
            waiting.inventory.insert((app, key), entry);
        }
        waiting.revisions.extend(batch.revisions);
        waiting.events.extend(batch.events);
        waiting.state = batch.state.or(waiting.state.take());
        waiting.cluster_id = batch.cluster_id.or(waiting.cluster_id.take());
        self.bound();
        self.recorded += 1;
        self.write();
        self.recorded
    }

    /// Gives up the oldest reports when there is no end of them and no disk for them.
    fn bound(&mut self) {
        let surplus = self.waiting.events.len().saturating_sub(WAITING_EVENTS);
        self.waiting.events.drain(..surplus);
        self.lost += surplus as u64;
        let surplus = self.waiting.revisions.len().saturating_sub(WAITING_REVISIONS);
        self.waiting.revisions.drain(..surplus);
    }

    /// The ticket of the newest record.
    pub(super) fn recorded(&self) -> u64 {
        self.recorded
    }

    /// Whether everything up to a ticket is on disk.
    pub(super) fn is_written(&self, ticket: u64) -> bool {
        ticket <= self.written
    }

    /// Whether nothing is waiting to be written.
    pub(super) fn is_idle(&self) -> bool {
        self.written == self.recorded
    }

    /// Why the store takes nothing, if it takes nothing.
    pub(super) fn fault(&self) -> Option<String> {
        let (fault, _) = self.fault.as_ref()?;
        Some(match self.lost {
            0 => fault.clone(),
            lost => format!("{fault}; {lost} reports were lost meanwhile"),
        })
    }

    /// When a write that failed is tried again.
    pub(super) fn retry_at(&self) -> Option<Uptime> {
        self.fault.as_ref().map(|(_, at)| *at)
    }

    /// Answers a person once everything that was recorded so far is on disk.
    pub(super) fn answer(&mut self, response: Response, to: oneshot::Sender<Response>) {
        self.answers.push((self.recorded, response, to));
    }

    /// Sends the answers that are due; called once what they are about is published.
    pub(super) fn settle_answers(&mut self) {
        let fault = self.fault();
        for (ticket, response, to) in mem::take(&mut self.answers) {
            // Whoever asked may have gone away; what was asked is done all the same.
            if ticket <= self.written {
                drop(to.send(response));
            } else if let Some(fault) = &fault {
                let message = format!("done, and not recorded yet: {fault}");
                let hint = "a restart before the store takes it would forget it";
                drop(to.send(Response::Refused { message, hint: Some(hint.to_owned()) }));
            } else {
                self.answers.push((ticket, response, to));
            }
        }
    }

    /// Begins a write when none is under way and something waits.
    pub(super) fn write(&mut self) {
        let too_early = self.retry_at().is_some_and(|at| self.clock.uptime() < at);
        if self.under_way.is_some() || self.is_idle() || too_early {
            return;
        }
        let batch = self.waiting.take();
        let (store, offload) = (Arc::clone(&self.store), self.offload.clone());
        let write = async move {
            let kept = batch.clone();
            let result = offload.run(move || store.commit(batch).map(drop)).await;
            match result {
                Some(result) => Written { batch: kept, result },
                // The process is on its way out, and nobody listens any more.
                None => std::future::pending().await,
            }
        };
        self.under_way = Some((self.recorded, Box::pin(write)));
    }

    /// Waits for the end of the write under way; for ever when there is none.
    /// Cancel safe: the write goes on.
    pub(super) async fn written(&mut self) -> Written {
        match &mut self.under_way {
            Some((_, write)) => write.await,
            None => std::future::pending().await,
        }
    }

    /// Takes in the end of a write, and begins the next. Returns the events
    /// that are on disk from now on.
    pub(super) fn take_in(&mut self, written: Written) -> Vec<Event> {
        let Some((ticket, _)) = self.under_way.take() else { return Vec::new() };
        let events = match written.result {
            Ok(()) => {
                if let Some((_, _)) = self.fault.take() {
                    tracing::info!(lost = self.lost, "The store takes writes again.");
                    self.lost = 0;
                }
                self.written = ticket;
                written.batch.events.into_iter().map(|(_, event)| event).collect()
            }
            Err(error) => {
                tracing::error!(%error, "Cannot write to the store; will retry.");
                self.fault = Some((error.to_string(), self.clock.uptime() + RETRY));
                self.waiting.put_back(written.batch);
                self.bound();
                Vec::new()
            }
        };
        self.write();
        events
    }
}

impl Waiting {
    fn take(&mut self) -> Batch {
        let Self { apps, source, inventory, revisions, events, state, wall_floor, cluster_id } =
            mem::take(self);
        let mut batch = Batch {
            source,
            inventory: inventory.into_iter().map(|((app, key), entry)| (app, key, entry)).collect(),
            revisions: revisions.into(),
            events: events.into(),
            state,
            wall_floor,
            cluster_id,
            ..Batch::default()
        };
        for (name, record) in apps {
            match record {
                Some(record) => batch.apps.push(record),
                None => batch.forget_apps.push(name),
            }
        }
        batch
    }

    /// Takes back a batch that could not be written; what was recorded since counts more.
    fn put_back(&mut self, batch: Batch) {
        for record in batch.apps {
            self.apps.entry(record.spec.name.clone()).or_insert(Some(record));
        }
        for name in batch.forget_apps {
            self.apps.entry(name).or_insert(None);
        }
        self.source = self.source.take().or(batch.source);
        for (app, key, entry) in batch.inventory {
            self.inventory.entry((app, key)).or_insert(entry);
        }
        let later = mem::replace(&mut self.revisions, batch.revisions.into());
        self.revisions.extend(later);
        let later = mem::replace(&mut self.events, batch.events.into());
        self.events.extend(later);
        self.state = self.state.take().or(batch.state);
        self.wall_floor = self.wall_floor.max(batch.wall_floor);
        self.cluster_id = self.cluster_id.take().or(batch.cluster_id);
    }
}

#[cfg(test)]
mod tests;
