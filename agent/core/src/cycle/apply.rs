//! The next errand of an app whose plan is being carried out.
//!
//! Waiting is a state here, never a pause: whoever asks gets either one bounded
//! piece of work, or the time at which to ask again.

use std::{collections::BTreeMap, time::Duration};

use super::{
    step::{AppEvent, ApplyCounts},
    view::{Awaited, View},
};
use crate::{
    health::{Cause, Verdict, watches_health},
    model::{InventoryEntry, ObjectFault, ObjectKey, Uptime},
    plan::{
        desired::Desired,
        judges::{fore, is_exclusive},
        order::{Apply, Plan, Stage, StageName, is_custom, prune_turn, stands_in_the_way},
    },
};

/// Between two looks at a wave that becomes healthy, or a deletion that goes on.
pub const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Between two looks at a CRD or a namespace that was just applied.
pub const FOUNDATION_POLL: Duration = Duration::from_millis(50);
/// CRDs are established, namespaces active and replaced objects gone within
/// moments, or something is wrong that has to be named.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long a refusal may still be of the time before a CRD or a policy changed.
pub const HEARD_WITHIN: Duration = Duration::from_secs(5);
/// How long an apply waits for its deletions. A finalizer that hangs keeps its
/// object in the inventory; it does not make the new revision bad.
pub(super) const LONGEST_DELETION: Duration = Duration::from_secs(60);
/// Objects that one errand sends. Their results are recorded together: a power
/// cut repeats at most so many applies.
pub const SENT_AT_ONCE: usize = 256;

/// One bounded piece of carrying out a plan.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one is made and taken apart at a time")]
pub enum ApplyStep {
    /// Look whether these foundations are ready.
    AwaitFoundations(Vec<ObjectKey>),
    /// Look how healthy the objects before this stage are.
    LookBefore(StageName, Vec<ObjectKey>),
    /// Dry-run what could not be dry-run before the foundations were in.
    Prove(Vec<ObjectKey>),
    Send(StageName, Vec<Apply>),
    /// Send what was put off on the way back, for the second and last time.
    SendAgain(Vec<Apply>),
    /// Go back without these for now, each with the reason.
    PutOff(Vec<(ObjectKey, String)>),
    /// Delete these, in the version in which the inventory knows them.
    Delete(Vec<(ObjectKey, String)>),
    /// Nothing new can be seen before this.
    Wait(Uptime),
    Know(AppEvent),
}

/// All that the next step of an apply depends on.
#[derive(Clone, Copy, Debug)]
pub struct Applying<'a> {
    pub desired: &'a Desired,
    pub plan: &'a Plan,
    pub view: &'a View,
    pub inventory: &'a BTreeMap<ObjectKey, InventoryEntry>,
    pub rolling_back: bool,
    /// Both revisions cannot run side by side: what goes, goes first.
    pub prunes_first: bool,
}

