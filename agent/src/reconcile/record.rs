//! The only place where the loop writes: what a step decided, with its reports
//! and history, in one durable commit.

use leeward_core::{
    cycle::{AppEvent, AppRecord, Effect, Now, Phase, step},
    model::{AppName, InventoryEntry, ObjectKey},
    report::{Event, Stamp},
};

use super::reconciler::Reconciler;
use crate::{
    edge::Cluster,
    store::{Batch, StoreError},
};

impl<C: Cluster> Reconciler<C> {
    pub(super) fn now(&mut self) -> Now {
        Now { uptime: self.clock.uptime(), wall: self.clock.wall(), jitter: (self.hooks.jitter)() }
    }

    pub(super) fn stamp(&self) -> Stamp {
        Stamp {
            boot: self.boot,
            uptime_ms: self.clock.uptime().as_millis(),
            wall: self.clock.wall(),
            clock_trusted: self.clock.trusted(self.wall_floor),
        }
    }

    /// Moves an app by an event and writes down what came of it, together with
    /// whatever else belongs to the same step.
    pub(super) async fn take(
        &mut self,
        name: &AppName,
        event: AppEvent,
        mut batch: Batch,
    ) -> Result<(), StoreError> {
        let event = self.given.masked(event);
        let now = self.now();
        let Some(app) = self.apps.get(name).cloned() else { return self.commit(batch).await };
        let before = app.record.clone();
        let (app, effects) = step(app, event, &now);
        for effect in effects {
            match effect {
                Effect::Report(event) => batch.events.push((self.stamp(), event)),
                Effect::History(record) => batch.revisions.push(record),
            }
        }
        if app.record != before {
            batch.apps.push(app.record.clone());
        }
        // Durable first: a step that is not written down has not been taken.
        self.commit(batch).await?;
        if app.record.phase == before.phase {
            self.apps.insert(name.clone(), app);
        } else {
            let (from, to) = (before.phase.name(), app.record.phase.name());
            tracing::info!(app = %name, from, to, reason = reason(&app.record), "The app moved on.");
            let phase = app.record.phase.clone();
            self.apps.insert(name.clone(), app);
            self.changed_phase(name, &phase);
        }
        Ok(())
    }

    /// Writes a batch; what it says of the inventory is true in memory too from then on.
    pub(super) async fn commit(&mut self, mut batch: Batch) -> Result<(), StoreError> {
        batch.events.iter_mut().for_each(|(_, event)| self.given.mask_report(event));
        let events: Vec<Event> = batch.events.iter().map(|(_, event)| event.clone()).collect();
        let inventory = batch.inventory.clone();
        self.store.commit(batch)?;
        for (app, key, entry) in inventory {
            if entry.is_none() {
                self.view(&app).forget(&key);
            }
            let entries = self.inventory.entry(app).or_default();
            match entry {
                Some(entry) => entries.insert(key, entry),
                None => entries.remove(&key),
            };
        }
        if !events.is_empty() {
            self.hooks.reported.send_modify(|count| *count += 1);
        }
        for event in &events {
            self.cluster.announce(event).await;
        }
        Ok(())
    }

    /// An inventory entry as it is now, or a fresh one.
    pub(super) fn entry(&self, app: &AppName, key: &ObjectKey) -> Option<InventoryEntry> {
        self.inventory.get(app)?.get(key).cloned()
    }
}

/// Why an app came into its phase; `None` where the phase itself says it.
fn reason(record: &AppRecord) -> Option<&str> {
    match &record.phase {
        Phase::Held { hold, .. } => Some(&hold.detail),
        Phase::RollingBack { .. } | Phase::Failed { .. } => {
            record.bad.last().map(|bad| bad.reason.as_str())
        }
        _ => None,
    }
}
