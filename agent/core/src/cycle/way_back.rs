//! The way back to the last good revision: what can go back goes back, and what
//! cannot is named. It always ends, whatever the cluster refuses.
//!
//! What the bad revision brought and that stands in the way of others is
//! deleted first; then everything is sent, stage after stage; then the rest of
//! what was brought is deleted. An object that the API server does not take is
//! put off, and tried once more at the end, when everything else is back.

use std::time::Duration;

use super::{
    apply::{ApplyStep, Applying, LONGEST_DELETION, LOOK_AGAIN, PATIENCE, together},
    record::Stuck,
    step::AppEvent,
    view::View,
};
use crate::{
    gate::is_protected,
    health::{Verdict, watches_health},
    model::{ObjectKey, Uptime},
    plan::order::{Apply, StageName, stands_in_the_way},
};

/// Between the deletion of a policy or a quota and the moment when the API server
/// has heard of it everywhere.
const SECOND_TRY_AFTER: Duration = Duration::from_secs(3);

/// How long a stage of the way back waits for the health of what comes before
/// it. Everything ran together once; the order is a help, and no condition.
const LONGEST_GATE: Duration = Duration::from_secs(60);

impl Applying<'_> {
    /// Decides what is done next to go back.
    pub(super) fn way_back(&self, now: Uptime) -> ApplyStep {
        let progress = &self.view.progress;
        let late = self.late(now);
        if !late.is_empty() {
            return ApplyStep::PutOff(late);
        }
        if let Some(until) = progress.look_again.filter(|until| now < *until) {
            return ApplyStep::Wait(until);
        }
        let obstructions = self.due(now, PATIENCE, &stands_in_the_way);
        if !obstructions.is_empty() {
            return ApplyStep::Delete(obstructions);
        }
        if let Some((stage, applies)) = self.next_stage() {
            return self.stage_back(stage, applies, now);
        }
        if !progress.foundations.is_empty() {
            return ApplyStep::AwaitFoundations(progress.foundations.keys().cloned().collect());
        }
        // Nobody may lose volumes and namespaces by a rollback; the guard asks a
        // person about them later.
        let due = self.due(now, LONGEST_DELETION, &|key| !is_protected(key));
        if !due.is_empty() {
            return ApplyStep::Delete(due);
        }
        let again: Vec<Apply> = self.put_off().collect();
        let after = progress.put_off_at + SECOND_TRY_AFTER;
        if !again.is_empty() && !progress.second_try {
            return if now < after { ApplyStep::Wait(after) } else { ApplyStep::SendAgain(again) };
        }
        ApplyStep::Know(AppEvent::WentBack {
            counts: self.counts(),
            stuck: self.stuck(&|key| !is_protected(key)),
        })
    }

    fn next_stage(&self) -> Option<(StageName, Vec<Apply>)> {
        let put_off = &self.view.progress.put_off;
        self.plan.stages.iter().find_map(|stage| {
            let applies = stage.applies.iter().filter(|apply| !put_off.contains_key(&apply.key));
            let applies = together(applies);
            (!applies.is_empty()).then_some((stage.name, applies))
        })
    }

    fn stage_back(&self, stage: StageName, applies: Vec<Apply>, now: Uptime) -> ApplyStep {
        let progress = &self.view.progress;
        if stage != StageName::Foundations && !progress.foundations.is_empty() {
            return ApplyStep::AwaitFoundations(progress.foundations.keys().cloned().collect());
        }
        let waited = progress.gate_since.is_some_and(|since| since + LONGEST_GATE <= now);
        if progress.passed != Some(stage) && !waited {
            let before = self.desired.earlier_than(stage);
            let before: Vec<ObjectKey> = before
                .filter(|key| watches_health(&key.kind()) && !progress.put_off.contains_key(key))
                .cloned()
                .collect();
            if !before.is_empty() {
                return ApplyStep::LookBefore(stage, before);
            }
        }
        ApplyStep::Send(stage, applies)
    }

    /// What was put off, as it is sent.
    fn put_off(&self) -> impl Iterator<Item = Apply> {
        let put_off = &self.view.progress.put_off;
        let applies = self.plan.stages.iter().flat_map(|stage| &stage.applies);
        applies.filter(|apply| put_off.contains_key(&apply.key)).cloned()
    }

    /// What is waited for longer than it can take, and why it is not there.
    fn late(&self, now: Uptime) -> Vec<(ObjectKey, String)> {
        let progress = &self.view.progress;
        let replacing = progress.replacing.iter().map(|(key, awaited)| {
            (key, awaited, format!("its deletion does not end: {}", awaited.reason))
        });
        let foundations = progress
            .foundations
            .iter()
            .map(|(key, awaited)| (key, awaited, format!("is not ready: {}", awaited.reason)));
        let late = replacing.chain(foundations);
        late.filter(|(_, awaited, _)| awaited.since + PATIENCE <= now)
            .map(|(key, _, reason)| (key.clone(), reason))
            .collect()
    }

    /// What could not be made what the revision says: not written, or not deleted.
    /// Only deletions that have had their turn by now are among it.
    pub(super) fn stuck(&self, goes: &dyn Fn(&ObjectKey) -> bool) -> Vec<Stuck> {
        let progress = &self.view.progress;
        let written = progress.put_off.iter().map(|(key, reason)| Stuck {
            key: key.clone(),
            reason: reason.clone(),
            goes: false,
        });
        let unserved = self.desired.unserved.iter().map(|(key, reason)| Stuck {
            key: key.clone(),
            reason: reason.clone(),
            goes: false,
        });
        let taken = self.view.foreign.iter().filter(|(key, _)| self.desired.contains(key));
        let taken = taken.map(|(key, owner)| Stuck::owned_by(owner, key.clone()));
        let owned = |key: &&ObjectKey| self.inventory.contains_key(*key) && goes(key);
        let going = self.plan.prunes.iter().filter(owned).filter_map(|key| {
            Some(Stuck { key: key.clone(), reason: self.why_it_stays(key)?, goes: true })
        });
        written.chain(unserved).chain(taken).chain(going).collect()
    }

    /// Why an object that is to be deleted is still there, if that is known.
    fn why_it_stays(&self, key: &ObjectKey) -> Option<String> {
        let progress = &self.view.progress;
        if let Some(reason) = progress.wanted_by_others.get(key) {
            return Some(reason.clone());
        }
        if let Some(awaited) = progress.deleting.get(key) {
            return Some(format!("its deletion does not end: {}", awaited.reason));
        }
        self.awaited_by(key).map(|first| format!("it waits for the deletion of {first}"))
    }
}

