//! Everything that can be found out about a candidate without changing the cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use futures::{StreamExt, stream};
use leeward_core::{
    cycle::{AppEvent, Hold, HoldReason, Phase},
    model::{
        AppName, AppSpec, ClusterFault, ContentId, KindVersion, Manifest, ObjectFault, ObjectKey,
        Revision,
    },
    plan::{
        guard::{guard, is_protected},
        marks::prune_confirmed,
        order::{Apply, Plan, PlanInput, plan},
        release::release,
    },
};

use super::{desired::Desired, reconciler::Reconciler};
use crate::edge::{ApplyMode, Cluster};

/// Requests under way at once. The API server is the limit: between 16 and 32
/// it is busy, above it only queues (measured: `cargo figures apply`).
pub(super) const IN_FLIGHT: usize = 32;
/// Faults that a report names; all are counted.
const MAX_FAULTS: usize = 50;

/// What a person can do about a field that cannot be changed.
const REPLACE_HINT: &str =
    "the annotation leeward.dev/replace: \"true\" lets it be deleted and made anew";

/// The verdicts of a dry-run of many objects.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    /// The manifests are at fault.
    pub(super) refused: Vec<ObjectFault>,
    /// A namespace or kind that something else may still bring.
    pub(super) absent: Vec<ObjectFault>,
    /// Nobody's manifest is at fault.
    pub(super) obstacle: Option<ClusterFault>,
    /// Their namespace or kind comes with the same revision, and is not in yet.
    pub(super) unproven: BTreeSet<ObjectKey>,
}

impl<C: Cluster> Reconciler<C> {
    /// Renders the candidate and dry-runs everything that it changes.
    pub(super) async fn preflight(&mut self, name: &AppName) -> AppEvent {
        let Some(app) = self.apps.get(name) else { return AppEvent::Tick };
        let Phase::Preflight { target } = app.record.phase.clone() else { return AppEvent::Tick };
        let spec = app.record.spec.clone();
        let approved = app.record.approved.clone();
        match self.examine(&spec, &target, approved.as_ref()).await {
            Ok(event) | Err(event) => event,
        }
    }

    async fn examine(
        &mut self,
        spec: &AppSpec,
        target: &Revision,
        approved: Option<&ContentId>,
    ) -> Result<AppEvent, AppEvent> {
        let desired = self.desired(spec, target).await;
        let desired = desired.map_err(|undesired| match undesired.into_faults() {
            Ok(faults) => refused("the files cannot be used", faults),
            Err(message) => AppEvent::Obstacle { message },
        })?;
        self.adopt_if_empty(spec, &desired).await?;
        let stolen = self.owned_by_others(&spec.name, &desired);
        if !stolen.is_empty() {
            return Err(refused("an object belongs to another app", stolen));
        }
        let plan = self.plan(&spec.name, &desired, &BTreeSet::new());
        if approved != Some(&target.content)
            && let Some(hold) = self.guarded(spec, &desired, &plan).await?
        {
            return Err(AppEvent::Held(hold));
        }
        let changed: Vec<ObjectKey> = applies(&plan).map(|apply| apply.key.clone()).collect();
        let mut verdicts = self.dry_run(&spec.name, &desired, &changed).await;
        verdicts.absent.extend(desired.unknown.iter().cloned());
        if !verdicts.refused.is_empty() {
            verdicts.refused.extend(verdicts.absent);
            return Err(refused("the API server refused it", verdicts.refused));
        }
        if let Some(fault) = verdicts.obstacle {
            return Err(AppEvent::Obstacle { message: fault.to_string() });
        }
        if !verdicts.absent.is_empty() {
            let reason = "needs what the cluster does not have".to_owned();
            return Err(AppEvent::Absent { reason, faults: verdicts.absent });
        }
        Ok(AppEvent::Cleared)
    }

