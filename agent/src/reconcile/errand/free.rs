//! Asks whether objects that were never ours may be written by now.

use futures::StreamExt as _;
use leeward_core::{model::ObjectKey, plan::marks::leaves_alone};

use super::super::outside::Means;
use crate::edge::Cluster;

/// Returns those that no annotation in the cluster asks to leave alone any more.
/// One that cannot be read is asked about the next time.
pub(in crate::reconcile) async fn free<C: Cluster>(
    means: &Means<'_, C>,
    left_alone: Vec<(ObjectKey, String)>,
) -> Vec<(ObjectKey, String)> {
    let asked = means.each(left_alone, async |(key, version)| {
        let live = means.get(&key, &version).await.ok()?;
        live.is_none_or(|live| leaves_alone(&live).is_none()).then_some((key, version))
    });
    asked.filter_map(std::future::ready).collect().await
}
