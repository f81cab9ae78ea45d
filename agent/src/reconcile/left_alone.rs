//! Objects that Git declares and that were never ours, because an annotation in
//! the cluster asks to leave them alone. They lack our label, so no watch shows
//! when that annotation goes: it is asked about from time to time.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use leeward_core::{
    cycle::AppEvent,
    model::{AppName, InventoryEntry, ObjectKey},
    plan::desired::Desired,
};

use super::{
    budget::Class,
    errand::{Outcome, free::free},
    managed::Inventory,
    reconciler::Reconciler,
    turn::Turn,
};
use crate::{edge::Cluster, store::Batch};

/// Between two questions; each costs one request an object.
const ASK_AGAIN: Duration = Duration::from_secs(30);

impl<C: Cluster + 'static> Reconciler<C> {
    /// Takes in what a preflight found to be left alone, ours or not.
    pub(super) fn leave_alone(
        &mut self,
        name: &AppName,
        desired: &Arc<Desired>,
        adopted: &Inventory,
        mut left_alone: BTreeSet<ObjectKey>,
    ) {
        let now = self.clock.uptime();
        let Some(managed) = self.apps.get_mut(name) else { return };
        left_alone.extend(managed.owned_and_left_alone().cloned());
        let is_ours = |key: &ObjectKey| managed.owns(key) || adopted.contains_key(key);
        let foreign = desired
            .objects
            .iter()
            .filter(|one| left_alone.contains(one.key()) && !is_ours(one.key()))
            .map(|one| (one.key().clone(), one.manifest.version.clone()))
            .collect();
        managed.view.left_alone = left_alone;
        managed.view.ask_again = now + ASK_AGAIN;
        if managed.app.record.left_alone != foreign {
            self.take(name, AppEvent::LeftAlone(foreign), Batch::default());
        }
    }

    /// Has it asked whether what was left alone may be written by now.
    pub(super) fn ask_again(&mut self, name: &AppName) -> Turn {
        let now = self.clock.uptime();
        let Some(managed) = self.apps.get_mut(name) else { return Turn::Until(None) };
        managed.view.ask_again = now + ASK_AGAIN;
        let left_alone = managed.app.record.left_alone.clone();
        let class = Class::of(left_alone.len());
        self.send_for(name, "asks about what it leaves alone", class, async move |means| {
            Outcome::Free(free(&means, left_alone).await)
        })
    }

    /// Takes objects into the inventory that may be written from now on; they are
    /// sent as Git has them once that is on disk.
    pub(super) fn take_over(&mut self, name: &AppName, free: &[(ObjectKey, String)]) {
        let foreign: Vec<&(ObjectKey, String)> =
            free.iter().filter(|(key, _)| self.owner(name, key).is_none()).collect();
        let Some(managed) = self.apps.get_mut(name).filter(|_| !foreign.is_empty()) else { return };
        let mut batch = Batch::default();
        for (key, version) in &foreign {
            tracing::info!(app = %name, object = %key, "An object is not to be left alone any more; it is taken over.");
            managed.view.left_alone.remove(key);
            managed.view.drifted.insert(key.clone());
            let entry = InventoryEntry {
                version: version.clone(),
                applied: None,
                fields: None,
                uid: None,
                wave: 0,
                keep: false,
                replace: false,
                run: None,
                leaving: false,
                from: None,
            };
            batch.inventory.push((name.clone(), key.clone(), Some(entry)));
        }
        let mut left = managed.app.record.left_alone.clone();
        left.retain(|one| !foreign.contains(&one));
        self.take(name, AppEvent::LeftAlone(left), batch);
        self.watch_inventory();
    }
}
