//! Reads drifted objects as they are, and judges each.

use std::sync::Arc;

use futures::StreamExt as _;
use leeward_core::{
    cycle::{Drift, judge},
    model::{ClusterFault, InventoryEntry, ObjectKey},
    plan::desired::Desired,
};

use super::super::outside::Means;
use crate::edge::Cluster;

/// A drifted object, what was known of it when the errand left, and what it turned out to be.
pub(in crate::reconcile) type Judged = (ObjectKey, InventoryEntry, Result<Drift, ClusterFault>);

/// Confirms drift against the live objects.
pub(in crate::reconcile) async fn confirm<C: Cluster>(
    means: &Means<'_, C>,
    app: &str,
    desired: &Arc<Desired>,
    drifted: Vec<(ObjectKey, InventoryEntry)>,
) -> Vec<Judged> {
    let judged = means.each(drifted, async |(key, entry)| {
        let known = entry.clone();
        let drift = match means.get(&key, &entry.version).await {
            Ok(live) => Ok(judge(app, desired, &key, entry, live.as_ref())),
            Err(ClusterFault::UnknownKind(_)) => Ok(judge(app, desired, &key, entry, None)),
            Err(fault) => Err(fault),
        };
        (key, known, drift)
    });
    judged.collect().await
}
