//! The plan: what to send, in which order, and what to delete afterwards.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use super::{
    ignore::IgnoredFields,
    marks::{Hook, Management, Marks, is_foundation},
    scope::declared_scope,
    stamp::applied_digest,
};
use crate::model::{Digest, InventoryEntry, Kind, Manifest, ObjectFault, ObjectKey};

/// All that a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct PlanInput<'a> {
    /// With scopes resolved; keys are unique.
    pub desired: &'a [Manifest],
    pub ignored: &'a BTreeMap<ObjectKey, IgnoredFields>,
    pub inventory: &'a BTreeMap<ObjectKey, InventoryEntry>,
    /// Objects that must be sent although their manifest did not change.
    pub drifted: &'a BTreeSet<ObjectKey>,
}

/// The steps from here to there, as plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In order; a stage is healthy before the next one starts. None is empty.
    pub stages: Vec<Stage>,
    /// Desired objects for which nothing is sent.
    pub unchanged: usize,
    /// Desired objects that are not ours to write, and hooks for other occasions.
    pub left_alone: Vec<ObjectKey>,
    /// One after the other, once every stage is healthy.
    pub prunes: Vec<ObjectKey>,
    /// No longer in Git, but marked never to be pruned.
    pub kept: Vec<ObjectKey>,
}

impl Plan {
    /// Whether there is nothing to send and nothing to delete.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty() && self.prunes.is_empty()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    pub name: StageName,
    /// In kind order; may be sent together.
    pub applies: Vec<Apply>,
}

/// When a stage's turn is; the order of the variants is the order in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageName {
    /// CRDs and Namespaces, which the rest needs in order to be accepted at all.
    Foundations,
    /// Argo CD's PreSync hooks.
    Before,
    Wave(i32),
    /// Argo CD's PostSync hooks.
    After,
}

/// One object to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apply {
    /// Of the manifest in `desired`.
    pub index: usize,
    pub key: ObjectKey,
    pub why: Why,
    /// Delete and create again if a field that cannot change has changed.
    pub replace: bool,
    /// Send only if the object does not exist.
    pub only_if_absent: bool,
    /// For the inventory.
    pub wave: i32,
    pub keep: bool,
    /// What the inventory remembers once the apply is confirmed.
    pub digest: Digest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    New,
    /// Its manifest, or what is ignored of it, is not what was applied last.
    Changed,
    Drifted,
}

/// Plans one app. Faults are marks that cannot be read; all of them are collected.
pub fn plan(input: &PlanInput<'_>) -> Result<Plan, Vec<ObjectFault>> {
    let marks = all_marks(input.desired)?;
    let stage_names = stage_names(input.desired, &marks);
    let mut plan = Plan {
        stages: Vec::new(),
        unchanged: 0,
        left_alone: Vec::new(),
        prunes: Vec::new(),
        kept: Vec::new(),
    };
    let mut stages: BTreeMap<StageName, Vec<Apply>> = BTreeMap::new();
    for (index, (manifest, marks)) in input.desired.iter().zip(&marks).enumerate() {
        let Some(stage) = stage_names[index] else {
            plan.left_alone.push(manifest.key.clone());
            continue;
        };
        match apply(input, index, manifest, marks) {
            Some(apply) => stages.entry(stage).or_default().push(apply),
            None => plan.unchanged += 1,
        }
    }
    plan.stages = stages
        .into_iter()
        .map(|(name, mut applies)| {
            applies.sort_by(|a, b| in_kind_order(&a.key).cmp(&in_kind_order(&b.key)));
            Stage { name, applies }
        })
        .collect();
    (plan.prunes, plan.kept) = gone(input);
    Ok(plan)
}

