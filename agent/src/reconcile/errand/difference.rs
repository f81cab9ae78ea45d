//! Compares what an app should be with what the cluster has, for `leeward diff`.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use leeward_core::{
    model::{ClusterFault, ObjectKey, Run},
    plan::{
        drift::differs,
        order::{PlanInput, plan},
    },
};
use leeward_wire::control::{Difference, ObjectDiff};

use super::{
    super::{managed::Inventory, outside::Means},
    prepare::{Recipe, Undesired, prepare},
};
use crate::edge::Cluster;

/// Returns every object of one app that differs, is missing, or would be pruned.
pub(in crate::reconcile) async fn differences<C: Cluster>(
    means: &Means<'_, C>,
    recipe: Recipe,
    inventory: &Inventory,
    left_alone: &BTreeSet<ObjectKey>,
) -> Result<Vec<ObjectDiff>, Undesired> {
    let app = recipe.spec.name.clone();
    let desired = prepare(means, recipe).await?;
    let drifted = BTreeSet::new();
    let plan = plan(&PlanInput { desired: &desired, inventory, drifted: &drifted, left_alone });
    let declared = desired.objects.iter().filter(|one| !left_alone.contains(one.key()));
    let read = means.each(declared.enumerate(), async |(at, one)| {
        (at, one, means.get(one.key(), &one.manifest.version).await)
    });
    let mut answers: Vec<_> = read.collect().await;
    answers.sort_by_key(|(at, ..)| *at);
    let mut objects = Vec::new();
    for (_, one, live) in answers {
        let live = match live {
            Err(ClusterFault::UnknownKind(_)) => None,
            live => live?,
        };
        let entry = inventory.get(one.key()).filter(|entry| entry.applied == Some(one.digest));
        let run = entry.and_then(|entry| entry.run.as_ref());
        if live.is_none() && run.is_some_and(Run::is_over) {
            // It has run for this content, and went by itself or was cleared away.
            continue;
        }
        let difference = live.as_ref().map_or(Difference::Missing, |live| {
            let ignored = desired.ignored.get(one.key());
            Difference::Fields(differs(&one.manifest, Some(live), ignored))
        });
        if difference != Difference::Fields(Vec::new()) {
            let object = one.key().to_string();
            objects.push(ObjectDiff { app: app.clone(), object, difference });
        }
    }
    objects.extend(plan.prunes.iter().map(|key| ObjectDiff {
        app: app.clone(),
        object: key.to_string(),
        difference: Difference::Surplus,
    }));
    Ok(objects)
}
