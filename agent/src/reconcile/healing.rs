//! From drift to healed: what drifted is confirmed against the live objects, and
//! what may be healed is sent again.

use std::collections::BTreeSet;

use leeward_core::{
    cycle::{AppEvent, Drift, Drifted, Remedy, record_heal, remedy},
    model::{AppName, InventoryEntry, ObjectKey, Run},
    report::{Event, EventData},
};

use super::{
    budget::Class,
    errand::{
        Outcome,
        confirm::{Judged, confirm},
        send::{Consignment, Sent, send},
    },
    reconciler::Reconciler,
    turn::Turn,
};
use crate::{edge::Cluster, store::Batch};

/// Drifted objects that are confirmed in one go; the rest follows right after.
const CONFIRMED_AT_ONCE: usize = 256;

impl<C: Cluster + 'static> Reconciler<C> {
    /// Confirms drift against the live objects; what is real is put right after that.
    pub(super) fn heal(&mut self, name: &AppName) -> Turn {
        let managed = &self.apps[name];
        let Some(wanted) = managed.app.record.wanted().cloned() else { return Turn::Until(None) };
        let Some(desired) = managed.view.desired_for(&wanted.content).cloned() else {
            return self.prepare(name, &wanted);
        };
        let drifted = managed.view.drifted.iter().take(CONFIRMED_AT_ONCE);
        let mut drifted: Vec<(ObjectKey, InventoryEntry)> = drifted
            .filter_map(|key| Some((key.clone(), managed.inventory.get(key)?.clone())))
            .collect();
        if !self.journal.is_written(managed.durable_from) && drifted.iter().any(is_new) {
            // What was never sent is known on disk first, as in `write_ahead`.
            drifted.retain(|one| !is_new(one));
            if drifted.is_empty() {
                return Turn::Until(None);
            }
        }
        let app = name.clone();
        self.send_for(name, "confirms drift", Class::Short, async move |means| {
            Outcome::Confirmed(confirm(&means, &app, &desired, drifted).await)
        })
    }

    /// Has drifted objects sent again.
    pub(super) fn put_right(
        &mut self,
        name: &AppName,
        drifted: Vec<Drifted>,
        stale: BTreeSet<ObjectKey>,
    ) {
        let managed = &self.apps[name];
        let Some((_, desired)) = managed.view.desired.clone() else { return };
        let mut keys: BTreeSet<ObjectKey> = drifted.iter().map(|(key, _)| key.clone()).collect();
        keys.extend(stale);
        let mut plan = managed.plan(&desired, &keys);
        plan.stages
            .iter_mut()
            .for_each(|stage| stage.applies.retain(|one| keys.contains(&one.key)));
        let groups = plan.stages.into_iter().map(|stage| stage.applies);
        let groups: Vec<_> = groups.filter(|group| !group.is_empty()).collect();
        let replacing = managed.view.progress.replacing.keys().cloned().collect();
        let consignment = Consignment::new(desired, groups, &managed.inventory, replacing)
            .taking_over(&managed.view.shared)
            .loose();
        let _sent = self.send_for(name, "heals", Class::Short, async move |means| {
            Outcome::Healed { drifted, sent: send(&means, &consignment).await }
        });
        self.writes(name, keys);
    }

    /// Sorts confirmed drift by what is to be done about it.
    pub(super) fn confirmed(&mut self, name: &AppName, judged: Vec<Judged>) {
        let now = self.clock.uptime();
        let stamp = self.journal.stamp();
        let Some(managed) = self.apps.get_mut(name) else { return };
        let Some((_, desired)) = managed.view.desired.clone() else { return };
        let spec = managed.app.record.spec.clone();
        let mut batch = Batch::default();
        let (mut to_heal, mut stale, mut obstacle) = (Vec::new(), BTreeSet::new(), None);
        let (mut undeclared, mut settled) = (Vec::new(), BTreeSet::new());
        for (key, known, drift) in judged {
            if managed.inventory.get(&key) != Some(&known) {
                // It was judged by what is no longer so: for example as a Job that has
                // ended, before it was known that this is another cluster.
                continue;
            }
            match drift {
                Ok(Drift::Undeclared) => {
                    managed.view.is_for_deletion(&key);
                    // Should a newer revision declare it again, it is not as it was applied.
                    if !known.run.as_ref().is_some_and(Run::is_over) {
                        let entry = InventoryEntry { applied: None, ..known };
                        batch.inventory.push((name.clone(), key.clone(), Some(entry)));
                    }
                    undeclared.push(key);
                }
                Ok(Drift::None(entry)) => {
                    managed.view.settled(&key);
                    settled.insert(key.clone());
                    if managed.inventory.get(&key).is_some_and(|known| *known != entry) {
                        batch.inventory.push((name.clone(), key, Some(entry)));
                    }
                }
                Ok(Drift::Stale) => drop(stale.insert(key)),
                Ok(Drift::LeftAlone(reason)) => {
                    tracing::info!(app = %name, object = %key, reason, "An object that drifted is left alone.");
                    managed.view.settled(&key);
                    managed.view.left_alone.insert(key);
                }
                Ok(Drift::Real(changes)) => {
                    let drifted = (key, changes);
                    match remedy(&mut managed.view, &spec, &desired, &drifted, now) {
                        Remedy::Heal => to_heal.push(drifted),
                        Remedy::Report => {
                            let event = drift_event(EventData::DriftSeen, name, &drifted);
                            batch.events.push((stamp, event));
                        }
                        Remedy::Leave | Remedy::HoldBack(_) => {}
                    }
                }
                Err(fault) => obstacle = Some(fault.to_string()),
            }
        }
        self.record(batch);
        self.free(name, |one| !one.goes && settled.contains(&one.key));
        if !to_heal.is_empty() || !stale.is_empty() {
            self.put_right(name, to_heal, stale);
        } else if let Some(message) = obstacle {
            self.take(name, AppEvent::Obstacle { message }, Batch::default());
        } else if !self.delete_again(name, &undeclared) {
            self.rest_after_healing(name);
        }
    }

    pub(super) fn healed(&mut self, name: &AppName, drifted: &[Drifted], sent: &Sent) {
        let now = self.clock.uptime();
        let stamp = self.journal.stamp();
        let put_right: BTreeSet<&ObjectKey> =
            sent.applied.iter().map(|(apply, _)| &apply.key).collect();
        let mut batch = Batch::default();
        let mut objects = 0;
        for one in drifted.iter().filter(|(key, _)| put_right.contains(key)) {
            objects += 1;
            if let Some(managed) = self.apps.get_mut(name) {
                record_heal(&mut managed.view, one, now);
            }
            self.hooks.metrics.drift_healed(name);
            batch.events.push((stamp, drift_event(EventData::DriftHealed, name, one)));
        }
        self.record_sent(name, sent);
        if objects > 0 {
            self.take(name, AppEvent::Healed { objects }, batch);
        }
        let waits = sent
            .replacing
            .first()
            .map(|(key, why)| format!("{key} is deleted to be made anew: {why}"));
        self.free(name, |one| !one.goes && put_right.contains(&one.key));
        self.stick(name, &sent.verdicts.named);
        if sent.verdicts.is_general {
            let message = sent.verdicts.as_message();
            self.take(name, AppEvent::Obstacle { message }, Batch::default());
        } else if let Some(message) = waits {
            self.take(name, AppEvent::Obstacle { message }, Batch::default());
        } else {
            self.rest_after_healing(name);
        }
    }

    /// An app that is at rest again holds no manifests.
    fn rest_after_healing(&mut self, name: &AppName) {
        if let Some(managed) = self.apps.get_mut(name).filter(|one| one.view.drifted.is_empty()) {
            managed.view.desired = None;
        }
    }
}

/// Whether an object was never sent.
fn is_new((_, entry): &(ObjectKey, InventoryEntry)) -> bool {
    entry.applied.is_none() && entry.uid.is_none()
}

fn drift_event(
    of: fn(leeward_wire::Drift) -> EventData,
    app: &AppName,
    (key, changes): &Drifted,
) -> Event {
    let (object, fields) = (key.to_string(), changes.clone());
    Event::new(Some(app), &of(leeward_wire::Drift { object, fields, count: 1 }))
}