impl View {
    /// Lets a stage of the way back begin, or has what comes before it looked at again.
    pub fn pass_or_wait(&mut self, stage: StageName, before: &[ObjectKey], now: Uptime) {
        if is_settled(self, before) {
            self.progress.passed = Some(stage);
            self.progress.gate_since = None;
        } else {
            self.progress.look_again = Some(now + LOOK_AGAIN);
            self.progress.gate_since.get_or_insert(now);
        }
    }
}

/// Whether nothing before a stage of the way back gets anywhere any more by
/// waiting: what failed cannot keep the rest.
fn is_settled(view: &View, before: &[ObjectKey]) -> bool {
    before.iter().all(|key| {
        let verdict = view.health.get(key).map(|health| health.verdict);
        matches!(verdict, Some(Verdict::Healthy | Verdict::Suspended | Verdict::Failed))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::json;

    use super::*;
    use crate::{
        cycle::view::Awaited,
        model::{InventoryEntry, Manifest, Origin},
        plan::{
            desired::{Desired, tests::prepared},
            order::{PlanInput, plan},
        },
    };

    fn manifest(api_version: &str, kind: &str, name: &str, wave: &str) -> Manifest {
        let metadata = json!({"name": name, "namespace": "shop",
            "annotations": {"leeward.dev/wave": wave}});
        let body = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
        Manifest::new(body, Origin::default()).unwrap()
    }

    fn good() -> Desired {
        let all = [
            manifest("v1", "PersistentVolumeClaim", "disk", "0"),
            manifest("apps/v1", "Deployment", "web", "0"),
            manifest("v1", "ConfigMap", "late", "1"),
        ];
        prepared(&all, &[])
    }

    /// What the bad revision owns besides: a map and a quota.
    fn inventory(applied: &[&str]) -> BTreeMap<ObjectKey, InventoryEntry> {
        let desired = good();
        let entry = |digest| InventoryEntry {
            version: "v1".to_owned(),
            applied: digest,
            ..InventoryEntry::default()
        };
        let mut all: BTreeMap<ObjectKey, InventoryEntry> = desired
            .objects
            .iter()
            .map(|one| {
                let is_back = applied.contains(&one.key().name.as_str());
                (one.key().clone(), entry(is_back.then_some(one.digest)))
            })
            .collect();
        for kind in ["ConfigMap", "ResourceQuota"] {
            if !applied.contains(&kind) {
                all.insert(manifest("v1", kind, "new", "0").key, entry(None));
            }
        }
        all
    }

    fn step(view: &View, applied: &[&str], now: u64) -> String {
        let (desired, inventory, nothing) = (good(), inventory(applied), BTreeSet::new());
        let plan = plan(&PlanInput {
            desired: &desired,
            inventory: &inventory,
            drifted: &nothing,
            left_alone: &nothing,
        });
        let applying = Applying {
            desired: &desired,
            plan: &plan,
            view,
            inventory: &inventory,
            rolling_back: true,
            prunes_first: false,
        };
        let list = |applies: &[Apply]| {
            applies.iter().map(|one| one.key.to_string()).collect::<Vec<_>>().join(", ")
        };
        match applying.next_step(Uptime::from_secs(now)) {
            ApplyStep::Send(stage, applies) => format!("send {stage}: {}", list(&applies)),
            ApplyStep::SendAgain(applies) => format!("send again: {}", list(&applies)),
            ApplyStep::Delete(due) => {
                let keys: Vec<String> = due.iter().map(|(key, _)| key.to_string()).collect();
                format!("delete {}", keys.join(", "))
            }
            ApplyStep::Know(AppEvent::WentBack { stuck, .. }) => {
                let all: Vec<String> =
                    stuck.iter().map(|one| format!("{}: {}", one.key, one.reason)).collect();
                format!("back but for {}", all.join("; "))
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn what_can_go_back_goes_back_and_what_cannot_is_named() {
        let mut view = View::default();
        let mut story = vec![step(&view, &[], 0)];
        story.push(step(&view, &["ResourceQuota"], 1));
        let disk = manifest("v1", "PersistentVolumeClaim", "disk", "0").key;
        view.progress.put_off.insert(disk, "field can not be less".to_owned());
        let back = ["ResourceQuota", "web"];
        view.progress.passed = Some(StageName::Wave(1));
        story.push(step(&view, &back, 2));
        let back = ["ResourceQuota", "web", "late"];
        story.push(step(&view, &back, 3));
        let back = ["ResourceQuota", "web", "late", "ConfigMap"];
        story.push(step(&view, &back, 4));
        view.progress.second_try = true;
        story.push(step(&view, &back, 5));
        insta::assert_snapshot!(story.join("\n"), @r"
        delete ResourceQuota shop/new
        send wave 0: PersistentVolumeClaim shop/disk, Deployment.apps shop/web
        send wave 1: ConfigMap shop/late
        delete ConfigMap shop/new
        send again: PersistentVolumeClaim shop/disk
        back but for PersistentVolumeClaim shop/disk: field can not be less
        ");
    }

    #[test]
    fn a_deletion_that_hangs_keeps_nothing_from_going_back_for_long() {
        let mut view = View::default();
        let quota = manifest("v1", "ResourceQuota", "new", "0").key;
        view.progress.deleting.insert(quota, Awaited::from(Uptime::default()));
        assert_eq!(step(&view, &[], 29), "delete ResourceQuota shop/new");
        assert!(step(&view, &[], 30).starts_with("send wave 0"));
        let all = ["disk", "web", "late", "ConfigMap"];
        insta::assert_snapshot!(step(&view, &all, 60), @"back but for ResourceQuota shop/new: its deletion does not end: the API server works on it");
    }

    #[test]
    fn a_stage_waits_for_health_within_bounds_and_for_nothing_that_failed() {
        let mut view = View::default();
        let back = ["ResourceQuota", "disk", "web", "ConfigMap"];
        assert!(step(&view, &back, 1).starts_with("LookBefore"));
        view.progress.gate_since = Some(Uptime::from_secs(1));
        assert!(step(&view, &back, 60).starts_with("LookBefore"));
        assert_eq!(step(&view, &back, 61), "send wave 1: ConfigMap shop/late");
        let web = manifest("apps/v1", "Deployment", "web", "0").key;
        let health = |verdict| crate::health::Health::new(verdict, "");
        view.health.insert(web.clone(), health(Verdict::Progressing));
        assert!(!is_settled(&view, std::slice::from_ref(&web)));
        view.health.insert(web.clone(), health(Verdict::Failed));
        assert!(is_settled(&view, &[web]));
    }
}
