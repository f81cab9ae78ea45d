//! Finds out everything about a candidate that can be found out without
//! changing the cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::StreamExt as _;
use leeward_core::{
    cycle::AppEvent,
    gate::{Hold, HoldReason, guard, is_protected},
    model::{
        APP_LABEL, AppSpec, ClusterFault, Digest, InventoryEntry, KindVersion, ObjectFault,
        ObjectKey, Revision, owned_digest,
    },
    plan::{
        desired::{Desired, Prepared, kind_version},
        judges::Judges,
        marks::prune_confirmed,
        order::{Apply, Plan, PlanInput, plan},
        release::release,
    },
};
use serde_json::Value;

use super::{
    super::{managed::Inventory, outside::Means},
    along::goes_along,
    claims::{Neighbours, claims},
    prepare::{Recipe, prepare},
    verdicts::Verdicts,
};
use crate::edge::{ApplyMode, Cluster};

/// A candidate, and what is known of its app.
#[derive(Debug)]
pub(in crate::reconcile) struct Candidate {
    pub(in crate::reconcile) recipe: Recipe,
    /// The candidate as it was prepared before, if it was.
    pub(in crate::reconcile) desired: Option<Arc<Desired>>,
    pub(in crate::reconcile) inventory: Inventory,
    pub(in crate::reconcile) left_alone: BTreeSet<ObjectKey>,
    /// The set of deletions of this content that a person let through.
    pub(in crate::reconcile) approved: Option<Digest>,
    /// What other apps may want of what it does not declare any more.
    pub(in crate::reconcile) neighbours: Neighbours,
}

/// A candidate after its preflight.
#[derive(Debug)]
pub(in crate::reconcile) struct Preflighted {
    pub(in crate::reconcile) revision: Revision,
    /// `None`: it cannot be rendered now.
    pub(in crate::reconcile) desired: Option<Arc<Desired>>,
    /// Objects in the cluster that carry our marks and that no store knew of.
    pub(in crate::reconcile) adopted: Inventory,
    pub(in crate::reconcile) unproven: BTreeSet<ObjectKey>,
    pub(in crate::reconcile) left_alone: BTreeSet<ObjectKey>,
    /// The store lacks a part of the revision.
    pub(in crate::reconcile) is_missing: bool,
    pub(in crate::reconcile) event: AppEvent,
}

/// Renders the candidate and dry-runs everything that it changes.
pub(in crate::reconcile) async fn preflight<C: Cluster>(
    means: &Means<'_, C>,
    candidate: Candidate,
) -> Preflighted {
    let Candidate { recipe, desired, inventory, left_alone, approved, neighbours } = candidate;
    let (spec, revision) = (recipe.spec.clone(), recipe.revision.clone());
    let mut done = Preflighted {
        revision,
        desired: None,
        adopted: Inventory::new(),
        unproven: BTreeSet::new(),
        left_alone,
        is_missing: false,
        event: AppEvent::Cleared,
    };
    let prepared = match desired {
        Some(desired) => Ok(desired),
        None => prepare(means, recipe).await,
    };
    let examined = match prepared {
        Ok(desired) => {
            done.desired = Some(Arc::clone(&desired));
            let given = (inventory, approved, neighbours);
            examine(means, &spec, &desired, given, &mut done).await
        }
        Err(undesired) => {
            done.is_missing = matches!(undesired, super::Undesired::Missing);
            Err(match undesired.into_faults() {
                Ok(faults) => refused("the files cannot be used", faults),
                Err(message) => AppEvent::Obstacle { message },
            })
        }
    };
    done.event = examined.unwrap_or_else(|event| event);
    done
}

