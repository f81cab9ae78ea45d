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

/// Confirms drift against the live objects.
pub(in crate::reconcile) async fn confirm<C: Cluster>(
    means: &Means<'_, C>,
    app: &str,
    desired: &Arc<Desired>,
    drifted: Vec<(ObjectKey, InventoryEntry)>,
) -> Vec<(ObjectKey, Result<Drift, ClusterFault>)> {
    let judged = means.each(drifted, async |(key, entry)| {
        let drift = match means.get(&key, &entry.version).await {
            Ok(live) => Ok(judge(app, desired, &key, entry, live.as_ref())),
            Err(ClusterFault::UnknownKind(_)) => Ok(judge(app, desired, &key, entry, None)),
            Err(fault) => Err(fault),
        };
        (key, drift)
    });
    judged.collect().await
}
