//! Takes in errands that are back: what was found becomes true in memory and is
//! recorded. What an errand concludes counts only if its app has not moved on.

use std::mem;

use leeward_core::{
    cycle::{
        AppEvent, AppHealth, Awaited, FOUNDATION_POLL, Gate, HEARD_WITHIN, KeptEvent, LOOK_AGAIN,
        gate, is_well,
    },
    health::{Cause, Health, Verdict, roll_up, waits_outside, watches_health, with_run},
    model::{AppName, ClusterFault, InventoryEntry, ObjectKey, Run},
    plan::order::StageName,
};

use super::{
    errand::{
        Back, Outcome,
        look::{LookFor, Looked},
        preflight::Preflighted,
        prepare::Undesired,
        send::Sent,
    },
    reconciler::Reconciler,
    sightings::{AGAIN_AT_REST, AGAIN_AT_WORK, rest_after_look},
};
use crate::{edge::Cluster, store::Batch};

impl<C: Cluster + 'static> Reconciler<C> {
    pub(super) fn back(&mut self, back: Back) {
        match back {
            Back::Done => {}
            Back::Collected(collection) => self.collected(collection),
            Back::Surveyed(surveyed) => self.surveyed(*surveyed),
            Back::Identified(uid) => self.identified(uid),
            Back::Missed(keys) => self.missed(&keys),
            Back::App { app, epoch, outcome } => {
                let Some(managed) = self.apps.get_mut(&app) else { return };
                if let (Some(errand), Outcome::Looked { .. }) = (managed.errand.take(), &*outcome) {
                    managed.rest = rest_after_look(self.clock.uptime() - errand.since);
                }
                let is_late = managed.epoch != epoch;
                let is_of_objects = matches!(
                    *outcome,
                    Outcome::Confirmed(_) | Outcome::Healed { .. } | Outcome::Sent { .. }
                );
                let meanwhile = mem::take(&mut managed.meanwhile);
                self.outcome(&app, *outcome, is_late);
                if is_of_objects {
                    self.see_again(&app, meanwhile);
                }
            }
        }
    }

    fn outcome(&mut self, name: &AppName, outcome: Outcome, is_late: bool) {
        let now = self.clock.uptime();
        match outcome {
            Outcome::Prepared { content, result } => match result {
                Ok(desired) => {
                    let Some(managed) = self.apps.get_mut(name) else { return };
                    let wanted = managed.app.record.wanted();
                    if wanted.is_some_and(|wanted| wanted.content == content) {
                        managed.view.desired = Some((content, desired));
                        self.mark_foreign(name);
                    }
                }
                Err(_) if is_late => {}
                Err(undesired) => self.cannot_prepare(name, undesired),
            },
            Outcome::Preflighted(_)
            | Outcome::Asked { .. }
            | Outcome::Proved { .. }
            | Outcome::Confirmed(_)
            | Outcome::Free(_)
                if is_late => {}
            Outcome::Preflighted(done) => self.preflighted(name, done),
            Outcome::Asked { done, stands } => self.asked(name, *done, &stands),
            Outcome::Looked { keys, .. } if is_late => {
                let again = self.clock.uptime() + AGAIN_AT_WORK;
                if let Some(managed) = self.apps.get_mut(name) {
                    managed.view.dirty.extend(keys);
                    managed.view.look_by(again);
                }
            }
            Outcome::Looked { what, keys, result } => self.looked(name, what, keys, result),
            Outcome::Proved { keys, mut verdicts } => {
                let Some(managed) = self.apps.get_mut(name) else { return };
                managed.view.left_alone.append(&mut verdicts.left_alone);
                let progress = &mut managed.view.progress;
                let until = *progress.prove_until.get_or_insert(now + HEARD_WITHIN);
                if !verdicts.refused.is_empty() && now < until {
                    progress.look_again = Some(now + LOOK_AGAIN);
                    return;
                }
                let stays = progress.wanted_by_others.first_key_value();
                if let (false, Some((key, why))) = (verdicts.refused.is_empty(), stays) {
                    // What it may be refused for was to go, and stays for another app: that
                    // is no fault of it. Whether it still has to stay is asked again.
                    let message = format!("{}; {key} stays: {why}", verdicts.as_message());
                    progress.wanted_by_others.clear();
                    return self.take(name, AppEvent::Obstacle { message }, Batch::default());
                }
                let is_proven = verdicts.obstacle.is_none() && verdicts.unproven.is_empty();
                if is_proven {
                    managed.view.progress.unproven.retain(|key| !keys.contains(key));
                }
                match verdicts.into_event() {
                    AppEvent::StageApplied => {}
                    event => self.take(name, event, Batch::default()),
                }
            }
            Outcome::Sent { stage, sent } => self.sent(name, stage, sent, is_late),
            Outcome::Healed { drifted, sent } => self.healed(name, &drifted, &sent),
            Outcome::Deleted(deletions) => self.deleted(name, deletions, is_late),
            Outcome::Confirmed(judged) => self.confirmed(name, judged),
            Outcome::Free(free) => self.take_over(name, &free),
        }
    }

    /// A revision of which the store lacks a part is fetched again.
    fn cannot_prepare(&mut self, name: &AppName, undesired: Undesired) {
        if matches!(undesired, Undesired::Missing) {
            self.ask_poll(true);
        }
        let event = match undesired.into_faults() {
            Ok(faults) => {
                let reason = "the files cannot be used".to_owned();
                AppEvent::ApplyFailed { reason, faults }
            }
            Err(message) => AppEvent::Obstacle { message },
        };
        self.take(name, event, Batch::default());
    }

    fn preflighted(&mut self, name: &AppName, done: Box<Preflighted>) {
        if let Some(done) = self.ask_owners(name, done) {
            self.conclude(name, *done, Batch::default());
        }
    }

    /// Draws the conclusions from a preflight; the batch is recorded with them.
    pub(super) fn conclude(&mut self, name: &AppName, done: Preflighted, mut batch: Batch) {
        let Preflighted { revision, desired, adopted, unproven, left_alone, is_missing, event } =
            done;
        if is_missing && self.is_pinned_to(name, &revision) {
            let reason = "the store lacks a part of it".to_owned();
            return self.take(
                name,
                AppEvent::Kept(KeptEvent::Released { reason }),
                Batch::default(),
            );
        }
        if is_missing {
            self.ask_poll(true);
        }
        let cleared = event == AppEvent::Cleared;
        if let Some(desired) = desired.as_ref().filter(|_| cleared) {
            self.leave_alone(name, desired, &adopted, left_alone);
        }
        let Some(managed) = self.apps.get_mut(name) else { return };
        let epoch = managed.epoch;
        let adopted = adopted.into_iter().map(|(key, entry)| (name.clone(), key, Some(entry)));
        batch.inventory.extend(adopted);
        self.take(name, event, batch);
        self.watch_inventory();
        // Only now: a change of phase forgets what belonged to the last one.
        if let (Some(desired), Some(managed)) = (desired, self.apps.get_mut(name))
            && (cleared || managed.epoch == epoch)
        {
            // What an unknown kind kept from being prepared is prepared anew.
            let is_whole = desired.unknown.is_empty();
            managed.view.desired = is_whole.then_some((revision.content, desired));
            managed.view.progress.unproven = unproven;
            managed.view.progress.is_examined = cleared;
            self.mark_foreign(name);
        }
    }

    fn looked(
        &mut self,
        name: &AppName,
        what: LookFor,
        keys: Vec<ObjectKey>,
        result: Result<Looked, ClusterFault>,
    ) {
        let now = self.clock.uptime();
        let Some(managed) = self.apps.get_mut(name) else { return };
        let found = match result {
            Ok(found) => found,
            Err(fault) => {
                managed.view.dirty.extend(keys);
                managed.view.look_by(now + AGAIN_AT_WORK);
                let event = AppEvent::Obstacle { message: fault.to_string() };
                return self.take(name, event, Batch::default());
            }
        };
        if what == LookFor::Foundations {
            return self.saw_foundations(name, found.verdicts);
        }
        self.record_ended(name, found.ended);
        let Some(managed) = self.apps.get_mut(name) else { return };
        let candidate = managed.app.record.candidate().map(|one| one.commit.to_string());
        let inventory = &managed.inventory;
        let counts = |key: &ObjectKey| inventory.get(key).is_some_and(|one| !one.leaving);
        managed.view.health.retain(|key, _| counts(key));
        for (key, health) in found.verdicts {
            let Some(entry) = inventory.get(&key).filter(|entry| !entry.leaving) else { continue };
            let run = entry.run.as_ref().filter(|_| entry.applied.is_some());
            managed.view.health.insert(key, with_run(health, run, candidate.as_deref()));
        }
        if managed.view.health.values().any(|health| !is_well(health)) {
            let again = if managed.is_at_work() { AGAIN_AT_WORK } else { AGAIN_AT_REST };
            managed.view.look_by(now + again.max(managed.rest));
        }
        let mut sum = roll_up(managed.view.health.iter());
        let failed = managed.view.health.values().any(|one| one.verdict == Verdict::Failed);
        self.variables.hide_unknown(&managed.app.record, &mut sum.faults);
        let waits_outside = waits_outside(managed.view.health.values());
        let is_crowded = managed.view.health.values().any(|one| one.cause == Cause::Room);
        let (name_of, faults) = (sum.health, sum.faults);
        let health = AppHealth { name: name_of, failed, waits_outside, is_crowded, faults };
        let epoch = managed.epoch;
        self.take(name, AppEvent::Observed(health), Batch::default());
        let Some(managed) = self.apps.get_mut(name).filter(|one| one.epoch == epoch) else {
            return;
        };
        if let LookFor::Stage(stage) = what {
            if managed.is_rolling_back() {
                return managed.view.pass_or_wait(stage, &keys, now);
            }
            match gate(&managed.view, &keys) {
                Gate::Open => managed.view.progress.passed = Some(stage),
                Gate::Shut => managed.view.progress.look_again = Some(now + LOOK_AGAIN),
                Gate::Failed(faults) => {
                    let reason = "an earlier wave failed its health checks".to_owned();
                    let event = AppEvent::ApplyFailed { reason, faults };
                    self.take(name, event, Batch::default());
                }
            }
        }
    }

    /// Remembers which objects have run to their end: whoever removes one of them from
    /// now on, it is done for its content.
    fn record_ended(&mut self, name: &AppName, ended: Vec<(ObjectKey, String, Run)>) {
        let Some(managed) = self.apps.get(name) else { return };
        let mut batch = Batch::default();
        for (key, uid, run) in ended {
            let known =
                managed.inventory.get(&key).filter(|entry| entry.uid.as_ref() == Some(&uid));
            let Some(entry) = known.filter(|entry| entry.run.as_ref() != Some(&run)) else {
                continue;
            };
            let entry = InventoryEntry { run: Some(run), ..entry.clone() };
            batch.inventory.push((name.clone(), key, Some(entry)));
        }
        self.record(batch);
        if self.identity.known.is_none() {
            self.ask_identity();
        }
    }

    fn saw_foundations(&mut self, name: &AppName, found: Vec<(ObjectKey, Health)>) {
        let now = self.clock.uptime();
        let Some(managed) = self.apps.get_mut(name) else { return };
        let progress = &mut managed.view.progress;
        for (key, health) in found {
            if health.verdict == Verdict::Healthy {
                progress.foundations.remove(&key);
            } else if let Some(awaited) = progress.foundations.get_mut(&key) {
                awaited.reason = health.reason;
            }
        }
        if !progress.foundations.is_empty() {
            progress.look_again = Some(now + FOUNDATION_POLL);
        }
    }

    /// Records what was sent, whether or not the app has moved on meanwhile.
    pub(super) fn record_sent(&mut self, name: &AppName, sent: &Sent) {
        let mut batch = Batch::default();
        let Some(managed) = self.apps.get_mut(name) else { return };
        let desired = managed.view.desired.as_ref().map(|(_, desired)| desired.clone());
        for (apply, applied) in &sent.applied {
            let key = &apply.key;
            let counts = &mut managed.view.progress.counts;
            if applied.created {
                counts.created += 1;
            } else {
                counts.changed += 1;
            }
            let manifest = desired.as_ref().and_then(|desired| desired.get(key));
            let manifest = manifest.map(|one| &one.manifest);
            let known = managed.inventory.get(key);
            let version = manifest.map(|one| one.version.clone());
            let Some(version) = version.or(known.map(|entry| entry.version.clone())) else {
                continue;
            };
            let same = known.filter(|entry| entry.uid.as_ref() == Some(&applied.uid));
            let run = same.and_then(|entry| entry.run.clone());
            let entry = InventoryEntry {
                version,
                applied: Some(apply.digest),
                fields: Some(applied.fields),
                uid: Some(applied.uid.clone()),
                wave: apply.wave,
                keep: apply.keep,
                replace: apply.replace,
                run: run.or_else(|| manifest.and_then(Run::begun)),
                leaving: false,
                from: known.and_then(|entry| entry.from.clone()),
            };
            managed.view.settled(key);
            if let Some(version) = applied.version {
                managed.view.progress.sent.insert(key.clone(), version);
            }
            managed.view.progress.replacing.remove(key);
            managed.view.progress.put_off.remove(key);
            if watches_health(&key.kind()) {
                managed.view.dirty.insert(key.clone());
            }
            batch.inventory.push((name.clone(), key.clone(), Some(entry)));
        }
        self.record(batch);
    }

    fn sent(&mut self, name: &AppName, stage: StageName, sent: Sent, is_late: bool) {
        let now = self.clock.uptime();
        self.record_sent(name, &sent);
        let Some(managed) = self.apps.get_mut(name) else { return };
        if is_late {
            // Its counts belong to nobody.
            managed.view.progress.counts = leeward_core::cycle::ApplyCounts::default();
            return;
        }
        let is_rolling_back = managed.is_rolling_back();
        if stage == StageName::Foundations {
            for (apply, _) in &sent.applied {
                let awaited = Awaited::from(now);
                managed.view.progress.foundations.insert(apply.key.clone(), awaited);
            }
        }
        let waits = !sent.replacing.is_empty();
        self.replacing(name, sent.replacing);
        if sent.applied.is_empty() && waits && sent.verdicts.is_clean() {
            return;
        }
        if is_rolling_back && !sent.verdicts.is_general {
            // What the API server does not take keeps nothing else from going back.
            self.put_off(name, sent.verdicts.named.into_iter().collect());
            return self.take(name, AppEvent::StageApplied, Batch::default());
        }
        self.take(name, sent.verdicts.into_event(), Batch::default());
    }

    /// Remembers what does not go back for now, and why.
    pub(super) fn put_off(&mut self, name: &AppName, late: Vec<(ObjectKey, String)>) {
        let now = self.clock.uptime();
        let Some(managed) = self.apps.get_mut(name) else { return };
        let progress = &mut managed.view.progress;
        if !late.is_empty() {
            progress.put_off_at = now;
        }
        for (key, reason) in late {
            tracing::warn!(app = %name, object = %key, reason, "An object does not go back; the rest does.");
            progress.foundations.remove(&key);
            progress.replacing.remove(&key);
            progress.put_off.insert(key, reason);
        }
    }

    /// Remembers which objects are on their way out, to be made anew.
    fn replacing(&mut self, name: &AppName, leaving: Vec<(ObjectKey, String)>) {
        let now = self.clock.uptime();
        let Some(managed) = self.apps.get_mut(name) else { return };
        let progress = &mut managed.view.progress;
        for (key, reason) in leaving {
            let awaited = progress.replacing.entry(key).or_insert_with(|| Awaited::from(now));
            awaited.reason = reason;
            progress.look_again = Some(now + LOOK_AGAIN);
        }
    }
}
