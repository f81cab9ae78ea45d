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
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::{
        health::Health,
        model::{Manifest, Origin},
        plan::{
            desired::tests::prepared,
            order::{PlanInput, plan},
        },
    };

    fn manifest(api_version: &str, kind: &str, name: &str, wave: &str) -> Manifest {
        let mut metadata = json!({"name": name, "annotations": {"leeward.dev/wave": wave}});
        if kind == "Namespace" {
            metadata = json!({"name": name});
        } else {
            metadata["namespace"] = json!("shop");
        }
        let body = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
        Manifest::new(body, Origin::default()).unwrap()
    }

    fn entry(digest: Option<crate::model::Digest>, wave: i32) -> InventoryEntry {
        let version = "v1".to_owned();
        InventoryEntry { version, applied: digest, wave, ..InventoryEntry::default() }
    }

    /// A namespace, a Deployment in wave 0 and a ConfigMap in wave 1.
    fn desired() -> Desired {
        prepared(
            &[
                manifest("v1", "Namespace", "shop", "0"),
                manifest("apps/v1", "Deployment", "web", "0"),
                manifest("v1", "ConfigMap", "late", "1"),
            ],
            &[],
        )
    }

    fn step(view: &View, applied: &[&str], now: u64) -> String {
        step_of(&desired(), view, &inventory(&desired(), applied), false, now)
    }

    fn inventory(desired: &Desired, applied: &[&str]) -> BTreeMap<ObjectKey, InventoryEntry> {
        let entries = desired.objects.iter().map(|one| {
            let digest = applied.contains(&one.key().name.as_str()).then_some(one.digest);
            (one.key().clone(), entry(digest, one.marks.wave()))
        });
        entries.collect()
    }

    fn step_of(
        desired: &Desired,
        view: &View,
        inventory: &BTreeMap<ObjectKey, InventoryEntry>,
        rolling_back: bool,
        now: u64,
    ) -> String {
        let nothing = BTreeSet::new();
        let input = PlanInput { desired, inventory, drifted: &nothing, left_alone: &nothing };
        let plan = plan(&input);
        let applying =
            Applying { desired, plan: &plan, view, inventory, rolling_back, prunes_first: true };
        let list = |keys: &[ObjectKey]| {
            keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        match applying.next_step(Uptime::from_secs(now)) {
            ApplyStep::Send(stage, applies) => {
                let keys: Vec<ObjectKey> = applies.into_iter().map(|one| one.key).collect();
                format!("send {stage}: {}", list(&keys))
            }
            ApplyStep::AwaitFoundations(keys) => format!("await {}", list(&keys)),
            ApplyStep::LookBefore(stage, keys) => format!("before {stage} look at {}", list(&keys)),
            ApplyStep::Know(AppEvent::Obstacle { message }) => message,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn stage_follows_stage_and_each_waits_for_what_came_before() {
        let mut view = View::default();
        let mut story = vec![step(&view, &[], 0)];
        let namespace = desired().objects[0].key().clone();
        view.progress.foundations.insert(namespace.clone(), Awaited::from(Uptime::default()));
        story.push(step(&view, &["shop"], 1));
        view.progress.foundations.clear();
        story.push(step(&view, &["shop"], 1));
        story.push(step(&view, &["shop", "web"], 2));
        view.progress.passed = Some(StageName::Wave(1));
        story.push(step(&view, &["shop", "web"], 3));
        view.progress.look_again = Some(Uptime::from_secs(9));
        story.push(step(&view, &["shop", "web"], 4));
        story.push(step(&view, &["shop", "web", "late"], 10));
        insta::assert_snapshot!(story.join("\n"), @r#"
        send foundations: Namespace shop
        await Namespace shop
        send wave 0: Deployment.apps shop/web
        before wave 1 look at Deployment.apps shop/web
        send wave 1: ConfigMap shop/late
        Wait(Uptime(9s))
        Know(ApplyDone { counts: ApplyCounts { created: 0, changed: 0, pruned: 0, unchanged: 3 }, stuck: [], leaving: false })
        "#);
    }

    #[test]
    fn an_admission_configuration_is_sent_after_the_rest_of_its_stage() {
        let policy = "ValidatingAdmissionPolicy";
        let desired = prepared(
            &[
                manifest("admissionregistration.k8s.io/v1", policy, "p", "0"),
                manifest("v1", "ConfigMap", "map", "0"),
            ],
            &[],
        );
        let step = |applied: &[&str]| {
            step_of(&desired, &View::default(), &inventory(&desired, applied), false, 0)
        };
        assert_eq!(step(&[]), "send wave 0: ConfigMap shop/map");
        assert!(step(&["map"]).starts_with("send wave 0: ValidatingAdmissionPolicy"));
    }

    #[test]
    fn what_takes_too_long_is_named_with_its_reason() {
        let mut view = View::default();
        let namespace = desired().objects[0].key().clone();
        let awaited = Awaited { since: Uptime::default(), reason: "is Terminating".to_owned() };
        view.progress.foundations.insert(namespace, awaited);
        assert_eq!(step(&view, &["shop"], 30), "Namespace shop is not ready: is Terminating");
        let web = desired().objects[1].key().clone();
        let reason = "finalizers x keep it".to_owned();
        view.progress.replacing.insert(web, Awaited { since: Uptime::default(), reason });
        insta::assert_snapshot!(step(&view, &["shop"], 30), @"Deployment.apps shop/web is to be replaced, but its deletion does not end: finalizers x keep it");
    }

    #[test]
    fn a_deletion_that_hangs_is_waited_for_a_minute_and_a_rollback_keeps_volumes() {
        let mut inventory = inventory(&desired(), &["shop", "web", "late"]);
        let mut insert = |kind: &str| {
            let key = manifest("v1", kind, "old", "0").key;
            inventory.insert(key.clone(), entry(None, 0));
            key
        };
        let (map, claim) = (insert("ConfigMap"), insert("PersistentVolumeClaim"));
        let mut view = View::default();
        let step = |view: &View, rolling_back, now| {
            step_of(&desired(), view, &inventory, rolling_back, now)
        };
        assert!(step(&view, false, 0).contains("PersistentVolumeClaim"));
        assert!(!step(&view, true, 0).contains("PersistentVolumeClaim"));
        view.progress.deleting.insert(map, Awaited::from(Uptime::default()));
        view.progress.deleting.insert(claim, Awaited::from(Uptime::default()));
        assert!(step(&view, false, 59).starts_with("Delete"));
        assert!(step(&view, false, 60).starts_with("Know(ApplyDone {"));
    }

    /// What is decided about two objects that Git does not declare any more.
    fn leaving(going: [(&str, &str); 2], view: &View) -> (String, String) {
        let desired = desired();
        let mut inventory = inventory(&desired, &["shop", "web", "late"]);
        for (api_version, kind) in going {
            let name = if kind == "CustomResourceDefinition" { "as.acme.io" } else { "old" };
            inventory.insert(manifest(api_version, kind, name, "0").key, entry(None, 0));
        }
        let (drifted, left_alone) = (BTreeSet::new(), BTreeSet::new());
        let plan = plan(&PlanInput {
            desired: &desired,
            inventory: &inventory,
            drifted: &drifted,
            left_alone: &left_alone,
        });
        let (rolling_back, prunes_first) = (false, false);
        let applying = Applying {
            desired: &desired,
            plan: &plan,
            view,
            inventory: &inventory,
            rolling_back,
            prunes_first,
        };
        let told = |step| match step {
            ApplyStep::Delete(due) => {
                let keys: Vec<String> = due.iter().map(|(key, _)| key.kind.clone()).collect();
                format!("delete {}", keys.join(", "))
            }
            ApplyStep::Know(AppEvent::ApplyDone { leaving, .. }) => format!("leaving: {leaving}"),
            other => format!("{other:?}"),
        };
        let now = Uptime::from_secs(100);
        (told(applying.next_step(now)), told(applying.leave(now)))
    }

    #[test]
    fn what_goes_waits_until_the_revision_is_proven_but_not_what_stands_in_its_way() {
        let old = [("apps/v1", "Deployment"), ("v1", "ConfigMap")];
        let mut view = View::default();
        let told = ("leaving: true".to_owned(), "delete Deployment, ConfigMap".to_owned());
        assert_eq!(leaving(old, &view), told);
        let quota = [("v1", "ResourceQuota"), ("v1", "ConfigMap")];
        assert_eq!(leaving(quota, &view).0, "delete ResourceQuota");
        // There is no room for both.
        let web = desired().objects[1].key().clone();
        let crowded = Health { cause: Cause::Room, ..Health::new(Verdict::Progressing, "") };
        view.health.insert(web, crowded);
        assert_eq!(leaving(old, &view).0, "delete Deployment, ConfigMap");
    }

    #[test]
    fn a_custom_resource_goes_before_whoever_serves_it_and_is_waited_for() {
        let mut view = View::default();
        let operator = [("acme.io/v1", "Gadget"), ("apps/v1", "Deployment")];
        assert_eq!(leaving(operator, &view).1, "delete Gadget");
        let gadget = manifest("acme.io/v1", "Gadget", "old", "0").key;
        view.progress.deleting.insert(gadget, Awaited::from(Uptime::default()));
        // A minute later the rest goes, too; but never the definition.
        assert_eq!(leaving(operator, &view).1, "delete Deployment");
        let crd = "CustomResourceDefinition";
        let both = [("acme.io/v1", "Gadget"), ("apiextensions.k8s.io/v1", crd)];
        let told = leaving(both, &view).1;
        assert!(
            told.starts_with("Know(Pruned") && told.contains("waits for the deletion of Gadget"),
            "{told}"
        );
    }

    #[test]
    fn a_gate_opens_when_everything_before_it_is_healthy_and_fails_with_the_first_failure() {
        let keys: Vec<ObjectKey> =
            ["a", "b"].map(|name| manifest("apps/v1", "Deployment", name, "0").key).into();
        let mut view = View::default();
        assert_eq!(gate(&view, &keys), Gate::Shut);
        view.health.insert(keys[0].clone(), Health::new(Verdict::Healthy, ""));
        view.health.insert(keys[1].clone(), Health::new(Verdict::Progressing, "rolls out"));
        assert_eq!(gate(&view, &keys), Gate::Shut);
        view.health.insert(keys[1].clone(), Health::new(Verdict::Suspended, ""));
        assert_eq!(gate(&view, &keys), Gate::Open);
        view.health.insert(keys[0].clone(), Health::new(Verdict::Failed, "crash loop"));
        assert!(matches!(gate(&view, &keys), Gate::Failed(faults) if faults.len() == 1));
    }
}
