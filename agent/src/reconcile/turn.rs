//! One app's turn: what is to be done for it now, as far as that can be known
//! without waiting. Either an errand is sent, or there is a time to look again.

use std::{collections::BTreeSet, rc::Rc, sync::Arc, time::Duration};

use leeward_core::{
    cycle::{App, AppEvent, ApplyStep, Applying, Phase, Work, due, is_well, next_work},
    gate::{Hold, dependency, dependent},
    health::watches_health,
    model::{AppName, InventoryEntry, ObjectKey, Revision, Uptime},
    plan::{
        desired::{Desired, fault_of},
        judges::Judges,
        order::{Apply, Plan, StageName},
    },
};
use tokio_util::sync::CancellationToken;

use super::{
    budget::Class,
    errand::{
        Back, Outcome,
        claims::Neighbours,
        delete::delete,
        look::{Look, LookFor, POD_QUERIES, look},
        preflight::{Candidate, applies, dry_run, preflight},
        prepare::{Recipe, Undesired, prepare},
        send::{Consignment, send},
    },
    managed::{Managed, UnderWay},
    outside::Means,
    reconciler::Reconciler,
};
use crate::{edge::Cluster, store::Batch};

/// Decisions for one app before the others have their turn.
const MAX_DECISIONS_IN_A_ROW: usize = 64;
/// An app with nothing to do is looked at again after this at the latest.
const NOTHING_TO_DO: Duration = Duration::from_secs(10);

/// What a decision about an app led to.
pub(super) enum Turn {
    /// Something was decided; more may follow at once.
    GoOn,
    /// An errand is out, or nothing is to be done before this.
    Until(Option<Uptime>),
}

