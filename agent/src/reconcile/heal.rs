//! Puts drifted objects right, and says who changed what.

use std::{collections::BTreeSet, rc::Rc};

use futures::{StreamExt, stream};
use leeward_core::{
    cycle::AppEvent,
    model::{
        AppName, AppSpec, ClusterFault, FieldChange, Heal, InventoryEntry, ObjectKey, owned_digest,
    },
    plan::{drift, order::Stage, release::release},
    report::{Event, EventData},
};
use serde_json::Value;

use super::{desired::Desired, preflight::IN_FLIGHT, reconciler::Reconciler};
use crate::{
    edge::Cluster,
    store::{Batch, StoreError},
};

/// Objects looked at in one go; the rest follow right after.
const AT_ONCE: usize = 256;

/// An object that drifted, and in what.
type Drifted = (ObjectKey, Vec<FieldChange>);

/// What a drifted object turned out to be.
enum Drift {
    /// Nothing that we decide differs: somebody else's field, or our own write seen late.
    None(InventoryEntry),
    Real(Vec<FieldChange>),
}

impl<C: Cluster> Reconciler<C> {
    /// Confirms drift against the live objects, heals what may be healed, and
    /// records every bit of it.
    pub(super) async fn heal(&mut self, name: &AppName) -> Result<(), StoreError> {
        let Some(app) = self.apps.get(name) else { return Ok(()) };
        let spec = app.record.spec.clone();
        let Some(wanted) = app.record.wanted().cloned() else {
            self.view(name).drifted.clear();
            return Ok(());
        };
        let keys: Vec<ObjectKey> = self.view(name).drifted.iter().take(AT_ONCE).cloned().collect();
        let desired = match self.desired(&spec, &wanted).await {
            Ok(desired) => desired,
            Err(undesired) => return self.stumble(name, undesired.into_message()).await,
        };
        let mut batch = Batch::default();
        let mut real = Vec::new();
        let mut obstacle = None;
        for (key, drift) in self.confirm(name, &desired, &keys).await {
            match drift {
                Ok(Drift::Real(changes)) => real.push((key, changes)),
                Ok(Drift::None(entry)) => {
                    self.view(name).settled(&key);
                    if self.entry(name, &key).as_ref() != Some(&entry) {
                        batch.inventory.push((name.clone(), key, Some(entry)));
                    }
                }
                Err(fault) => obstacle = Some(fault.to_string()),
            }
        }
        self.commit(batch).await?;
        let (to_heal, to_tell) = self.sort_by_leave(&spec, &desired, real);
        self.tell_seen(name, to_tell).await?;
        if !to_heal.is_empty() {
            obstacle = self.put_right(&spec, &desired, to_heal).await?.or(obstacle);
        }
        if let Some(message) = obstacle {
            self.stumble(name, message).await
        } else {
            if self.view(name).drifted.is_empty() {
                self.view(name).desired = None;
            }
            Ok(())
        }
    }

    async fn stumble(&mut self, name: &AppName, message: String) -> Result<(), StoreError> {
        self.take(name, AppEvent::Obstacle { message }, Batch::default()).await
    }

    async fn confirm(
        &self,
        name: &AppName,
        desired: &Rc<Desired>,
        keys: &[ObjectKey],
    ) -> Vec<(ObjectKey, Result<Drift, ClusterFault>)> {
        stream::iter(keys.iter().filter_map(|key| Some((key, self.entry(name, key)?))))
            .map(async |(key, entry)| {
                let drift = match self.cluster.get(key, &entry.version).await {
                    Ok(live) => Ok(judge(desired, key, entry, live.as_ref())),
                    Err(ClusterFault::UnknownKind(_)) => Ok(judge(desired, key, entry, None)),
                    Err(fault) => Err(fault),
                };
                (key.clone(), drift)
            })
            .buffer_unordered(IN_FLIGHT)
            .collect()
            .await
    }

