//! The next errand of an app whose plan is being carried out.
//!
//! Waiting is a state here, never a pause: whoever asks gets either one bounded
//! piece of work, or the time at which to ask again.

use std::{collections::BTreeMap, time::Duration};

use super::{
    step::AppEvent,
    view::{Awaited, View},
};
use crate::{
    gate::is_protected,
    health::{Verdict, watches_health},
    model::{InventoryEntry, ObjectFault, ObjectKey, Uptime},
    plan::{
        desired::Desired,
        order::{Apply, Plan, Stage, StageName},
    },
};

/// Between two looks at a wave that becomes healthy, or a deletion that goes on.
pub const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Between two looks at a CRD or a namespace that was just applied.
pub const FOUNDATION_POLL: Duration = Duration::from_millis(50);
/// CRDs are established, namespaces active and replaced objects gone within
/// moments, or something is wrong that has to be named.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long an apply waits for its deletions. A finalizer that hangs keeps its
/// object in the inventory; it does not make the new revision bad.
const LONGEST_DELETION: Duration = Duration::from_secs(60);
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
}

impl Applying<'_> {
    /// Decides what is done next to carry out the plan.
    pub fn next_step(&self, now: Uptime) -> ApplyStep {
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
        let Some(stage) = stage else { return self.prune(now) };
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
        ApplyStep::Send(stage.name, stage.applies.iter().take(SENT_AT_ONCE).cloned().collect())
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

    /// Deletes the last wave that is still there; the one before it when that is gone.
    fn prune(&self, now: Uptime) -> ApplyStep {
        let is_overdue = |key: &ObjectKey| {
            let since = self.view.progress.deleting.get(key);
            since.is_some_and(|since| *since + LONGEST_DELETION <= now)
        };
        // What a bad revision brought and nobody may lose (volumes, namespaces)
        // stays after a rollback; the guard asks a person about it later.
        let stays = |key: &ObjectKey| self.rolling_back && is_protected(key);
        let mut wave = None;
        let due: Vec<(ObjectKey, String)> = self
            .plan
            .prunes
            .iter()
            .filter(|key| !stays(key) && !is_overdue(key))
            .filter_map(|key| Some((key, self.inventory.get(key)?)))
            .take_while(|(_, entry)| *wave.get_or_insert(entry.wave) == entry.wave)
            .map(|(key, entry)| (key.clone(), entry.version.clone()))
            .collect();
        if !due.is_empty() {
            return ApplyStep::Delete(due);
        }
        let mut counts = self.view.progress.counts;
        let sent = usize::try_from(counts.created + counts.changed).unwrap_or(usize::MAX);
        counts.unchanged = self.plan.unchanged.saturating_sub(sent) as u64;
        ApplyStep::Know(AppEvent::ApplyDone(counts))
    }
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
        InventoryEntry {
            version,
            applied: digest,
            fields: None,
            uid: None,
            wave,
            keep: false,
            run: None,
        }
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
        let applying = Applying { desired, plan: &plan, view, inventory, rolling_back };
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
        Know(ApplyDone(ApplyCounts { created: 0, changed: 0, pruned: 0, unchanged: 3 }))
        "#);
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
        view.progress.deleting.insert(map, Uptime::default());
        view.progress.deleting.insert(claim, Uptime::default());
        assert!(step(&view, false, 59).starts_with("Delete"));
        assert!(step(&view, false, 60).starts_with("Know(ApplyDone"));
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