/// The place of a kind among others: what is needed comes before what needs it.
pub fn kind_rank(kind: &Kind) -> u8 {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apiextensions.k8s.io", "CustomResourceDefinition") => 0,
        ("", "Namespace") => 1,
        (_, name) if name.ends_with("Class") => 2,
        ("", "ResourceQuota" | "LimitRange") => 3,
        ("", "ServiceAccount") => 4,
        ("rbac.authorization.k8s.io", "ClusterRole") => 5,
        ("rbac.authorization.k8s.io", "ClusterRoleBinding") => 6,
        ("rbac.authorization.k8s.io", "Role") => 7,
        ("rbac.authorization.k8s.io", "RoleBinding") => 8,
        ("networking.k8s.io", "NetworkPolicy") => 9,
        ("", "ConfigMap") => 10,
        ("", "Secret") => 11,
        ("", "PersistentVolume") => 12,
        ("", "PersistentVolumeClaim") => 13,
        ("", "Service") => 14,
        ("apps", "DaemonSet" | "Deployment" | "ReplicaSet" | "StatefulSet")
        | ("", "Pod" | "ReplicationController") => 15,
        ("batch", "Job" | "CronJob") => 16,
        ("policy", "PodDisruptionBudget") | ("autoscaling", "HorizontalPodAutoscaler") => 17,
        ("networking.k8s.io", "Ingress") => 19,
        ("apiregistration.k8s.io", "APIService") => 20,
        // Last, because from then on they can refuse everything else.
        ("admissionregistration.k8s.io", _) => 21,
        _ => 18,
    }
}

fn in_kind_order(key: &ObjectKey) -> (u8, &ObjectKey) {
    (kind_rank(&key.kind()), key)
}

fn all_marks(desired: &[Manifest]) -> Result<Vec<Marks>, Vec<ObjectFault>> {
    let mut faults = Vec::new();
    let marks = desired
        .iter()
        .filter_map(|manifest| Marks::of(manifest).map_err(|fault| faults.push(fault)).ok())
        .collect();
    if faults.is_empty() { Ok(marks) } else { Err(faults) }
}

/// The stage of every manifest; `None` for what is not sent.
fn stage_names(desired: &[Manifest], marks: &[Marks]) -> Vec<Option<StageName>> {
    let mut names: Vec<Option<StageName>> =
        desired.iter().zip(marks).map(|(manifest, marks)| own_stage(manifest, marks)).collect();
    let first_users = first_users(desired, &names);
    for (manifest, name) in desired.iter().zip(&mut names) {
        let Some(user) = first_users.get(&Foundation::made_by(manifest)) else { continue };
        // A Namespace in the wave of its first object, or after, would come too late.
        if name.is_some_and(|name| name >= *user) {
            *name = Some(StageName::Foundations);
        }
    }
    names
}

fn own_stage(manifest: &Manifest, marks: &Marks) -> Option<StageName> {
    if marks.management == Management::Unmanaged {
        return None;
    }
    match marks.hook {
        None | Some(Hook::Sync) => {}
        Some(Hook::PreSync) => return Some(StageName::Before),
        Some(Hook::PostSync) => return Some(StageName::After),
        Some(Hook::SyncFail | Hook::PreDelete | Hook::PostDelete | Hook::Skip) => return None,
    }
    Some(match marks.wave {
        None if is_foundation(&manifest.key) => StageName::Foundations,
        wave => StageName::Wave(wave.unwrap_or(0)),
    })
}

/// What other objects of the same plan may need to be there.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Foundation<'a> {
    Namespace(&'a str),
    Kind(Kind),
    Nothing,
}

impl<'a> Foundation<'a> {
    fn made_by(manifest: &'a Manifest) -> Self {
        if manifest.key.is("", "Namespace") {
            Self::Namespace(&manifest.key.name)
        } else {
            declared_scope(&manifest.body).map_or(Self::Nothing, |(kind, _)| Self::Kind(kind))
        }
    }
}

/// For each namespace and kind, the first stage that uses it.
fn first_users<'a>(
    desired: &'a [Manifest],
    names: &[Option<StageName>],
) -> BTreeMap<Foundation<'a>, StageName> {
    let mut first = BTreeMap::new();
    for (manifest, name) in desired.iter().zip(names) {
        let Some(name) = *name else { continue };
        let mut uses = vec![Foundation::Kind(manifest.key.kind())];
        if !manifest.key.namespace.is_empty() {
            uses.push(Foundation::Namespace(&manifest.key.namespace));
        }
        for used in uses {
            let earliest = first.entry(used).or_insert(name);
            *earliest = name.min(*earliest);
        }
    }
    first
}

