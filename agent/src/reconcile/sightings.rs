//! Takes in what the watches saw. Decides nothing: it marks what to look at.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use futures::StreamExt as _;

use leeward_core::{
    cycle::{Departure, departure},
    health::watches_health,
    model::{AppName, ClusterFault, InventoryEntry, Kind, ObjectKey, Seen, Sighting, Trace},
};

use tokio_util::sync::CancellationToken;

use super::{budget::Class, errand::Back, reconciler::Reconciler};
use crate::{edge::Cluster, store::Batch};

/// Changes come in bursts; one look serves them all.
const SETTLE_AT_WORK: Duration = Duration::from_millis(200);
const SETTLE_AT_REST: Duration = Duration::from_secs(1);
/// An app rests so many times as long as its last look took: a look at hundreds of
/// workloads that roll out takes from the API server what the rollout itself needs.
const REST_PER_LOOK: u32 = 4;
/// A look that took long because the API server hung is no reason to rest for long.
const LONGEST_REST: Duration = Duration::from_secs(2);
/// An object that is not healthy is looked at again without an event: its pods
/// may have begun to crash, which no watched object shows.
pub(super) const AGAIN_AT_WORK: Duration = Duration::from_secs(1);
pub(super) const AGAIN_AT_REST: Duration = Duration::from_secs(30);

/// What a watch showed of one object.
#[derive(Clone, Debug)]
pub(super) enum Glimpse {
    Present(Sighting),
    /// With its uid, unless a list lacked it.
    Gone {
        uid: Option<String>,
        trace: Trace,
    },
}