    /// Splits drift into what we may heal now, and what we only talk about.
    fn sort_by_leave(
        &mut self,
        spec: &AppSpec,
        desired: &Desired,
        real: Vec<Drifted>,
    ) -> (Vec<Drifted>, Vec<Drifted>) {
        let now = self.clock.uptime();
        let mut to_heal = Vec::new();
        let mut to_tell = Vec::new();
        for (key, changes) in real {
            let leave = spec.heal == Heal::Report || desired.mark(&key).heal_disabled;
            let view = self.view(&spec.name);
            if leave {
                view.drifted.remove(&key);
                if view.open.insert(key.clone()) {
                    to_tell.push((key, changes));
                }
                continue;
            }
            let verdict = view.heals.entry(key.clone()).or_default().verdict(now);
            if verdict.named {
                let manager = changes.iter().find_map(|change| change.manager.as_deref());
                let manager = manager.unwrap_or("somebody");
                view.message = format!("{key} is fought over with {manager}");
            }
            if verdict.wait.is_zero() {
                to_heal.push((key, changes));
            } else {
                view.held_back.insert(key.clone(), now + verdict.wait);
                view.drifted.remove(&key);
            }
        }
        (to_heal, to_tell)
    }

    async fn tell_seen(&mut self, name: &AppName, seen: Vec<Drifted>) -> Result<(), StoreError> {
        let stamp = self.stamp();
        let events = seen
            .iter()
            .map(|(key, changes)| (stamp, drift_event(EventData::DriftSeen, name, key, changes)))
            .collect();
        self.commit(Batch { events, ..Batch::default() }).await
    }

    async fn put_right(
        &mut self,
        spec: &AppSpec,
        desired: &Rc<Desired>,
        drifted: Vec<Drifted>,
    ) -> Result<Option<String>, StoreError> {
        let name = &spec.name;
        let keys: BTreeSet<ObjectKey> = drifted.iter().map(|(key, _)| key.clone()).collect();
        let mut fault = None;
        for stage in self.plan(name, desired, &keys).stages {
            let applies = stage.applies.into_iter().filter(|apply| keys.contains(&apply.key));
            let stage = Stage { name: stage.name, applies: applies.collect() };
            let verdicts = self.run_stage(spec, desired, &stage).await?;
            if !verdicts.is_clean() {
                fault = Some(verdicts.as_message());
                break;
            }
        }
        let stamp = self.stamp();
        let now = self.clock.uptime();
        let mut batch = Batch::default();
        let mut objects = 0;
        for (key, changes) in &drifted {
            // `run_stage` takes what it put right out of the drifted ones.
            let view = self.view(name);
            if view.drifted.contains(key) {
                continue;
            }
            view.heals.entry(key.clone()).or_default().record(now);
            objects += 1;
            self.hooks.metrics.drift_healed(name);
            batch.events.push((stamp, drift_event(EventData::DriftHealed, name, key, changes)));
        }
        if objects > 0 {
            self.take(name, AppEvent::Healed { objects }, batch).await?;
        }
        Ok(fault)
    }
}

fn judge(desired: &Desired, key: &ObjectKey, entry: InventoryEntry, live: Option<&Value>) -> Drift {
    // What is in the inventory only is for the next prune to deal with.
    let Some(manifest) = desired.get(key) else { return Drift::None(entry) };
    let Some(live) = live else { return Drift::Real(drift::lost(manifest, None)) };
    if live["metadata"].get("deletionTimestamp").is_some() {
        // It is on its way out; when it is gone, that is the drift.
        return Drift::None(entry);
    }
    let uid = live["metadata"]["uid"].as_str().map(str::to_owned);
    let fields = owned_digest(live);
    if fields == entry.fields && uid == entry.uid {
        // Our own write, seen late.
        return Drift::None(entry);
    }
    let changes = drift::lost(manifest, Some(live));
    let Some(ignored) = desired.ignored.get(key).filter(|_| !changes.is_empty()) else {
        // Even when no declared field can be named: what was declared as zero
        // or empty leaves no trace of its own.
        return Drift::Real(changes);
    };
    let decided = release(manifest, live, Some(ignored)).manifest;
    let changes = drift::lost(&decided, Some(live));
    if changes.is_empty() {
        return Drift::None(InventoryEntry { fields, uid, ..entry });
    }
    Drift::Real(changes)
}

fn drift_event(
    of: fn(leeward_wire::Drift) -> EventData,
    app: &AppName,
    key: &ObjectKey,
    changes: &[FieldChange],
) -> Event {
    let object = key.to_string();
    let drift = leeward_wire::Drift { object, fields: changes.to_vec(), count: 1 };
    Event::new(Some(app), &of(drift))
}
