//! Objects that the cluster does not let be what Git wants: each is named and
//! tried again by itself, so that it keeps no other from being put right.

use std::collections::BTreeMap;

use leeward_core::{
    cycle::{AppEvent, Stuck},
    model::{AppName, InventoryEntry, ObjectKey},
};

use super::reconciler::Reconciler;
use crate::{edge::Cluster, store::Batch};

/// From this try on an object counts as stuck. A single try may have met a
/// webhook that restarts, which is worth no write to the store.
const STUCK_FROM: u32 = 2;

impl<C: Cluster + 'static> Reconciler<C> {
    /// Remembers which objects could not be put right, and why.
    pub(super) fn stick(&mut self, name: &AppName, faults: &BTreeMap<ObjectKey, String>) {
        let now = self.now();
        let Some(managed) = self.apps.get_mut(name).filter(|_| !faults.is_empty()) else { return };
        let mut stuck = managed.app.record.stuck.clone();
        for (key, reason) in faults {
            let tries = managed.view.put_off(key, now.uptime, now.jitter);
            let goes = managed.view.desired.as_ref().is_some_and(|(_, one)| !one.contains(key));
            let one = Stuck { key: key.clone(), reason: reason.clone(), goes };
            match stuck.iter_mut().find(|known| known.key == *key) {
                Some(known) => *known = one,
                None if tries >= STUCK_FROM => stuck.push(one),
                None => {}
            }
        }
        if stuck != managed.app.record.stuck {
            self.take(name, AppEvent::Stuck(stuck), Batch::default());
        }
    }

    /// Forgets objects that are not stuck any more.
    pub(super) fn free(&mut self, name: &AppName, is_free: impl Fn(&Stuck) -> bool) {
        let Some(managed) = self.apps.get(name) else { return };
        let mut stuck = managed.app.record.stuck.clone();
        stuck.retain(|one| !is_free(one));
        if stuck != managed.app.record.stuck {
            self.take(name, AppEvent::Stuck(stuck), Batch::default());
        }
    }

    /// Has what is stuck tried again after a while: the cluster says nothing when its reason
    /// is over, for example that a quota is gone, or that another app can be read.
    pub(super) fn try_later(&mut self, name: &AppName) {
        let now = self.now();
        let Some(managed) = self.apps.get_mut(name) else { return };
        for one in &managed.app.record.stuck {
            // What another app owns is not ours to try.
            if managed.inventory.contains_key(&one.key) {
                managed.view.put_off(&one.key, now.uptime, now.jitter);
            }
        }
    }

    /// Asks again for deletions that did not end in their time. Returns whether
    /// there are any; the guard let them pass when they were planned.
    pub(super) fn delete_again(&mut self, name: &AppName, undeclared: &[ObjectKey]) -> bool {
        let managed = &self.apps[name];
        let going = managed.app.record.stuck.iter().filter(|one| one.goes);
        let going = going.filter(|one| undeclared.contains(&one.key));
        let version = |entry: &InventoryEntry| entry.version.clone();
        let due: Vec<(ObjectKey, String)> = going
            .filter_map(|one| Some((one.key.clone(), version(managed.inventory.get(&one.key)?))))
            .collect();
        if due.is_empty() {
            return false;
        }
        let _sent = self.send_deletions(name, "deletes what did not go", due);
        true
    }
}
