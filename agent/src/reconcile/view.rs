//! What the loop saw of an app's objects since it started. Lost at a restart
//! and learned again from the watches' first lists.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use leeward_core::{
    cycle::ApplyCounts,
    health::Health,
    model::{ContentId, ObjectKey, Uptime},
    plan::fight::HealHistory,
};

use super::desired::Desired;

#[derive(Debug, Default)]
pub(super) struct View {
    /// Objects of the inventory that differ from what we applied, or are gone.
    pub(super) drifted: BTreeSet<ObjectKey>,
    /// Those of the drifted ones that are not there at all.
    pub(super) gone: BTreeSet<ObjectKey>,
    /// Drifted objects that are not to be healed and were reported.
    pub(super) open: BTreeSet<ObjectKey>,
    /// Heals of late, by object: two controllers that fight over a field are named.
    pub(super) heals: BTreeMap<ObjectKey, HealHistory>,
    /// The last verdict on every object that has any health beyond existing.
    pub(super) health: BTreeMap<ObjectKey, Health>,
    /// Objects that changed since their last verdict.
    pub(super) dirty: BTreeSet<ObjectKey>,
    /// Before this, nobody looks at them: changes come in bursts.
    pub(super) look_at: Option<Uptime>,
    /// The wanted revision rendered, while it is being worked on. Dropped when
    /// it is good: an idle agent holds no manifests.
    pub(super) desired: Option<(ContentId, Rc<Desired>)>,
    /// What the apply under way did so far.
    pub(super) counts: ApplyCounts,
    /// Objects whose deletion was asked for, and when.
    pub(super) deleting: BTreeMap<ObjectKey, Uptime>,
    /// The write-ahead inventory of this content is durable.
    pub(super) announced: Option<ContentId>,
    /// Objects whose dry-run needs a namespace or CRD of the same revision.
    pub(super) unproven: BTreeSet<ObjectKey>,
    /// Drifted objects that are fought over, and until when they are left alone.
    pub(super) held_back: BTreeMap<ObjectKey, Uptime>,
    pub(super) message: String,
}

impl View {
    /// Forgets what belonged to the revision that was worked on.
    pub(super) fn leave_revision(&mut self) {
        self.desired = None;
        self.counts = ApplyCounts::default();
        self.announced = None;
        self.deleting.clear();
        self.unproven.clear();
    }

    /// An object is as it was applied, as far as anyone knows.
    pub(super) fn settled(&mut self, key: &ObjectKey) {
        self.drifted.remove(key);
        self.gone.remove(key);
        self.open.remove(key);
    }

    /// Forgets an object that is no longer owned.
    pub(super) fn forget(&mut self, key: &ObjectKey) {
        self.settled(key);
        self.heals.remove(key);
        self.health.remove(key);
        self.dirty.remove(key);
        self.deleting.remove(key);
        self.unproven.remove(key);
        self.held_back.remove(key);
    }

    /// Takes up fought-over objects again whose time has come.
    pub(super) fn release_held_back(&mut self, now: Uptime) {
        let due: Vec<ObjectKey> = self
            .held_back
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            self.held_back.remove(&key);
            self.drifted.insert(key);
        }
        if self.held_back.is_empty() && self.drifted.is_empty() {
            self.message.clear();
        }
    }

    /// When a fought-over object is taken up again.
    pub(super) fn next_heal(&self) -> Option<Uptime> {
        self.held_back.values().copied().min()
    }
}