    pub(super) fn plan(
        &self,
        name: &AppName,
        desired: &Desired,
        drifted: &BTreeSet<ObjectKey>,
    ) -> Plan {
        let empty = BTreeMap::new();
        let input = PlanInput {
            desired: &desired.manifests,
            ignored: &desired.ignored,
            inventory: self.inventory.get(name).unwrap_or(&empty),
            drifted,
        };
        plan(&input).expect("the marks were read when the revision was prepared")
    }

    async fn guarded(
        &mut self,
        spec: &AppSpec,
        desired: &Desired,
        plan: &Plan,
    ) -> Result<Option<Hold>, AppEvent> {
        if plan.prunes.is_empty() {
            return Ok(None);
        }
        let mut confirmed = BTreeSet::new();
        for key in plan.prunes.iter().filter(|key| is_protected(key)) {
            let Some(entry) = self.entry(&spec.name, key) else { continue };
            let live = self.cluster.get(key, &entry.version).await;
            let live = live.map_err(|fault| AppEvent::Obstacle { message: fault.to_string() })?;
            if live.is_none_or(|live| prune_confirmed(&live)) {
                confirmed.insert(key.clone());
            }
        }
        let total = self.inventory.get(&spec.name).map_or(0, BTreeMap::len);
        let empty = desired.manifests.is_empty();
        let held = guard(&plan.prunes, total, &spec.prune, empty, &confirmed).err();
        Ok(held.map(|hold| Hold { reason: HoldReason::PruneGuard, detail: hold.detail }))
    }

    /// Objects that another app of ours owns already.
    fn owned_by_others(&self, name: &AppName, desired: &Desired) -> Vec<ObjectFault> {
        let owner = |key: &ObjectKey| {
            self.inventory.iter().find(|(app, entries)| *app != name && entries.contains_key(key))
        };
        desired
            .manifests
            .iter()
            .filter_map(|manifest| {
                let (app, _) = owner(&manifest.key)?;
                Some(fault_of(manifest, &format!("app {app} owns it")))
            })
            .collect()
    }

    /// Dry-runs objects; all errors are collected. What cannot be judged before
    /// its namespace or CRD is in is remembered as unproven.
    pub(super) async fn dry_run(
        &mut self,
        name: &AppName,
        desired: &Rc<Desired>,
        keys: &[ObjectKey],
    ) -> Verdicts {
        let this = &*self;
        let mut answers = stream::iter(keys.iter().filter_map(|key| desired.get(key)))
            .map(async |manifest| (manifest, this.try_out(name, desired, manifest).await))
            .buffer_unordered(IN_FLIGHT);
        let mut verdicts = Verdicts::default();
        while let Some((manifest, answer)) = answers.next().await {
            if let Err(fault) = answer {
                verdicts.judge(manifest, fault, desired);
            }
            if verdicts.obstacle.is_some() {
                break;
            }
        }
        drop(answers);
        let unproven = std::mem::take(&mut verdicts.unproven);
        self.view(name).unproven.extend(unproven);
        verdicts
    }

    async fn try_out(
        &self,
        name: &AppName,
        desired: &Desired,
        manifest: &Manifest,
    ) -> Result<(), ClusterFault> {
        let known = self.entry(name, &manifest.key).is_some_and(|entry| entry.uid.is_some());
        let ignored = desired.ignored.get(&manifest.key);
        if known
            && ignored.is_some()
            && let Some(live) = self.cluster.get(&manifest.key, &manifest.version).await?
        {
            let released = release(manifest, &live, ignored);
            self.cluster.apply(&released.manifest, ApplyMode::DryRun).await?;
            return Ok(());
        }
        self.cluster.apply(manifest, ApplyMode::DryRun).await?;
        Ok(())
    }

