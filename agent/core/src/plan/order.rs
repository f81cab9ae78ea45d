//! The plan: what to send, in which order, and what to delete afterwards.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use super::{
    desired::{Desired, Prepared},
    marks::{Hook, Management, Marks, is_foundation},
    scope::declared_scope,
};
use crate::model::{Digest, InventoryEntry, Kind, Manifest, ObjectKey};

/// All that a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct PlanInput<'a> {
    pub desired: &'a Desired,
    pub inventory: &'a BTreeMap<ObjectKey, InventoryEntry>,
    /// Objects that must be sent although their manifest did not change.
    pub drifted: &'a BTreeSet<ObjectKey>,
    /// Objects whose live annotation asks not to be written.
    pub left_alone: &'a BTreeSet<ObjectKey>,
}

/// The steps from here to there, as plain data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Makes it a plan of the way back. What may be replaced as it is in the cluster
    /// now may be: that undoes what the annotation of the bad revision allowed. What
    /// another app left to the bad revision ran before it, and stays.
    pub fn go_back(&mut self, inventory: &BTreeMap<ObjectKey, InventoryEntry>) {
        for apply in self.stages.iter_mut().flat_map(|stage| &mut stage.applies) {
            apply.replace |= inventory.get(&apply.key).is_some_and(|entry| entry.replace);
        }
        let was_left = |key: &ObjectKey| inventory.get(key).is_some_and(|one| one.from.is_some());
        let (kept, prunes) = std::mem::take(&mut self.prunes).into_iter().partition(was_left);
        self.prunes = prunes;
        let kept: Vec<ObjectKey> = kept;
        self.kept.extend(kept);
    }

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
    /// The place of the object in [`Desired::objects`].
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

/// Plans one app.
pub fn plan(input: &PlanInput<'_>) -> Plan {
    let mut plan = Plan::default();
    let mut stages: BTreeMap<StageName, Vec<Apply>> = BTreeMap::new();
    for (index, one) in input.desired.objects.iter().enumerate() {
        let stage = one.stage.filter(|_| !input.left_alone.contains(one.key()));
        let Some(stage) = stage else {
            plan.left_alone.push(one.key().clone());
            continue;
        };
        match apply(input, index, one) {
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
    plan
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

/// Whether an object can keep others from being written or from running: what
/// decides on admission, limits, and policies. What a bad revision brought of
/// these goes before anything else.
pub fn stands_in_the_way(key: &ObjectKey) -> bool {
    /// Their kinds are policies, all of them.
    const POLICIES: [&str; 6] = [
        "admissionregistration.k8s.io",
        "constraints.gatekeeper.sh",
        "kyverno.io",
        "policies.kyverno.io",
        "policies.kubewarden.io",
        "cilium.io",
    ];
    POLICIES.contains(&key.group.as_str())
        || key.is("", "ResourceQuota")
        || key.is("", "LimitRange")
        || key.is("networking.k8s.io", "NetworkPolicy")
        || key.is("policy", "PodDisruptionBudget")
}

/// When an object that goes has its turn; those of one prune_turn go together, and the
/// next one begins when they are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PruneTurn {
    /// Custom resources: whoever serves them still has to clean up after them.
    Served(std::cmp::Reverse<i32>),
    /// The wave that came last goes first.
    Wave(std::cmp::Reverse<i32>),
    /// CRDs and namespaces, which take with them what is in them.
    Foundation,
}

pub fn prune_turn(key: &ObjectKey, entry: &InventoryEntry) -> PruneTurn {
    let wave = std::cmp::Reverse(entry.wave);
    if is_foundation(key) {
        PruneTurn::Foundation
    } else if is_custom(key) {
        PruneTurn::Served(wave)
    } else {
        PruneTurn::Wave(wave)
    }
}

/// Whether an object is of a kind that Kubernetes itself does not bring.
pub fn is_custom(key: &ObjectKey) -> bool {
    /// The groups of Kubernetes with `.k8s.io`; other projects use that name, too.
    const BUILT_IN: [&str; 15] = [
        "admissionregistration",
        "apiextensions",
        "apiregistration",
        "authentication",
        "authorization",
        "certificates",
        "coordination",
        "discovery",
        "events",
        "flowcontrol.apiserver",
        "networking",
        "node",
        "rbac.authorization",
        "scheduling",
        "storage",
    ];
    let short = key.group.strip_suffix(".k8s.io").unwrap_or(&key.group);
    key.group.contains('.') && !(short != key.group && BUILT_IN.contains(&short))
}

fn in_kind_order(key: &ObjectKey) -> (u8, &ObjectKey) {
    (kind_rank(&key.kind()), key)
}

/// The stage of every manifest; `None` for what is not sent.
pub(super) fn stage_names(desired: &[Manifest], marks: &[Marks]) -> Vec<Option<StageName>> {
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

fn apply(input: &PlanInput<'_>, index: usize, one: &Prepared) -> Option<Apply> {
    let Prepared { manifest, marks, digest, .. } = one;
    let entry = input.inventory.get(&manifest.key);
    let applied = entry.and_then(|entry| entry.applied);
    let only_if_absent = marks.management == Management::IfAbsent;
    let drifted = input.drifted.contains(&manifest.key) && !marks.heal_disabled;
    let changed = applied != Some(*digest) && !(only_if_absent && applied.is_some());
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
        digest: *digest,
    })
}

/// What Git does not declare any more: to be pruned in reverse order, and to be kept.
fn gone(input: &PlanInput<'_>) -> (Vec<ObjectKey>, Vec<ObjectKey>) {
    let undeclared = input.inventory.iter().filter(|(key, _)| !input.desired.declares(key));
    let (kept, mut prunes): (Vec<_>, Vec<_>) = undeclared.partition(|(_, entry)| entry.keep);
    prunes.sort_by_key(|(key, entry)| {
        (prune_turn(key, entry), std::cmp::Reverse((kind_rank(&key.kind()), *key)))
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
mod tests;