impl<C: Cluster + 'static> Reconciler<C> {
    pub(super) fn see(&mut self, seen: Seen) {
        match seen {
            Seen::Present(sighting) => {
                self.remember(&sighting.key, &Glimpse::Present(sighting.clone()));
                self.see_present(&sighting);
            }
            Seen::Gone { key, uid, trace } => {
                self.remember(&key, &Glimpse::Gone { uid: uid.clone(), trace: trace.clone() });
                for name in self.owners(&key) {
                    self.mark_gone(&name, &key, uid.as_deref(), &trace);
                }
            }
            Seen::Listed { kind, keys, version } => self.see_list(&kind, &keys, version),
            Seen::Lost { kind, fault } => {
                if matches!(fault, ClusterFault::UnknownKind(_)) {
                    // A kind that is not served has no objects.
                    for (name, key) in self.owned_of(&kind) {
                        self.mark_gone(&name, &key, None, &Trace::Nothing);
                    }
                }
                self.sight.lost(kind, &fault);
            }
        }
    }

    /// A list is complete: the API server answers, and what is not in the list is gone.
    fn see_list(&mut self, kind: &Kind, keys: &BTreeSet<ObjectKey>, version: Option<u64>) {
        self.sight.listed(kind);
        self.ask_identity();
        let mut doubted = Vec::new();
        for (name, key) in self.owned_of(kind) {
            if keys.contains(&key) {
                continue;
            }
            let managed = &self.apps[&name];
            let sent = managed.view.progress.sent.get(&key);
            if sent.zip(version).is_some_and(|(sent, listed)| listed < *sent) {
                let version = managed.inventory[&key].version.clone();
                doubted.push((key, version));
            } else {
                let trace = Trace::Nothing;
                self.mark_gone(&name, &key, None, &trace);
                self.remember(&key, &Glimpse::Gone { uid: None, trace });
            }
        }
        self.ask_after(doubted);
        // Whatever waited for the API server is tried now.
        for managed in self.apps.values_mut() {
            managed.app.not_before = None;
        }
        if self.apps.values().any(|managed| managed.wanting.is_some()) {
            self.variables.hasten(self.clock.uptime());
        }
    }

    /// A list that is older than the last write of an object does not have it; neither does
    /// the list of a cluster that was restored, or made anew, since. Taken for gone, it would
    /// be sent a second time, which a policy about updates may refuse: so the API server is
    /// asked for each.
    fn ask_after(&mut self, doubted: Vec<(ObjectKey, String)>) {
        if doubted.is_empty() {
            return;
        }
        let outside = Rc::clone(&self.outside);
        self.send(Box::pin(async move {
            let means = outside.means(Class::of(doubted.len()), CancellationToken::new());
            let mut missed: BTreeSet<ObjectKey> =
                doubted.iter().map(|(key, _)| key.clone()).collect();
            let asked = means.each(doubted, async |(key, version)| {
                let is_there = matches!(means.get(&key, &version).await, Ok(Some(_)));
                is_there.then_some(key)
            });
            for there in asked.collect::<Vec<_>>().await.into_iter().flatten() {
                missed.remove(&there);
            }
            Back::Missed(missed)
        }));
    }

    pub(super) fn missed(&mut self, keys: &BTreeSet<ObjectKey>) {
        for key in keys {
            for name in self.owners(key) {
                self.mark_gone(&name, key, None, &Trace::Nothing);
            }
        }
    }

    fn see_present(&mut self, sighting: &Sighting) {
        let key = &sighting.key;
        let owned = self.apps.get_mut(&sighting.app).filter(|managed| managed.owns(key));
        let Some(managed) = owned else {
            // The label says that it is another app's now, or nobody's.
            for name in self.owners(key) {
                self.mark_drifted(&name, key);
            }
            return;
        };
        if sighting.deleting {
            return;
        }
        let known = managed.inventory[key].uid.as_ref();
        if key.is("", "Namespace") && known.is_some_and(|known| *known != sighting.uid) {
            // It went and came while nobody watched.
            self.forget_runs_in(&key.name);
        }
        let Some(managed) = self.apps.get_mut(&sighting.app) else { return };
        let entry = &managed.inventory[key];
        let same = entry.fields == sighting.fields && entry.uid.as_ref() == Some(&sighting.uid);
        let confirmed = entry.applied.is_some();
        let view = &mut managed.view;
        view.gone.remove(key);
        if sighting.shared {
            view.shared.insert(key.clone());
        } else {
            view.shared.remove(key);
        }
        if sighting.left_alone {
            view.left_alone.insert(key.clone());
            view.settled(key);
        } else if view.left_alone.remove(key) {
            // It may be written again, and may lack what Git changed meanwhile.
            view.drifted.insert(key.clone());
        } else if same {
            view.settled(key);
        } else if confirmed {
            view.drifted.insert(key.clone());
        }
        let name = sighting.app.clone();
        self.mark_dirty(&name, key);
    }

    /// Remembers what was seen while an errand is out, which may not have seen it.
    fn remember(&mut self, key: &ObjectKey, glimpse: &Glimpse) {
        for managed in self.apps.values_mut().filter(|one| one.errand.is_some() && one.owns(key)) {
            managed.meanwhile.insert(key.clone(), glimpse.clone());
        }
    }

    /// An errand has said how objects are; what was seen since it left may be newer.
    pub(super) fn see_again(&mut self, name: &AppName, meanwhile: BTreeMap<ObjectKey, Glimpse>) {
        for (key, glimpse) in meanwhile {
            match glimpse {
                Glimpse::Present(sighting) => self.see_present(&sighting),
                // A list may be older than what the errand wrote.
                Glimpse::Gone { uid: None, .. } => self.mark_drifted(name, &key),
                Glimpse::Gone { uid, trace } => {
                    self.mark_gone(name, &key, uid.as_deref(), &trace);
                }
            }
        }
    }

    fn owners(&self, key: &ObjectKey) -> Vec<AppName> {
        let owning = self.apps.iter().filter(|(_, managed)| managed.owns(key));
        owning.map(|(name, _)| name.clone()).collect()
    }

    fn owned_of(&self, kind: &Kind) -> Vec<(AppName, ObjectKey)> {
        let mut owned = Vec::new();
        for (name, managed) in &self.apps {
            let keys = managed.inventory.keys().filter(|key| key.kind() == *kind);
            owned.extend(keys.map(|key| (name.clone(), key.clone())));
        }
        owned
    }

    pub(super) fn mark_drifted(&mut self, name: &AppName, key: &ObjectKey) {
        if let Some(managed) = self.apps.get_mut(name)
            && managed.inventory.get(key).is_some_and(|entry| entry.applied.is_some())
        {
            managed.view.drifted.insert(key.clone());
        }
        self.mark_dirty(name, key);
    }

    /// Marks what is gone as drifted, unless it has done what it was there for.
    fn mark_gone(&mut self, name: &AppName, key: &ObjectKey, uid: Option<&str>, trace: &Trace) {
        let Some(entry) = self.apps.get(name).and_then(|managed| managed.inventory.get(key)) else {
            return;
        };
        // The news of an older object with this name.
        let is_another = uid.is_some() && entry.uid.is_some() && uid != entry.uid.as_deref();
        let (is_done, run) = match departure(entry, uid, trace) {
            Departure::Drift(run) => (false, run),
            Departure::Done(run) => (true, Some(run)),
        };
        if run.is_some() && run != entry.run {
            let entry = InventoryEntry { run, ..entry.clone() };
            let inventory = vec![(name.clone(), key.clone(), Some(entry))];
            self.record(Batch { inventory, ..Batch::default() });
        }
        // A watch that selects by our label also says so of an object that lost it:
        // whether it is there is looked at before anything is concluded.
        self.mark_drifted(name, key);
        if is_done || is_another {
            return;
        }
        if key.is("", "Namespace") {
            self.lost_namespace(name, key);
        }
        if let Some(managed) = self.apps.get_mut(name) {
            managed.view.left_alone.remove(key);
            if managed.view.drifted.contains(key) {
                managed.view.gone.insert(key.clone());
            }
        }
    }

    /// What ran in a namespace that is gone has lost what it did there. That is so once: what
    /// runs in the next one of that name is another thing, however late this one is told.
    fn lost_namespace(&mut self, name: &AppName, key: &ObjectKey) {
        let entry = self.apps.get(name).and_then(|managed| managed.inventory.get(key));
        let Some(entry) = entry.filter(|entry| entry.uid.is_some()) else { return };
        let entry = InventoryEntry { uid: None, ..entry.clone() };
        let inventory = vec![(name.clone(), key.clone(), Some(entry))];
        self.record(Batch { inventory, ..Batch::default() });
        self.forget_runs_in(&key.name);
    }

    fn mark_dirty(&mut self, name: &AppName, key: &ObjectKey) {
        let now = self.clock.uptime();
        let Some(managed) = self.apps.get_mut(name) else { return };
        if watches_health(&key.kind()) {
            let settle = if managed.is_at_work() { SETTLE_AT_WORK } else { SETTLE_AT_REST };
            managed.view.dirty.insert(key.clone());
            managed.view.look_by(now + settle.max(managed.rest));
        }
    }
}

/// Returns how long an app rests after a look that took so long.
pub(super) fn rest_after_look(took: Duration) -> Duration {
    (took * REST_PER_LOOK).min(LONGEST_REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_is_a_multiple_of_the_look_before_it_and_bounded() {
        assert_eq!(rest_after_look(Duration::from_millis(5)), Duration::from_millis(20));
        assert_eq!(rest_after_look(Duration::from_secs(10)), LONGEST_REST);
    }
}