    /// A fresh app on a cluster that we may have worked on before our store was
    /// lost: what carries our marks is ours again.
    async fn adopt_if_empty(&mut self, spec: &AppSpec, desired: &Desired) -> Result<(), AppEvent> {
        if self.inventory.get(&spec.name).is_some_and(|entries| !entries.is_empty()) {
            return Ok(());
        }
        let kinds: BTreeSet<KindVersion> =
            desired.manifests.iter().map(super::desired::kind_version).collect();
        let selector = format!("{}={}", leeward_core::model::APP_LABEL, spec.name);
        let lists: Vec<_> = stream::iter(kinds)
            .map(async |kind| {
                let mut found = Vec::new();
                let adopt = |object| found.extend(super::observe::adopted(&object, &kind.version));
                self.cluster.list(&kind, "", &selector, adopt).await.map(|()| found)
            })
            .buffered(IN_FLIGHT)
            .collect()
            .await;
        let mut batch = crate::store::Batch::default();
        for listed in lists {
            let found = match listed {
                Ok(found) => found,
                Err(ClusterFault::UnknownKind(_) | ClusterFault::NotFound { .. }) => continue,
                Err(fault) => return Err(AppEvent::Obstacle { message: fault.to_string() }),
            };
            let found = found.into_iter();
            batch.inventory.extend(found.map(|(key, entry)| (spec.name.clone(), key, Some(entry))));
        }
        if !batch.inventory.is_empty() {
            let adopted = batch.inventory.len();
            tracing::info!(app = %spec.name, adopted, "Adopted objects that carry our marks.");
        }
        self.commit(batch).await.map_err(|error| AppEvent::Obstacle { message: error.to_string() })
    }
}

impl Verdicts {
    pub(super) fn is_clean(&self) -> bool {
        self.refused.is_empty()
            && self.absent.is_empty()
            && self.unproven.is_empty()
            && self.obstacle.is_none()
    }

    /// All of it as one line that says why it did not work out.
    pub(super) fn as_message(&self) -> String {
        let fault = self.refused.first().or(self.absent.first()).map(ToString::to_string);
        let obstacle = self.obstacle.as_ref().map(ToString::to_string);
        let unproven =
            self.unproven.first().map(|key| format!("{key} waits for its namespace or kind"));
        fault.or(obstacle).or(unproven).unwrap_or_default()
    }

    /// Sorts a fault by who has to act.
    pub(super) fn judge(&mut self, manifest: &Manifest, fault: ClusterFault, desired: &Desired) {
        let message = fault.to_string();
        match fault {
            ClusterFault::Unreachable { .. } | ClusterFault::Conflict { .. } => {
                self.obstacle = Some(fault);
            }
            ClusterFault::UnknownKind(_) | ClusterFault::NotFound { .. } => {
                if desired.brings_what_it_needs(&manifest.key) {
                    self.unproven.insert(manifest.key.clone());
                } else if self.absent.len() < MAX_FAULTS {
                    self.absent.push(fault_of(manifest, &message));
                }
            }
            ClusterFault::Immutable { .. } if desired.mark(&manifest.key).replace => {}
            // What takes data with it is not recommended to anyone.
            ClusterFault::Immutable { .. } if !is_protected(&manifest.key) => {
                self.refuse(manifest, &format!("{message}; {REPLACE_HINT}"));
            }
            ClusterFault::Forbidden { .. }
            | ClusterFault::Immutable { .. }
            | ClusterFault::Invalid { .. } => self.refuse(manifest, &message),
        }
    }

    fn refuse(&mut self, manifest: &Manifest, message: &str) {
        if self.refused.len() < MAX_FAULTS {
            self.refused.push(fault_of(manifest, message));
        }
    }
}

pub(super) fn applies(plan: &Plan) -> impl Iterator<Item = &Apply> {
    plan.stages.iter().flat_map(|stage| &stage.applies)
}

pub(super) fn refused(reason: &str, faults: Vec<ObjectFault>) -> AppEvent {
    AppEvent::Refused { reason: reason.to_owned(), faults }
}

pub(super) fn fault_of(manifest: &Manifest, message: &str) -> ObjectFault {
    ObjectFault {
        object: Some(manifest.key.to_string()),
        origin: Some(manifest.origin.to_string()),
        message: message.to_owned(),
    }
}
