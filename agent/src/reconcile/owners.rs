//! Which app owns what, and how an object changes hands.
//!
//! An object belongs to one app. It goes over to another that declares it when its
//! owner, at what it is on its way to, does not declare it any more: in one record,
//! without a deletion and without a restart of what runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use leeward_core::{
    cycle::{App, AppEvent, Hold, HoldReason, Phase},
    model::{AppName, AppSpec, InventoryEntry, ObjectFault, ObjectKey, Revision, Run},
    plan::{
        desired::{Desired, Prepared, fault_of},
        marks::is_foundation,
    },
    report::{Event, EventData},
};
use leeward_wire::AppMoved;

use super::{
    budget::Class,
    errand::{
        Outcome,
        claims::{Neighbour, Neighbours, Stand, ask_owner, hosts},
        preflight::Preflighted,
        prepare::{Recipe, Undesired},
    },
    managed::Managed,
    reconciler::Reconciler,
};
use crate::{edge::Cluster, store::Batch};

/// How long an app whose newest revision cannot be read keeps the others from
/// deleting anything: it may want what they are done with.
const UNREAD_FOR: Duration = Duration::from_secs(3600);
/// Objects that a report of a move names; all are counted.
pub(super) const NAMED: usize = 20;

impl<C: Cluster + 'static> Reconciler<C> {
    /// Returns the other app of ours that owns an object.
    pub(super) fn owner(&self, name: &AppName, key: &ObjectKey) -> Option<&AppName> {
        let mut others = self.apps.iter().filter(|(other, _)| *other != name);
        others.find(|(_, managed)| managed.owns(key)).map(|(other, _)| other)
    }

    /// Returns what of a revision other apps own.
    fn foreign(&self, name: &AppName, desired: &Desired) -> BTreeMap<ObjectKey, AppName> {
        let keys = desired.objects.iter().map(Prepared::key);
        keys.filter_map(|key| Some((key.clone(), self.owner(name, key)?.clone()))).collect()
    }

    /// Notes what of the revision at hand other apps own: it is theirs to write.
    pub(super) fn mark_foreign(&mut self, name: &AppName) {
        let Some(managed) = self.apps.get(name) else { return };
        let Some((_, desired)) = managed.view.desired.clone() else { return };
        let foreign = self.foreign(name, &desired);
        if let Some(managed) = self.apps.get_mut(name) {
            managed.view.foreign = foreign;
        }
    }

    /// Returns all that the other apps may want of this one's objects.
    pub(super) fn neighbours(&self, name: &AppName) -> Neighbours {
        let now = self.clock.uptime();
        let mut neighbours = Neighbours::default();
        for (other, managed) in self.apps.iter().filter(|(other, _)| *other != name) {
            let record = &managed.app.record;
            let missing = record.stuck.iter().filter(|stuck| !stuck.goes && !record.removed);
            let missing = missing.map(|stuck| (stuck.key.clone(), other.clone()));
            neighbours.missing.extend(missing.filter(|(key, _)| !managed.owns(key)));
            let is_settled = self.is_settled(other) || record.removed;
            let is_overdue = managed.app.entered + UNREAD_FOR <= now;
            let recipe = match (&managed.wanting, &record.newest) {
                (Some(wanting), _) => Err(wanting.clone()),
                (None, Some(newest)) if !is_settled => self.recipe_to_read(other, newest),
                (None, _) => continue,
            };
            neighbours.unsettled.push(Neighbour { app: other.clone(), recipe, is_overdue });
        }
        let Some(managed) = self.apps.get(name) else { return neighbours };
        for host in managed.inventory.keys().filter(|key| is_foundation(key)) {
            let others = self.apps.iter().filter(|(other, _)| *other != name);
            let mut guests =
                others.filter(|(_, one)| one.inventory.keys().any(|guest| hosts(host, guest)));
            if let Some((other, _)) = guests.next() {
                neighbours.hosts.insert(host.clone(), other.clone());
            }
        }
        neighbours
    }

    fn recipe_to_read(&self, name: &AppName, revision: &Revision) -> Result<Recipe, String> {
        self.recipe(name, revision).map_err(Undesired::into_message)
    }

    /// A candidate declares objects that other apps own: these are asked whether they
    /// go on declaring them. Returns the candidate if there is nothing to ask.
    pub(super) fn ask_owners(
        &mut self,
        name: &AppName,
        done: Box<Preflighted>,
    ) -> Option<Box<Preflighted>> {
        let foreign = match &done.desired {
            Some(desired) if done.event == AppEvent::Cleared => self.foreign(name, desired),
            _ => BTreeMap::new(),
        };
        if foreign.is_empty() {
            return Some(done);
        }
        let mut by_owner: BTreeMap<AppName, BTreeSet<ObjectKey>> = BTreeMap::new();
        for (key, owner) in foreign {
            by_owner.entry(owner).or_default().insert(key);
        }
        let orders: Vec<_> = by_owner
            .into_iter()
            .map(|(owner, keys)| {
                let nothing = || Err("it has no revision yet".to_owned());
                let revision = self.on_its_way_to(&owner);
                let recipe = revision.map_or_else(nothing, |one| self.recipe_to_read(&owner, one));
                (owner, recipe, keys)
            })
            .collect();
        let _sent =
            self.send_for(name, "asks whose its objects are", Class::Short, async |means| {
                let mut stands = Vec::new();
                for (owner, recipe, keys) in orders {
                    stands.push(ask_owner(&means, owner, recipe, &keys).await);
                }
                Outcome::Asked { done, stands }
            });
        None
    }

    /// What an app will be if nothing goes wrong.
    fn on_its_way_to(&self, name: &AppName) -> Option<&Revision> {
        let record = &self.apps.get(name)?.app.record;
        record.candidate().or_else(|| record.wanted()).or(record.newest.as_ref())
    }

    /// The owners have answered: what they leave changes hands as the candidate is
    /// cleared; what they keep holds it.
    pub(super) fn asked(&mut self, name: &AppName, mut done: Preflighted, stands: &[Stand]) {
        let Some(desired) = done.desired.clone() else { return };
        let foreign = self.foreign(name, &desired);
        let mut refusal = None;
        for (key, owner) in &foreign {
            let Some(one) = desired.get(key) else { continue };
            if let Some(why) = self.why_kept(key, owner, stands) {
                refusal = Some((fault_of(&one.manifest, why), owner.clone()));
                break;
            }
        }
        if let Some((fault, _)) = refusal {
            let detail = format!("an object belongs to another app: {fault}");
            done.event = AppEvent::Held(Hold::of(HoldReason::Owner, detail));
            return self.conclude(name, done, Batch::default());
        }
        let is_busy = |(key, owner): (&ObjectKey, &AppName)| {
            let errand = self.apps.get(owner).and_then(|managed| managed.errand.as_ref());
            errand.is_some_and(|errand| errand.writes.contains(key))
        };
        if let Some((key, owner)) = foreign.iter().find(|one| is_busy(*one)) {
            let message = format!("{key} comes from app {owner}, which is at work on it");
            return self.take(name, AppEvent::Obstacle { message }, Batch::default());
        }
        let owners: BTreeSet<AppName> = foreign.values().cloned().collect();
        // Before the objects change hands: a power cut in between costs a look at them.
        for owner in &owners {
            self.take(owner, AppEvent::HandsOver, Batch::default());
        }
        let batch = self.hand_over(name, &foreign);
        self.conclude(name, done, batch);
        for key in foreign.keys() {
            // One that is not sent again may still carry the mark of its last owner.
            self.mark_drifted(name, key);
        }
        for owner in &owners {
            self.has_handed_over(owner);
        }
    }

    /// Why an owner does not leave an object; `None`: it does.
    fn why_kept(&self, key: &ObjectKey, owner: &AppName, stands: &[Stand]) -> Option<String> {
        let record = &self.apps.get(owner)?.app.record;
        if record.removed {
            return None;
        }
        let stand = stands.iter().find(|stand| stand.app == *owner);
        let present = self.on_its_way_to(owner).map(|revision| &revision.content);
        let keeps = match stand {
            Some(stand) if stand.content.as_ref() == present => &stand.keeps,
            _ => return Some(format!("app {owner} owns it, and is about to change")),
        };
        match keeps {
            Err(why) => Some(format!("app {owner} owns it, and cannot be read: {why}")),
            Ok(kept) if !kept.contains(key) => None,
            Ok(_) => {
                let is_bad = |revision: &Revision| record.is_bad(&revision.content);
                Some(match record.newest.as_ref().filter(|newest| is_bad(newest)) {
                    None => format!("app {owner} owns it, and declares it"),
                    Some(newest) => {
                        format!("app {owner} owns it, and its revision {} is bad", newest.commit)
                    }
                })
            }
        }
    }

    /// The record of objects that change hands: each leaves one inventory and enters the
    /// other in the same write.
    fn hand_over(&mut self, name: &AppName, foreign: &BTreeMap<ObjectKey, AppName>) -> Batch {
        let mut batch = Batch::default();
        let mut moved: BTreeMap<&AppName, Vec<&ObjectKey>> = BTreeMap::new();
        for (key, owner) in foreign {
            let Some(entry) = self.apps.get(owner).and_then(|one| one.inventory.get(key)) else {
                continue;
            };
            let entry = changed_hands(entry, owner);
            batch.inventory.push((owner.clone(), key.clone(), None));
            batch.inventory.push((name.clone(), key.clone(), Some(entry)));
            moved.entry(owner).or_default().push(key);
        }
        for (owner, keys) in moved {
            tracing::info!(app = %name, from = %owner, objects = keys.len(), "Objects change hands.");
            batch.events.push((self.journal.stamp(), moved_event(name, owner, &keys)));
        }
        batch
    }

    /// What the owner knew of objects that it has no more is out of date.
    fn has_handed_over(&mut self, owner: &AppName) {
        self.mark_foreign(owner);
        let Some(managed) = self.apps.get(owner) else { return };
        let owned: BTreeSet<ObjectKey> = managed.inventory.keys().cloned().collect();
        let is_asked = matches!(
            &managed.app.record.phase,
            Phase::Held { hold, .. } if hold.reason == HoldReason::PruneGuard
        );
        self.free(owner, |one| one.goes && !owned.contains(&one.key));
        if is_asked {
            // A person is not asked about what has gone to another app.
            self.take(owner, AppEvent::Released, Batch::default());
        }
    }

    /// An app that left Git under one of its former names goes on under the new one, with
    /// its good revisions and all that it owns.
    pub(super) fn rename(&mut self, spec: &AppSpec, offered: &BTreeSet<AppName>) {
        let has_left =
            |former: &&AppName| self.apps.contains_key(*former) && !offered.contains(*former);
        let is_known = self.apps.contains_key(&spec.name);
        let Some(former) = spec.formerly.iter().find(has_left).filter(|_| !is_known) else {
            return;
        };
        let Some(managed) = self.apps.get(former) else { return };
        if managed.errand.as_ref().is_some_and(|errand| !errand.writes.is_empty()) {
            // What it is writing is told under the former name first; the objects change
            // hands one by one then.
            return;
        }
        tracing::info!(app = %spec.name, former = %former, "The app has a new name.");
        let mut record = managed.app.record.clone();
        record.spec = spec.clone();
        record.removed = false;
        // Every object is to say the new name: nothing counts as applied.
        record.at = None;
        record.phase = if record.good.is_some() { Phase::Good } else { Phase::Waiting };
        let mut batch = Batch::default();
        for (key, entry) in &managed.inventory {
            let entry = changed_hands(entry, former);
            batch.inventory.push((former.clone(), key.clone(), None));
            batch.inventory.push((spec.name.clone(), key.clone(), Some(entry)));
        }
        let keys: Vec<&ObjectKey> = managed.inventory.keys().collect();
        batch.events.push((self.journal.stamp(), moved_event(&spec.name, former, &keys)));
        batch.apps.push(record.clone());
        let (former, now, epoch) = (former.clone(), self.now(), self.last_epoch + 1);
        let managed = Managed::new(App::resume(record, &now), BTreeMap::new(), epoch);
        self.apps.insert(spec.name.clone(), managed);
        self.record(batch);
        self.forget_app(&former);
    }

    /// What an app had taken from another, and does not declare any more, after a way back or
    /// because Git went back, goes to the app that misses it.
    pub(super) fn give_back(&mut self) {
        let mut returns = Vec::new();
        let is_at_rest = |one: &Managed| one.app.record.phase == Phase::Good;
        for (misser, managed) in self.apps.iter().filter(|(_, one)| is_at_rest(one)) {
            for stuck in managed.app.record.stuck.iter().filter(|stuck| !stuck.goes) {
                let key = &stuck.key;
                let Some(holder) = self.owner(misser, key) else { continue };
                let holding = &self.apps[holder];
                let entry = &holding.inventory[key];
                let is_free = is_at_rest(holding) && holding.errand.is_none();
                let record = &holding.app.record;
                let is_done_with = record.stuck.iter().any(|one| one.goes && one.key == *key);
                if is_free && (is_done_with || entry.from.as_ref() == Some(misser)) {
                    returns.push((holder.clone(), misser.clone(), key.clone(), entry.clone()));
                }
            }
        }
        for (holder, misser, key, entry) in returns {
            tracing::info!(app = %misser, from = %holder, object = %key, "An object goes back.");
            let event = moved_event(&misser, &holder, &[&key]);
            let entry = changed_hands(&entry, &holder);
            let batch = Batch {
                inventory: vec![
                    (holder.clone(), key.clone(), None),
                    (misser.clone(), key.clone(), Some(entry)),
                ],
                events: vec![(self.journal.stamp(), event)],
                ..Batch::default()
            };
            self.record(batch);
            self.free(&misser, |one| one.key == key);
            self.free(&holder, |one| one.key == key);
            if let Some(managed) = self.apps.get_mut(&misser) {
                managed.view.foreign.remove(&key);
                managed.view.drifted.insert(key);
            }
        }
    }
}

/// The entry of an object that was another app's. It is sent again, with the mark of its
/// new owner; but what runs once to its end is not begun again by that.
fn changed_hands(entry: &InventoryEntry, from: &AppName) -> InventoryEntry {
    let is_over = entry.run.as_ref().is_some_and(Run::is_over);
    let applied = entry.applied.filter(|_| is_over);
    InventoryEntry { applied, leaving: false, from: Some(from.clone()), ..entry.clone() }
}

fn moved_event(to: &AppName, from: &AppName, keys: &[&ObjectKey]) -> Event {
    let named = keys.iter().take(NAMED).map(|key| ObjectFault::of_object(key, "moved"));
    let (objects, count) = (named.collect(), keys.len() as u64);
    Event::new(Some(to), &EventData::AppMoved(AppMoved { from: from.clone(), count, objects }))
}