impl Applying<'_> {
    /// Decides what is done next to carry out the plan.
    pub fn next_step(&self, now: Uptime) -> ApplyStep {
        if self.rolling_back {
            return self.way_back(now);
        }
        let progress = &self.view.progress;
        if let Some(event) = self.overdue(now) {
            return ApplyStep::Know(event);
        }
        if let Some(until) = progress.look_again.filter(|until| now < *until) {
            return ApplyStep::Wait(until);
        }
        let stage = self.plan.stages.first();
        let is_foundation = |stage: &Stage| stage.name == StageName::Foundations;
        if !progress.foundations.is_empty() && !stage.is_some_and(is_foundation) {
            return ApplyStep::AwaitFoundations(progress.foundations.keys().cloned().collect());
        }
        if !progress.unproven.is_empty() {
            let fore: Vec<Apply> =
                fore(self.plan, self.inventory).take(SENT_AT_ONCE).cloned().collect();
            if !fore.is_empty() {
                return ApplyStep::Send(StageName::Foundations, fore);
            }
            // One that goes may hold what one of its kind that comes is refused for.
            let kinds: Vec<_> = progress.unproven.iter().map(ObjectKey::kind).collect();
            let obstructs = |key: &ObjectKey| {
                stands_in_the_way(key) || (is_exclusive(key) && kinds.contains(&key.kind()))
            };
            let obstructions = self.due(now, PATIENCE, &obstructs);
            if !obstructions.is_empty() {
                return ApplyStep::Delete(obstructions);
            }
        }
        let Some(stage) = stage else { return self.prune(now) };
        // What has no room beside the old gets it.
        let crowding = self.due(now, LONGEST_DELETION, &|_| self.is_crowded());
        if !crowding.is_empty() {
            return ApplyStep::Delete(crowding);
        }
        if progress.passed != Some(stage.name) {
            let before = self.desired.earlier_than(stage.name);
            let before: Vec<ObjectKey> =
                before.filter(|key| watches_health(&key.kind())).cloned().collect();
            if !before.is_empty() {
                return ApplyStep::LookBefore(stage.name, before);
            }
        }
        if !is_foundation(stage) && !progress.unproven.is_empty() {
            return ApplyStep::Prove(progress.unproven.iter().cloned().collect());
        }
        ApplyStep::Send(stage.name, together(stage.applies.iter()))
    }

    /// Names what is waited for longer than it can take.
    fn overdue(&self, now: Uptime) -> Option<AppEvent> {
        let progress = &self.view.progress;
        let late = |(_, awaited): &(&ObjectKey, &Awaited)| awaited.since + PATIENCE <= now;
        if let Some((key, awaited)) = progress.replacing.iter().find(late) {
            let message = format!(
                "{key} is to be replaced, but its deletion does not end: {}",
                awaited.reason
            );
            return Some(AppEvent::Obstacle { message });
        }
        let (key, awaited) = progress.foundations.iter().find(late)?;
        let message = format!("{key} is not ready: {}", awaited.reason);
        Some(AppEvent::Obstacle { message })
    }

    /// Deletes what does not wait until the revision has proven itself.
    fn prune(&self, now: Uptime) -> ApplyStep {
        let first = |key: &ObjectKey| self.goes_first(key);
        let due = self.due(now, LONGEST_DELETION, &first);
        if !due.is_empty() {
            return ApplyStep::Delete(due);
        }
        let leaving = self.plan.prunes.iter().any(|key| !first(key));
        let (counts, stuck) = (self.counts(), self.stuck(&first));
        ApplyStep::Know(AppEvent::ApplyDone { counts, stuck, leaving })
    }

    /// Decides what is done next to delete what the revision, which is well, does not
    /// declare any more.
    pub fn leave(&self, now: Uptime) -> ApplyStep {
        if let Some(until) = self.view.progress.look_again.filter(|until| now < *until) {
            return ApplyStep::Wait(until);
        }
        let due = self.due(now, LONGEST_DELETION, &|_| true);
        if !due.is_empty() {
            return ApplyStep::Delete(due);
        }
        ApplyStep::Know(AppEvent::Pruned { stuck: self.stuck(&|_| true) })
    }

    /// What keeps new objects from being accepted or from running, and all of it where
    /// nothing new is waited for, where there is no room for both, or where Git says so.
    fn goes_first(&self, key: &ObjectKey) -> bool {
        let awaits_nothing = self.desired.objects.is_empty();
        // It would go on changing what the revision decides now.
        let drives = key.is("autoscaling", "HorizontalPodAutoscaler");
        self.prunes_first || awaits_nothing || drives || stands_in_the_way(key) || self.is_crowded()
    }

    fn is_crowded(&self) -> bool {
        self.view.health.values().any(|health| health.cause == Cause::Room)
    }

    /// Of what is to be deleted and `goes`, the next that go together, without what
    /// has not gone for so long or what another app is about to take over.
    pub(super) fn due(
        &self,
        now: Uptime,
        patience: Duration,
        goes: &dyn Fn(&ObjectKey) -> bool,
    ) -> Vec<(ObjectKey, String)> {
        let progress = &self.view.progress;
        let is_overdue = |key: &ObjectKey| {
            let awaited = progress.deleting.get(key);
            awaited.is_some_and(|awaited| awaited.since + patience <= now)
        };
        let mut together = None;
        self.plan
            .prunes
            .iter()
            .filter(|key| goes(key) && !progress.wanted_by_others.contains_key(*key))
            .filter(|key| !is_overdue(key) && self.awaited_by(key).is_none())
            .filter_map(|key| Some((key, self.inventory.get(key)?)))
            .take_while(|(key, entry)| {
                let prune_turn = prune_turn(key, entry);
                *together.get_or_insert(prune_turn) == prune_turn
            })
            .map(|(key, entry)| (key.clone(), entry.version.clone()))
            .collect()
    }

    /// The custom resource that has to go before this object, if one is still on its
    /// way: with its CRD goes everything that can clean up after it.
    pub(super) fn awaited_by(&self, key: &ObjectKey) -> Option<&ObjectKey> {
        let crds = self
            .plan
            .prunes
            .iter()
            .filter(|one| one.is("apiextensions.k8s.io", "CustomResourceDefinition"));
        let groups: Vec<&str> = crds.filter_map(|one| Some(one.name.split_once('.')?.1)).collect();
        if groups.is_empty() || is_custom(key) {
            return None;
        }
        let deleting = self.view.progress.deleting.keys();
        let mut going = deleting.filter(|one| self.inventory.contains_key(*one));
        going.find(|one| groups.contains(&one.group.as_str()))
    }

    pub(super) fn counts(&self) -> ApplyCounts {
        let mut counts = self.view.progress.counts;
        let sent = usize::try_from(counts.created + counts.changed).unwrap_or(usize::MAX);
        counts.unchanged = self.plan.unchanged.saturating_sub(sent) as u64;
        counts
    }
}

/// What of a stage is sent at once. An admission configuration can refuse everything
/// else from the moment it is in, so it is sent when the rest of its stage is.
pub(super) fn together<'a>(applies: impl Iterator<Item = &'a Apply>) -> Vec<Apply> {
    let judges = |apply: &&Apply| apply.key.group == "admissionregistration.k8s.io";
    let mut applies = applies.peekable();
    let is_last = applies.peek().is_some_and(judges);
    applies.take_while(|apply| is_last || !judges(apply)).take(SENT_AT_ONCE).cloned().collect()
}

/// What the health of all that comes before a stage means for it.
#[derive(Clone, Debug, PartialEq)]
pub enum Gate {
    Open,
    /// Something is not healthy yet.
    Shut,
    /// These failed in a way that waiting does not mend.
    Failed(Vec<ObjectFault>),
}

/// A stage starts when everything in the stages before it is healthy.
pub fn gate(view: &View, before: &[ObjectKey]) -> Gate {
    let mut waiting = before.len();
    let mut faults = Vec::new();
    for key in before {
        let Some(health) = view.health.get(key) else { continue };
        match health.verdict {
            Verdict::Healthy | Verdict::Suspended => waiting -= 1,
            Verdict::Failed => faults.push(ObjectFault::of_object(key, health.reason.clone())),
            Verdict::Progressing | Verdict::Unknown => {}
        }
    }
    if !faults.is_empty() {
        return Gate::Failed(faults);
    }
    if waiting == 0 { Gate::Open } else { Gate::Shut }
}

#[cfg(test)]
mod tests;