fn apply(input: &PlanInput<'_>, index: usize, manifest: &Manifest, marks: &Marks) -> Option<Apply> {
    let digest = applied_digest(manifest, input.ignored.get(&manifest.key));
    let entry = input.inventory.get(&manifest.key);
    let applied = entry.and_then(|entry| entry.applied);
    let only_if_absent = marks.management == Management::IfAbsent;
    let drifted = input.drifted.contains(&manifest.key) && !marks.heal_disabled;
    let changed = applied != Some(digest) && !(only_if_absent && applied.is_some());
    let why = match entry {
        None => Why::New,
        Some(_) if changed => Why::Changed,
        Some(_) if drifted => Why::Drifted,
        Some(_) => return None,
    };
    Some(Apply {
        index,
        key: manifest.key.clone(),
        why,
        replace: marks.replace,
        only_if_absent,
        wave: marks.wave(),
        keep: marks.keep(),
        digest,
    })
}

/// What Git does not declare any more: to be pruned in reverse order, and to be kept.
fn gone(input: &PlanInput<'_>) -> (Vec<ObjectKey>, Vec<ObjectKey>) {
    let desired: BTreeSet<&ObjectKey> =
        input.desired.iter().map(|manifest| &manifest.key).collect();
    let (kept, mut prunes): (Vec<_>, Vec<_>) =
        input.inventory.iter().filter(|(key, _)| !desired.contains(key)).partition(|(_, e)| e.keep);
    prunes.sort_by_key(|(key, entry)| {
        let stage =
            if is_foundation(key) { StageName::Foundations } else { StageName::Wave(entry.wave) };
        std::cmp::Reverse((stage, kind_rank(&key.kind()), *key))
    });
    let keys = |pairs: Vec<(&ObjectKey, &InventoryEntry)>| {
        pairs.into_iter().map(|(key, _)| key.clone()).collect()
    };
    (keys(prunes), keys(kept))
}

impl fmt::Display for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foundations => f.write_str("foundations"),
            Self::Before => f.write_str("hooks before"),
            Self::Wave(wave) => write!(f, "wave {wave}"),
            Self::After => f.write_str("hooks after"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Drifted => "drifted",
        })
    }
}