impl<C: Cluster + 'static> Reconciler<C> {
    /// Decides about one app until there is nothing to decide. Returns when to
    /// look again, if nothing happens before.
    pub(super) fn turn_to(&mut self, name: &AppName) -> Uptime {
        let far = self.clock.uptime() + NOTHING_TO_DO;
        for _ in 0..MAX_DECISIONS_IN_A_ROW {
            match self.decide(name) {
                Turn::GoOn => {}
                Turn::Until(next) => return next.unwrap_or(far).min(far),
            }
        }
        self.clock.uptime()
    }

    fn decide(&mut self, name: &AppName) -> Turn {
        let now = self.now();
        let Some(managed) = self.apps.get_mut(name) else { return Turn::Until(None) };
        if due(&managed.app, &now).is_some_and(|due| due <= now.uptime) {
            self.take(name, AppEvent::Tick, Batch::default());
            // The retry of an obstacle is due, too; the event that ends it comes with the work.
        }
        let Some(managed) = self.apps.get_mut(name) else { return Turn::Until(None) };
        managed.view.release_held_back(now.uptime);
        if managed.errand.is_some() {
            return Turn::Until(due(&managed.app, &now).filter(|due| now.uptime < *due));
        }
        if managed.next_look().is_some_and(|at| at <= now.uptime) {
            let keys = keys_to_look_at(managed);
            return self.look(name, LookFor::Health, keys);
        }
        let ask = managed.next_asking(now.uptime);
        if ask.is_some_and(|at| at <= now.uptime) {
            return self.ask_again(name);
        }
        let drifted = !managed.view.drifted.is_empty();
        let (look, heal) = (managed.next_look(), managed.view.next_heal());
        let app = &self.apps[name].app;
        let hold = if app.record.removed {
            // What goes away needs nothing of the others.
            dependent(self.dependent(name))
        } else {
            dependency(self.unready(app))
        };
        let holds: Vec<Hold> = hold.into_iter().collect();
        match next_work(app, &holds, drifted, &now) {
            Work::Wait(due) => Turn::Until([due, look, heal, ask].into_iter().flatten().min()),
            Work::Know(event) => {
                self.take(name, event, Batch::default());
                Turn::GoOn
            }
            Work::Preflight => self.begin_preflight(name),
            Work::Apply => self.apply(name),
            Work::Prune => self.prune(name),
            Work::Heal => self.heal(name),
        }
    }

    /// Returns the first app that this one depends on and that is not good at
    /// what Git wants.
    fn unready<'a>(&self, app: &'a App) -> Option<&'a AppName> {
        app.record.spec.depends_on.iter().find(|name| !self.is_settled(name))
    }

    /// Returns the first app that is on its way out and depends on this one.
    fn dependent(&self, name: &AppName) -> Option<&AppName> {
        let goes = |managed: &Managed| {
            let record = &managed.app.record;
            record.removed && record.spec.depends_on.contains(name)
        };
        self.apps.iter().find(|(_, managed)| goes(managed)).map(|(dependent, _)| dependent)
    }

    pub(super) fn is_settled(&self, name: &AppName) -> bool {
        self.apps.get(name).is_some_and(|managed| {
            let record = &managed.app.record;
            let good = record.good.as_ref().map(|good| &good.revision.content);
            let newest = record.goal().map(|goal| &goal.content);
            record.phase == Phase::Good && good == newest && managed.wanting.is_none()
        })
    }

    /// Sends an errand for an app.
    pub(super) fn send_for<F>(
        &mut self,
        name: &AppName,
        about: &'static str,
        class: Class,
        work: F,
    ) -> Turn
    where
        F: AsyncFnOnce(Means<'_, C>) -> Outcome + 'static,
    {
        let since = self.clock.uptime();
        let stop = CancellationToken::new();
        let outside = Rc::clone(&self.outside);
        let Some(managed) = self.apps.get_mut(name) else { return Turn::Until(None) };
        tracing::debug!(app = %name, about, "Sends an errand.");
        let epoch = managed.epoch;
        let writes = BTreeSet::new();
        managed.meanwhile.clear();
        managed.errand = Some(UnderWay { about, since, writes, stop: stop.clone() });
        let app = name.clone();
        self.send(Box::pin(async move {
            let outcome = Box::new(work(outside.means(class, stop)).await);
            Back::App { app, epoch, outcome }
        }));
        Turn::Until(None)
    }

    /// Notes what the errand that was just sent for an app may write or delete.
    pub(super) fn writes(&mut self, name: &AppName, keys: impl IntoIterator<Item = ObjectKey>) {
        if let Some(errand) = self.apps.get_mut(name).and_then(|managed| managed.errand.as_mut()) {
            errand.writes = keys.into_iter().collect();
        }
    }

    /// Has objects looked at.
    fn look(&mut self, name: &AppName, what: LookFor, keys: BTreeSet<ObjectKey>) -> Turn {
        let now = self.clock.uptime();
        let Some(managed) = self.apps.get_mut(name) else { return Turn::Until(None) };
        let record = &managed.app.record;
        let candidate = match &record.phase {
            Phase::Applying { target } | Phase::Probation { target } => Some(target.commit),
            _ => None,
        };
        let newest = record.newest.as_ref();
        let rolled_back = newest.is_some_and(|newest| record.is_bad(&newest.content));
        let unblock = (!managed.app.is_paused(now)).then_some(rolled_back);
        managed.view.look_at = None;
        let version = |entry: &InventoryEntry| entry.version.clone();
        let owned =
            keys.iter().filter_map(|key| Some((key.clone(), version(managed.inventory.get(key)?))));
        let order = Look { app: name.clone(), keys: owned.collect(), candidate, unblock };
        let class = Class::of(order.keys.len());
        let keys: Vec<ObjectKey> = keys.into_iter().collect();
        self.send_for(name, "looks at its objects", class, async move |means| {
            let result = look(&means, &order).await;
            Outcome::Looked { what, keys, result }
        })
    }

    /// Everything that a revision of an app is rendered from.
    pub(super) fn recipe(&self, name: &AppName, revision: &Revision) -> Result<Recipe, Undesired> {
        let managed = &self.apps[name];
        Ok(Recipe {
            spec: managed.app.record.spec.clone(),
            revision: revision.clone(),
            source: self.config.source.clone(),
            sops: self.config.sops.clone(),
            secrets: self.variables.secrets_of(revision)?,
        })
    }

    fn obstacle(&mut self, name: &AppName, undesired: Undesired) -> Turn {
        let message = undesired.into_message();
        self.take(name, AppEvent::Obstacle { message }, Batch::default());
        Turn::GoOn
    }

    fn begin_preflight(&mut self, name: &AppName) -> Turn {
        let record = &self.apps[name].app.record;
        let Phase::Preflight { target } = record.phase.clone() else { return Turn::Until(None) };
        let is_approved = record.approved.as_ref() == Some(&target.content);
        let approved = record.approved_set.filter(|_| is_approved);
        let recipe = match self.recipe(name, &target) {
            Ok(recipe) => recipe,
            Err(undesired) => return self.obstacle(name, undesired),
        };
        let managed = &self.apps[name];
        let candidate = Candidate {
            recipe,
            desired: managed.view.desired_for(&target.content).cloned(),
            inventory: managed.inventory.clone(),
            // What was never ours is asked anew.
            left_alone: managed.owned_and_left_alone().cloned().collect(),
            approved,
            neighbours: self.neighbours(name),
        };
        self.send_for(name, "examines the candidate", Class::Short, async move |means| {
            Outcome::Preflighted(Box::new(preflight(&means, candidate).await))
        })
    }

    /// Has the wanted revision rendered, when it is not at hand.
    pub(super) fn prepare(&mut self, name: &AppName, revision: &Revision) -> Turn {
        let recipe = match self.recipe(name, revision) {
            Ok(recipe) => recipe,
            Err(undesired) => return self.obstacle(name, undesired),
        };
        let content = revision.content.clone();
        self.send_for(name, "renders its revision", Class::Short, async move |means| {
            let result = prepare(&means, recipe).await;
            Outcome::Prepared { content, result }
        })
    }

    /// Carries out the next step of the plan for the wanted revision.
    fn apply(&mut self, name: &AppName) -> Turn {
        let now = self.clock.uptime();
        let managed = &self.apps[name];
        let Some(wanted) = managed.app.record.wanted().cloned() else { return Turn::Until(None) };
        let Some(desired) = managed.view.desired_for(&wanted.content).cloned() else {
            return self.prepare(name, &wanted);
        };
        // What somebody deleted meanwhile is made again: later stages may need it.
        let plan = managed.plan(&desired, &managed.view.gone);
        if managed.view.progress.announced.as_ref() != Some(&wanted.content) {
            return self.write_ahead(name, &wanted, &plan);
        }
        let managed = &self.apps[name];
        let applying = Applying {
            desired: &desired,
            plan: &plan,
            view: &managed.view,
            inventory: &managed.inventory,
            rolling_back: managed.is_rolling_back(),
            prunes_first: managed.app.record.spec.prune.first,
        };
        let step = applying.next_step(now);
        self.carry_out(name, step, desired)
    }

    /// Deletes what the revision on probation does not declare any more.
    fn prune(&mut self, name: &AppName) -> Turn {
        let now = self.clock.uptime();
        let managed = &self.apps[name];
        let Some(wanted) = managed.app.record.wanted().cloned() else { return Turn::Until(None) };
        let Some(desired) = managed.view.desired_for(&wanted.content).cloned() else {
            return self.prepare(name, &wanted);
        };
        let applying = Applying {
            desired: &desired,
            plan: &managed.plan(&desired, &BTreeSet::new()),
            view: &managed.view,
            inventory: &managed.inventory,
            rolling_back: false,
            prunes_first: false,
        };
        let step = applying.leave(now);
        self.carry_out(name, step, desired)
    }

    /// Takes a step, but changes nothing in the cluster before that is on disk.
    fn carry_out(&mut self, name: &AppName, step: ApplyStep, desired: Arc<Desired>) -> Turn {
        let managed = &self.apps[name];
        let changes_cluster =
            matches!(step, ApplyStep::Send(..) | ApplyStep::SendAgain(_) | ApplyStep::Delete(_));
        if changes_cluster && !self.journal.is_written(managed.durable_from) {
            let Some(fault) = self.journal.fault() else {
                // The end of the write wakes the loop.
                return Turn::Until(None);
            };
            // A store that takes nothing is not the revision's fault.
            let message = format!("what is to be done cannot be recorded first: {fault}");
            self.take(name, AppEvent::Obstacle { message }, Batch::default());
            return Turn::GoOn;
        }
        self.take_step(name, step, desired)
    }

    fn take_step(&mut self, name: &AppName, step: ApplyStep, desired: Arc<Desired>) -> Turn {
        let now = self.clock.uptime();
        let managed = &self.apps[name];
        match step {
            ApplyStep::Wait(until) => Turn::Until(Some(until)),
            ApplyStep::Know(event) => {
                if let Some(managed) = self.apps.get_mut(name) {
                    managed.view.progress.wait_on(now);
                }
                let ends = matches!(event, AppEvent::Pruned { .. } | AppEvent::WentBack { .. });
                self.take(name, event, Batch::default());
                if ends {
                    self.try_later(name);
                }
                Turn::GoOn
            }
            ApplyStep::AwaitFoundations(keys) => {
                self.look(name, LookFor::Foundations, keys.into_iter().collect())
            }
            ApplyStep::LookBefore(stage, keys) => {
                self.look(name, LookFor::Stage(stage), keys.into_iter().collect())
            }
            ApplyStep::Prove(keys) => {
                let inventory = managed.inventory.clone();
                let class = Class::of(keys.len());
                self.send_for(
                    name,
                    "examines what its foundations hold up",
                    class,
                    async move |means| {
                        let judges = Judges::default();
                        let verdicts = dry_run(&means, &desired, &inventory, &keys, &judges).await;
                        Outcome::Proved { keys, verdicts }
                    },
                )
            }
            ApplyStep::PutOff(late) => {
                self.put_off(name, late);
                Turn::GoOn
            }
            ApplyStep::Send(stage, applies) => self.send_objects(name, stage, applies, desired),
            ApplyStep::SendAgain(applies) => {
                if let Some(managed) = self.apps.get_mut(name) {
                    managed.view.progress.second_try = true;
                }
                self.send_objects(name, StageName::After, applies, desired)
            }
            ApplyStep::Delete(due) => self.send_deletions(name, "prunes", due),
        }
    }

    /// Has objects deleted that no other app wants.
    pub(super) fn send_deletions(
        &mut self,
        name: &AppName,
        about: &'static str,
        due: Vec<(ObjectKey, String)>,
    ) -> Turn {
        let deleting = &self.apps[name].view.progress.deleting;
        // What was asked for once is asked for again without another look around.
        let is_news = due.iter().any(|(key, _)| !deleting.contains_key(key));
        let neighbours = if is_news { self.neighbours(name) } else { Neighbours::default() };
        let inventory = &self.apps[name].inventory;
        let left_by = due
            .iter()
            .filter_map(|(key, _)| Some((key.clone(), inventory.get(key)?.from.clone()?)))
            .collect();
        let around = (neighbours, left_by);
        let (class, app) = (Class::of(due.len()), name.clone());
        let keys: Vec<ObjectKey> = due.iter().map(|(key, _)| key.clone()).collect();
        let sent = self.send_for(name, about, class, async move |means| {
            Outcome::Deleted(delete(&means, &app, due, around).await)
        });
        self.writes(name, keys);
        sent
    }

    fn send_objects(
        &mut self,
        name: &AppName,
        stage: StageName,
        applies: Vec<Apply>,
        desired: Arc<Desired>,
    ) -> Turn {
        let managed = &self.apps[name];
        let class = Class::of(applies.len());
        let keys: Vec<ObjectKey> = applies.iter().map(|apply| apply.key.clone()).collect();
        let replacing = managed.view.progress.replacing.keys().cloned().collect();
        let consignment = Consignment::new(desired, vec![applies], &managed.inventory, replacing)
            .taking_over(&managed.view.shared);
        let sent = self.send_for(name, "applies", class, async move |means| Outcome::Sent {
            stage,
            sent: send(&means, &consignment).await,
        });
        self.writes(name, keys);
        sent
    }

    /// `inventory := old ∪ new`, on disk before the first object is sent: what
    /// we may have created can never be orphaned. An object that is about to
    /// change loses its digest, so that after a power cut nobody believes that
    /// it still is what it was.
    fn write_ahead(&mut self, name: &AppName, wanted: &Revision, plan: &Plan) -> Turn {
        let managed = &self.apps[name];
        let Some(desired) = managed.view.desired_for(&wanted.content).cloned() else {
            return Turn::Until(None);
        };
        let foreign: Vec<_> = applies(plan)
            .filter_map(|apply| Some((apply, self.owner(name, &apply.key)?)))
            .map(|(apply, owner)| {
                fault_of(&desired.objects[apply.index].manifest, format!("app {owner} owns it"))
            })
            .collect();
        if !foreign.is_empty() {
            let message = format!("an object belongs to another app: {}", foreign[0]);
            self.take(name, AppEvent::Obstacle { message }, Batch::default());
            return Turn::GoOn;
        }
        let mut batch = Batch::default();
        for apply in applies(plan) {
            let before = managed.inventory.get(&apply.key);
            let entry = InventoryEntry {
                version: desired.objects[apply.index].manifest.version.clone(),
                applied: None,
                fields: before.and_then(|entry| entry.fields),
                uid: before.and_then(|entry| entry.uid.clone()),
                wave: apply.wave,
                keep: apply.keep,
                replace: apply.replace,
                run: before.and_then(|entry| entry.run.clone()),
                leaving: false,
                from: before.and_then(|entry| entry.from.clone()),
            };
            if before != Some(&entry) {
                batch.inventory.push((name.clone(), apply.key.clone(), Some(entry)));
            }
        }
        // Also what is applied already: on the way back it may be what was to go.
        let sent: BTreeSet<&ObjectKey> = applies(plan).map(|apply| &apply.key).collect();
        for (key, entry) in managed.inventory.iter().filter(|(key, _)| !sent.contains(key)) {
            let leaving = !desired.declares(key) && !entry.keep;
            if entry.leaving != leaving {
                let entry = InventoryEntry { leaving, ..entry.clone() };
                batch.inventory.push((name.clone(), key.clone(), Some(entry)));
            }
        }
        self.record(batch);
        self.watch_inventory();
        if let Some(managed) = self.apps.get_mut(name) {
            if !managed.view.progress.is_examined && !managed.is_rolling_back() {
                // The preflight was before the start: what it left unproven is not known.
                let judges = Judges::of(plan, &desired, &managed.inventory);
                managed.view.progress.unproven = judges.unproven(plan, &managed.inventory);
            }
            managed.view.progress.announced = Some(wanted.content.clone());
            managed.view.progress.resume(&desired, &managed.inventory, self.clock.uptime());
        }
        Turn::GoOn
    }
}

/// Returns what changed, and some of what was not well.
fn keys_to_look_at(managed: &mut super::managed::Managed) -> BTreeSet<ObjectKey> {
    let (view, inventory) = (&mut managed.view, &managed.inventory);
    let mut keys = std::mem::take(&mut view.dirty);
    let unwell = view.health.iter().filter(|(_, health)| !is_well(health));
    keys.extend(unwell.map(|(key, _)| key.clone()).take(POD_QUERIES * 2));
    keys.retain(|key| watches_health(&key.kind()));
    // What is to go is no part of what is to be well.
    keys.retain(|key| inventory.get(key).is_none_or(|entry| !entry.leaving));
    keys
}
