//! Deletes what Git no longer declares, if it still is ours.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use leeward_core::{
    model::{AppName, ClusterFault, ObjectKey},
    plan::ownership::may_delete,
};

use super::{
    super::outside::Means,
    claims::{Neighbours, claims},
    send::{is_leaving, keeper},
};
use crate::edge::Cluster;

/// What became of one deletion.
#[derive(Debug)]
pub(in crate::reconcile) enum Deletion {
    Gone,
    /// No version of its kind is served now. A definition that changes is like that
    /// for a moment; one that is gone took its objects with it.
    Unserved,
    /// It is not ours to delete; it leaves the inventory, with the reason in the log.
    NotOurs(String),
    /// Another app needs it, or is about to take it over; why, in a few words.
    Wanted(String),
    /// What keeps it, in a few words.
    UnderWay(String),
    Failed(ClusterFault),
}

/// Asks for the deletion of each object that no other app wants. One that is on its
/// way out already is looked at only.
pub(in crate::reconcile) async fn delete<C: Cluster>(
    means: &Means<'_, C>,
    app: &str,
    mut due: Vec<(ObjectKey, String)>,
    (neighbours, left_by): (Neighbours, BTreeMap<ObjectKey, AppName>),
) -> Vec<(ObjectKey, Deletion)> {
    let keys: Vec<ObjectKey> = due.iter().map(|(key, _)| key.clone()).collect();
    let claims = claims(means, neighbours, &keys).await;
    due.retain(|(key, _)| !claims.contains_key(key));
    let wanted = claims.into_iter().map(|(key, reason)| (key, Deletion::Wanted(reason)));
    let deletions = means.each(due, async |(key, version)| {
        let deletion = delete_one(means, app, &key, &version, left_by.get(&key)).await;
        (key, deletion)
    });
    let mut all: Vec<_> = wanted.collect();
    all.extend(deletions.collect::<Vec<_>>().await);
    all
}

async fn delete_one<C: Cluster>(
    means: &Means<'_, C>,
    app: &str,
    key: &ObjectKey,
    version: &str,
    from: Option<&AppName>,
) -> Deletion {
    let live = match means.get(key, version).await {
        Ok(Some(live)) => live,
        Ok(None) => return Deletion::Gone,
        Err(ClusterFault::UnknownKind(_)) => return Deletion::Unserved,
        Err(fault) => return Deletion::Failed(fault),
    };
    let uid = match may_delete(&live, app, from.map(AsRef::as_ref)) {
        Ok(uid) => uid,
        Err(reason) => return Deletion::NotOurs(reason.to_string()),
    };
    if is_leaving(&live) {
        return Deletion::UnderWay(keeper(&live));
    }
    match means.delete(key, version, &uid).await {
        Ok(()) | Err(ClusterFault::NotFound { .. }) => Deletion::UnderWay(keeper(&live)),
        Err(fault) => Deletion::Failed(fault),
    }
}