/// One line a step, for people and tests.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for stage in &self.stages {
            writeln!(f, "{}:", stage.name)?;
            for apply in &stage.applies {
                write!(f, "  apply {} ({})", apply.key, apply.why)?;
                if apply.replace {
                    f.write_str(", replace if need be")?;
                }
                if apply.only_if_absent {
                    f.write_str(", only if absent")?;
                }
                writeln!(f)?;
            }
        }
        for key in &self.prunes {
            writeln!(f, "prune {key}")?;
        }
        for key in &self.kept {
            writeln!(f, "keep {key}")?;
        }
        for key in &self.left_alone {
            writeln!(f, "leave {key} alone")?;
        }
        write!(f, "unchanged: {}", self.unchanged)
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "values are made for one call")]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::Origin;

    fn object(api_version: &str, kind: &str, name: &str, annotations: Value) -> Manifest {
        let mut body = json!({"apiVersion": api_version, "kind": kind,
            "metadata": {"name": name, "annotations": annotations}});
        let cluster_scoped = ["Namespace", "CustomResourceDefinition", "ClusterRole"];
        if !cluster_scoped.contains(&kind) && !kind.ends_with("Configuration") {
            body["metadata"]["namespace"] = "shop".into();
        }
        Manifest::new(body, Origin::default()).unwrap()
    }

    fn plain(api_version: &str, kind: &str, name: &str) -> Manifest {
        object(api_version, kind, name, json!({}))
    }

    fn entry(manifest: Option<&Manifest>, wave: i32, keep: bool) -> InventoryEntry {
        InventoryEntry {
            version: "v1".to_owned(),
            applied: manifest.map(|manifest| applied_digest(manifest, None)),
            fields: None,
            uid: None,
            wave,
            keep,
        }
    }

    fn applied(manifests: &[Manifest]) -> BTreeMap<ObjectKey, InventoryEntry> {
        manifests.iter().map(|m| (m.key.clone(), entry(Some(m), 0, false))).collect()
    }

    fn planned(
        desired: &[Manifest],
        inventory: &BTreeMap<ObjectKey, InventoryEntry>,
        drifted: &[&Manifest],
    ) -> Plan {
        plan(&PlanInput {
            desired,
            ignored: &BTreeMap::new(),
            inventory,
            drifted: &drifted.iter().map(|manifest| manifest.key.clone()).collect(),
        })
        .unwrap()
    }

    #[test]
    fn what_is_needed_comes_before_what_needs_it() {
        let desired = [
            plain("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "gate"),
            plain("networking.k8s.io/v1", "Ingress", "web"),
            plain("acme.io/v1", "Till", "till"),
            plain("apps/v1", "Deployment", "web"),
            plain("v1", "Service", "web"),
            plain("v1", "PersistentVolumeClaim", "data"),
            plain("v1", "Secret", "key"),
            plain("v1", "ConfigMap", "b"),
            plain("v1", "ConfigMap", "a"),
            plain("rbac.authorization.k8s.io/v1", "ClusterRole", "web"),
            plain("v1", "ServiceAccount", "web"),
            plain("v1", "Namespace", "shop"),
            plain("apiextensions.k8s.io/v1", "CustomResourceDefinition", "tills.acme.io"),
        ];
        insta::assert_snapshot!(planned(&desired, &BTreeMap::new(), &[]), @"
        foundations:
          apply CustomResourceDefinition.apiextensions.k8s.io tills.acme.io (new)
          apply Namespace shop (new)
        wave 0:
          apply ServiceAccount shop/web (new)
          apply ClusterRole.rbac.authorization.k8s.io web (new)
          apply ConfigMap shop/a (new)
          apply ConfigMap shop/b (new)
          apply Secret shop/key (new)
          apply PersistentVolumeClaim shop/data (new)
          apply Service shop/web (new)
          apply Deployment.apps shop/web (new)
          apply Till.acme.io shop/till (new)
          apply Ingress.networking.k8s.io shop/web (new)
          apply ValidatingWebhookConfiguration.admissionregistration.k8s.io gate (new)
        unchanged: 0
        ");
    }

    #[test]
    fn waves_and_hooks_are_stages_of_their_own() {
        let with = |kind, name, key: &str, value: &str| {
            object("batch/v1", kind, name, json!({key: value}))
        };
        let desired = [
            with("Job", "late", "leeward.dev/wave", "5"),
            with("Job", "early", "argocd.argoproj.io/sync-wave", "-1"),
            with("Job", "migrate", "argocd.argoproj.io/hook", "PreSync"),
            with("Job", "smoke", "argocd.argoproj.io/hook", "PostSync"),
            with("Job", "alarm", "argocd.argoproj.io/hook", "SyncFail"),
            with("Job", "theirs", "kustomize.toolkit.fluxcd.io/reconcile", "disabled"),
            with("Job", "once", "kustomize.toolkit.fluxcd.io/ssa", "IfNotPresent"),
        ];
        insta::assert_snapshot!(planned(&desired, &BTreeMap::new(), &[]), @"
        hooks before:
          apply Job.batch shop/migrate (new), replace if need be
        wave -1:
          apply Job.batch shop/early (new)
        wave 0:
          apply Job.batch shop/once (new), only if absent
        wave 5:
          apply Job.batch shop/late (new)
        hooks after:
          apply Job.batch shop/smoke (new), replace if need be
        leave Job.batch shop/alarm alone
        leave Job.batch shop/theirs alone
        unchanged: 0
        ");
    }

    #[test]
    fn a_namespace_keeps_its_explicit_wave_only_if_all_that_is_in_it_comes_later() {
        let namespace = object("v1", "Namespace", "shop", json!({"leeward.dev/wave": "-5"}));
        let early = object("v1", "ConfigMap", "a", json!({"leeward.dev/wave": "-9"}));
        let first = |desired: &[Manifest]| planned(desired, &BTreeMap::new(), &[]).stages[0].name;
        let late = plain("v1", "ConfigMap", "a");
        assert_eq!(first(&[namespace.clone(), late]), StageName::Wave(-5));
        assert_eq!(first(&[namespace, early]), StageName::Foundations);
    }

    #[test]
    fn a_crd_in_the_wave_of_its_first_object_moves_to_the_foundations() {
        let mut crd = object(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "tills.acme.io",
            json!({"argocd.argoproj.io/sync-wave": "0"}),
        );
        crd.body["spec"] =
            json!({"group": "acme.io", "names": {"kind": "Till"}, "scope": "Namespaced"});
        let desired = [plain("acme.io/v1", "Till", "till"), crd];
        let plan = planned(&desired, &BTreeMap::new(), &[]);
        assert_eq!(plan.stages[0].name, StageName::Foundations);
    }

    #[test]
    fn only_what_changed_or_drifted_is_sent() {
        let same = plain("v1", "ConfigMap", "same");
        let drifted = plain("v1", "ConfigMap", "drifted");
        let mut changed = plain("v1", "ConfigMap", "changed");
        let inventory = applied(&[same.clone(), drifted.clone(), changed.clone()]);
        changed.body["data"] = json!({"k": "v"});
        let desired = [same, drifted.clone(), changed];
        insta::assert_snapshot!(planned(&desired, &inventory, &[&drifted]), @"
        wave 0:
          apply ConfigMap shop/changed (changed)
          apply ConfigMap shop/drifted (drifted)
        unchanged: 1
        ");
    }

    #[test]
    fn an_object_whose_apply_was_never_confirmed_is_sent_again() {
        let map = plain("v1", "ConfigMap", "a");
        let inventory = BTreeMap::from([(map.key.clone(), entry(None, 0, false))]);
        assert_eq!(planned(&[map], &inventory, &[]).stages[0].applies[0].why, Why::Changed);
    }

    #[test]
    fn an_object_that_asks_not_to_be_healed_is_left_drifted() {
        let map = object("v1", "ConfigMap", "a", json!({"leeward.dev/heal": "disabled"}));
        let inventory = applied(std::slice::from_ref(&map));
        assert!(planned(std::slice::from_ref(&map), &inventory, &[&map]).is_empty());
    }

    #[test]
    fn a_rule_that_comes_later_has_the_object_sent_again() {
        let map = plain("v1", "ConfigMap", "a");
        let inventory = applied(std::slice::from_ref(&map));
        let fields = IgnoredFields { pointers: Vec::new(), managers: vec!["keda".to_owned()] };
        let plan = plan(&PlanInput {
            desired: std::slice::from_ref(&map),
            ignored: &BTreeMap::from([(map.key.clone(), fields)]),
            inventory: &inventory,
            drifted: &BTreeSet::new(),
        });
        assert_eq!(plan.unwrap().stages[0].applies[0].why, Why::Changed);
    }

    #[test]
    fn prunes_run_in_reverse_of_the_applies() {
        let mut inventory = applied(&[
            plain("v1", "Namespace", "shop"),
            plain("v1", "ConfigMap", "a"),
            plain("v1", "ConfigMap", "b"),
            plain("apps/v1", "Deployment", "web"),
        ]);
        let late = plain("v1", "ServiceAccount", "late");
        inventory.insert(late.key.clone(), entry(Some(&late), 5, false));
        let mine = plain("v1", "Secret", "mine");
        inventory.insert(mine.key.clone(), entry(Some(&mine), 0, true));
        insta::assert_snapshot!(planned(&[], &inventory, &[]), @"
        prune ServiceAccount shop/late
        prune Deployment.apps shop/web
        prune ConfigMap shop/b
        prune ConfigMap shop/a
        prune Namespace shop
        keep Secret shop/mine
        unchanged: 0
        ");
    }

    #[test]
    fn an_object_that_became_unmanaged_is_not_pruned() {
        let theirs = object(
            "v1",
            "ConfigMap",
            "a",
            json!({"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}),
        );
        let inventory = applied(std::slice::from_ref(&theirs));
        assert!(planned(&[theirs], &inventory, &[]).is_empty());
    }

    #[test]
    fn every_bad_mark_is_a_fault() {
        let bad = |name| object("v1", "ConfigMap", name, json!({"leeward.dev/wave": "x"}));
        let faults = plan(&PlanInput {
            desired: &[bad("a"), bad("b")],
            ignored: &BTreeMap::new(),
            inventory: &BTreeMap::new(),
            drifted: &BTreeSet::new(),
        });
        assert_eq!(faults.unwrap_err().len(), 2);
    }
}