/// Examines a candidate that was prepared; an error is what keeps it from more.
async fn examine<C: Cluster>(
    means: &Means<'_, C>,
    spec: &AppSpec,
    desired: &Desired,
    (mut inventory, approved, neighbours): (Inventory, Option<Digest>, Neighbours),
    done: &mut Preflighted,
) -> Result<AppEvent, AppEvent> {
    if inventory.is_empty() {
        let adopted = adopt(means, spec, desired).await;
        inventory = adopted.map_err(|message| AppEvent::Obstacle { message })?;
        done.adopted.clone_from(&inventory);
    }
    let drifted = BTreeSet::new();
    let (inventory, left_alone) = (&inventory, &done.left_alone);
    let plan = plan(&PlanInput { desired, inventory, drifted: &drifted, left_alone });
    if let Some(hold) = guarded(means, spec, inventory, desired, &plan, neighbours).await?
        && (approved.is_none() || approved != hold.set)
    {
        return Err(AppEvent::Held(hold));
    }
    let changed: Vec<ObjectKey> = applies(&plan).map(|apply| apply.key.clone()).collect();
    means.is_about(changed.len());
    let judges = Judges::of(&plan, desired, inventory);
    let mut verdicts = dry_run(means, desired, inventory, &changed, &judges).await;
    done.left_alone.append(&mut verdicts.left_alone);
    done.unproven = std::mem::take(&mut verdicts.unproven);
    Ok(cleared(verdicts, desired))
}

/// Returns what the dry-run means for the candidate.
fn cleared(mut verdicts: Verdicts, desired: &Desired) -> AppEvent {
    verdicts.absent.extend(desired.unknown.iter().cloned());
    if !verdicts.refused.is_empty() {
        verdicts.refused.extend(verdicts.absent);
        return refused("the API server refused it", verdicts.refused);
    }
    if let Some(message) = verdicts.obstacle {
        return AppEvent::Obstacle { message };
    }
    if let Some(fault) = verdicts.forbidden.first() {
        return AppEvent::Held(Hold::of(HoldReason::Permission, fault.to_string()));
    }
    if !verdicts.absent.is_empty() {
        let reason = "needs what the cluster does not have".to_owned();
        return AppEvent::Absent { reason, faults: verdicts.absent };
    }
    AppEvent::Cleared
}

async fn guarded<C: Cluster>(
    means: &Means<'_, C>,
    spec: &AppSpec,
    inventory: &Inventory,
    desired: &Desired,
    plan: &Plan,
    neighbours: Neighbours,
) -> Result<Option<Hold>, AppEvent> {
    if plan.prunes.is_empty() {
        return Ok(None);
    }
    let claims = claims(means, neighbours, &plan.prunes).await;
    let going = plan.prunes.iter().filter(|key| !claims.contains_key(*key));
    let going: Vec<ObjectKey> = going.cloned().collect();
    let mut confirmed = BTreeSet::new();
    for key in going.iter().filter(|key| is_protected(key)) {
        let Some(entry) = inventory.get(key) else { continue };
        let live = means.get(key, &entry.version).await;
        let live = live.map_err(|fault| AppEvent::Obstacle { message: fault.to_string() })?;
        if live.is_none_or(|live| prune_confirmed(&live)) {
            confirmed.insert(key.clone());
        }
    }
    let empty = desired.objects.is_empty();
    let total = inventory.len();
    let Err(mut hold) = guard(&going, total, &spec.prune, empty, &confirmed) else {
        return Ok(None);
    };
    let along = goes_along(means, &going, inventory).await;
    hold.detail += &along.map_err(|fault| AppEvent::Obstacle { message: fault.to_string() })?;
    if let Some((key, reason)) = claims.iter().next() {
        let stay = format!("; {} stay, such as {key}: {reason}", claims.len());
        hold.detail.push_str(&stay);
    }
    Ok(Some(hold))
}

