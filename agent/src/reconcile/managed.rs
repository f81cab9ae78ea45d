//! One app with all that belongs to it: its record, what it owns in the
//! cluster, what was seen of that, and the errand that is out for it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use leeward_core::{
    cycle::{App, Phase, Progress, View},
    health::watches_health,
    model::{InventoryEntry, ObjectKey, Uptime},
    plan::{
        desired::Desired,
        order::{Plan, PlanInput, plan},
    },
};
use tokio_util::sync::CancellationToken;

use super::sightings::Glimpse;

/// What an app owns, or may own, in the cluster.
pub(super) type Inventory = BTreeMap<ObjectKey, InventoryEntry>;

/// An errand that has not come back.
#[derive(Debug)]
pub(super) struct UnderWay {
    /// In a few words, for people.
    pub(super) about: &'static str,
    pub(super) since: Uptime,
    /// The objects that it may write or delete.
    pub(super) writes: BTreeSet<ObjectKey>,
    /// Cancelled when the errand is to make no new request.
    pub(super) stop: CancellationToken,
}

/// An app in the loop.
#[derive(Debug)]
pub(super) struct Managed {
    pub(super) app: App,
    pub(super) inventory: Inventory,
    pub(super) view: View,
    /// Why it cannot have its variables.
    pub(super) wanting: Option<String>,
    /// At most one.
    pub(super) errand: Option<UnderWay>,
    /// What watches last showed of its objects since that errand left.
    pub(super) meanwhile: BTreeMap<ObjectKey, Glimpse>,
    /// Counts the phases, above every one that an app of this name had before; an
    /// errand that comes back in a later one is late.
    pub(super) epoch: u64,
    /// How long nothing is looked at after the last look, which took a part of that.
    pub(super) rest: Duration,
    /// The journal's ticket that must be on disk before the cluster is changed.
    pub(super) durable_from: u64,
}

impl Managed {
    pub(super) fn new(app: App, inventory: Inventory, epoch: u64) -> Self {
        let left_alone = app.record.left_alone.iter().map(|(key, _)| key.clone()).collect();
        // What was stuck before the restart may be free by now.
        let stuck = app.record.stuck.iter().filter(|one| inventory.contains_key(&one.key));
        let held_back = stuck.map(|one| (one.key.clone(), Uptime::default())).collect();
        let resumed = matches!(app.record.phase, Phase::Applying { .. });
        let progress = Progress { resumed, ..Progress::default() };
        Self {
            app,
            inventory,
            view: View { left_alone, held_back, progress, ..View::default() },
            wanting: None,
            errand: None,
            meanwhile: BTreeMap::new(),
            epoch,
            rest: Duration::ZERO,
            durable_from: 0,
        }
    }

    /// Plans what is to be sent and pruned; `drifted` is sent although nothing
    /// of it changed in Git.
    pub(super) fn plan(&self, desired: &Desired, drifted: &BTreeSet<ObjectKey>) -> Plan {
        // What another app owns is left to it, as what asks for that.
        let mut left_alone = Cow::Borrowed(&self.view.left_alone);
        if !self.view.foreign.is_empty() {
            left_alone.to_mut().extend(self.view.foreign.keys().cloned());
        }
        let inventory = &self.inventory;
        let mut plan = plan(&PlanInput { desired, inventory, drifted, left_alone: &left_alone });
        if self.is_rolling_back() {
            plan.go_back(&self.inventory);
        }
        plan
    }

    pub(super) fn is_rolling_back(&self) -> bool {
        matches!(self.app.record.phase, Phase::RollingBack { .. })
    }

    /// Whether a plan is being carried out, whose gates look for themselves.
    pub(super) fn is_applying(&self) -> bool {
        matches!(self.app.record.phase, Phase::Applying { .. } | Phase::RollingBack { .. })
    }

    /// Whether deletions have their own wait: the revision is not at rest yet.
    pub(super) fn is_on_its_way(&self) -> bool {
        self.is_applying() || matches!(self.app.record.phase, Phase::Probation { .. })
    }

    /// Whether somebody waits for its health.
    pub(super) fn is_at_work(&self) -> bool {
        matches!(self.app.record.phase, Phase::Probation { .. } | Phase::Applying { .. })
    }

    /// When its objects are looked at without any event.
    pub(super) fn next_look(&self) -> Option<Uptime> {
        self.view.look_at.filter(|_| !self.is_applying())
    }

    /// When it is asked whether objects that were never ours may be written by now.
    pub(super) fn next_asking(&self, now: Uptime) -> Option<Uptime> {
        let record = &self.app.record;
        let is_at_rest = matches!(record.phase, Phase::Good | Phase::Probation { .. });
        let asks = is_at_rest && !record.left_alone.is_empty() && !self.app.is_paused(now);
        asks.then_some(self.view.ask_again)
    }

    /// Marks every object that can be unhealthy for a fresh verdict.
    pub(super) fn look_at_everything(&mut self, now: Uptime) {
        let counts = |(key, entry): &(&ObjectKey, &InventoryEntry)| {
            watches_health(&key.kind()) && !entry.leaving
        };
        let keys: BTreeSet<ObjectKey> =
            self.inventory.iter().filter(counts).map(|(key, _)| key.clone()).collect();
        self.view.health.retain(|key, _| keys.contains(key));
        self.view.dirty = keys;
        self.view.look_at = Some(now);
    }

    /// Draws the conclusions from having entered a phase.
    pub(super) fn entered_phase(&mut self, now: Uptime) {
        self.epoch += 1;
        if let Some(errand) = &self.errand {
            errand.stop.cancel();
        }
        match self.app.record.phase {
            Phase::Preflight { .. } | Phase::RollingBack { .. } => self.view.leave_revision(),
            Phase::Probation { .. } => {
                // All is applied; what drifts from now on is rendered again.
                self.view.desired = None;
                self.look_at_everything(now);
            }
            Phase::Good | Phase::Failed { .. } => {
                self.view.leave_revision();
                self.look_at_everything(now);
            }
            Phase::Waiting | Phase::Held { .. } | Phase::Applying { .. } => {}
        }
    }

    /// Returns the objects of ours whose annotation in the cluster asks us not to write them.
    pub(super) fn owned_and_left_alone(&self) -> impl Iterator<Item = &ObjectKey> {
        self.view.left_alone.iter().filter(|key| self.owns(key))
    }

    pub(super) fn owns(&self, key: &ObjectKey) -> bool {
        self.inventory.contains_key(key)
    }

    /// Makes an inventory change true in memory.
    pub(super) fn put(&mut self, key: ObjectKey, entry: Option<InventoryEntry>) {
        if let Some(entry) = entry {
            self.inventory.insert(key, entry);
        } else {
            self.view.forget(&key);
            self.inventory.remove(&key);
        }
    }
}