/// Dry-runs objects; all errors are collected. What cannot be judged before its
/// namespace, its CRD or a judge is in is returned as unproven.
pub(in crate::reconcile) async fn dry_run<C: Cluster>(
    means: &Means<'_, C>,
    desired: &Desired,
    inventory: &BTreeMap<ObjectKey, InventoryEntry>,
    keys: &[ObjectKey],
    judges: &Judges,
) -> Verdicts {
    let objects = keys.iter().filter_map(|key| desired.get(key));
    let mut asked = 0;
    let wanted = objects.clone().count();
    let answers =
        means.each(objects, async |one| (one, try_out(means, desired, inventory, one).await));
    futures::pin_mut!(answers);
    let mut verdicts = Verdicts::default();
    while let Some((one, answer)) = answers.next().await {
        asked += 1;
        match answer {
            Ok(true) => drop(verdicts.left_alone.insert(one.key().clone())),
            Ok(false) => {}
            Err(fault) => verdicts.judge(one, &fault, desired, judges),
        }
        if verdicts.obstacle.is_some() {
            return verdicts;
        }
    }
    if asked < wanted {
        let message = format!("the dry-run came to {asked} of {wanted} objects in its time");
        verdicts.obstacle.get_or_insert(message);
    }
    verdicts
}

/// Dry-runs one object. Returns whether the live object asks to be left alone.
async fn try_out<C: Cluster>(
    means: &Means<'_, C>,
    desired: &Desired,
    inventory: &BTreeMap<ObjectKey, InventoryEntry>,
    one: &Prepared,
) -> Result<bool, ClusterFault> {
    let manifest = &one.manifest;
    let known = inventory.get(one.key()).is_some_and(|entry| entry.uid.is_some());
    let ignored = desired.ignored.get(one.key());
    if known
        && ignored.is_some()
        && let Some(live) = means.get(&manifest.key, &manifest.version).await?
    {
        let released = release(manifest, &live, ignored);
        return Ok(means.apply(&released.manifest, ApplyMode::DryRun).await?.left_alone);
    }
    Ok(means.apply(manifest, ApplyMode::DryRun).await?.left_alone)
}

/// A fresh app on a cluster that we may have worked on before our store was
/// lost: what carries our marks is ours again.
async fn adopt<C: Cluster>(
    means: &Means<'_, C>,
    spec: &AppSpec,
    desired: &Desired,
) -> Result<Inventory, String> {
    let kinds: BTreeSet<KindVersion> =
        desired.objects.iter().map(|one| kind_version(&one.manifest)).collect();
    let selector = format!("{APP_LABEL}={}", spec.name);
    let selector = &selector;
    let lists = means.each(kinds, async |kind| {
        let mut found = Vec::new();
        let adopt = |object| found.extend(adopted(&object, &kind.version));
        means.list(&kind, "", selector, adopt).await.map(|()| found)
    });
    let mut inventory = Inventory::new();
    futures::pin_mut!(lists);
    while let Some(listed) = lists.next().await {
        match listed {
            Ok(found) => inventory.extend(found),
            Err(ClusterFault::UnknownKind(_) | ClusterFault::NotFound { .. }) => {}
            Err(fault) => return Err(fault.to_string()),
        }
    }
    if !inventory.is_empty() {
        let adopted = inventory.len();
        tracing::info!(app = %spec.name, adopted, "Adopted objects that carry our marks.");
    }
    Ok(inventory)
}

/// The inventory entry of an object that carries our label and our field
/// manager, though our store knows nothing of it.
fn adopted(object: &Value, version: &str) -> Option<(ObjectKey, InventoryEntry)> {
    let fields = owned_digest(object)?;
    let uid = object["metadata"]["uid"].as_str().map(str::to_owned);
    let entry = InventoryEntry {
        version: version.to_owned(),
        applied: None,
        fields: Some(fields),
        uid,
        wave: 0,
        keep: false,
        replace: false,
        run: None,
        leaving: false,
        from: None,
    };
    Some((ObjectKey::of(object)?, entry))
}

pub(in crate::reconcile) fn applies(plan: &Plan) -> impl Iterator<Item = &Apply> {
    plan.stages.iter().flat_map(|stage| &stage.applies)
}

fn refused(reason: &str, faults: Vec<ObjectFault>) -> AppEvent {
    AppEvent::Refused { reason: reason.to_owned(), faults }
}
