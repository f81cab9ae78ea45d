//! Deletes what Git no longer declares: last, in reverse, and waits.

use std::time::Duration;

use futures::{StreamExt, stream};
use leeward_core::{
    cycle::{AppEvent, Phase},
    model::{AppName, ClusterFault, ObjectKey},
    plan::{guard::is_protected, order::Plan, ownership::may_delete},
};

use super::{
    apply::{LOOK_AGAIN, Progress},
    preflight::IN_FLIGHT,
    reconciler::Reconciler,
};
use crate::{
    edge::Cluster,
    store::{Batch, StoreError},
};

/// How long an apply waits for deletions to end. A finalizer that hangs keeps
/// its object in the inventory; it does not make the new revision bad.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What became of one deletion.
enum Deletion {
    Gone,
    /// It is not ours to delete; it leaves the inventory, with the reason in the log.
    NotOurs(String),
    UnderWay,
    Failed(ClusterFault),
}

impl<C: Cluster> Reconciler<C> {
    /// Deletes the last wave that is still there; the one before it when that is gone.
    pub(super) async fn prune(
        &mut self,
        name: &AppName,
        plan: &Plan,
    ) -> Result<Progress, StoreError> {
        let due = self.next_to_prune(name, plan);
        if due.is_empty() {
            let mut counts = self.view(name).counts;
            counts.unchanged = plan.unchanged.saturating_sub(
                usize::try_from(counts.created + counts.changed).unwrap_or(usize::MAX),
            ) as u64;
            return Ok(Progress::Event(AppEvent::ApplyDone(counts)));
        }
        let cluster = &self.cluster;
        let deletions: Vec<(ObjectKey, Deletion)> = stream::iter(due)
            .map(async |(key, version)| {
                let deletion = delete(cluster, name, &key, &version).await;
                (key, deletion)
            })
            .buffer_unordered(IN_FLIGHT)
            .collect()
            .await;
        let now = self.clock.uptime();
        let mut batch = Batch::default();
        let mut obstacle = None;
        let mut under_way = false;
        for (key, deletion) in deletions {
            match deletion {
                Deletion::Gone => {
                    self.view(name).counts.pruned += 1;
                    batch.inventory.push((name.clone(), key, None));
                }
                Deletion::NotOurs(reason) => {
                    tracing::warn!(app = %name, object = %key, reason, "Not pruned; it is left alone from now on.");
                    batch.inventory.push((name.clone(), key, None));
                }
                Deletion::UnderWay => {
                    under_way = true;
                    self.view(name).deleting.entry(key).or_insert(now);
                }
                Deletion::Failed(fault) => obstacle = Some(format!("cannot prune {key}: {fault}")),
            }
        }
        self.commit(batch).await?;
        Ok(match obstacle {
            Some(message) => Progress::Event(AppEvent::Obstacle { message }),
            None if under_way => Progress::LookAgain(LOOK_AGAIN),
            None => Progress::Event(AppEvent::StageApplied),
        })
    }

    fn next_to_prune(&mut self, name: &AppName, plan: &Plan) -> Vec<(ObjectKey, String)> {
        let now = self.clock.uptime();
        // What a bad revision brought and nobody may lose (volumes, namespaces)
        // stays after a rollback; the guard asks a person about it later.
        let rolling_back = self
            .apps
            .get(name)
            .is_some_and(|app| matches!(app.record.phase, Phase::RollingBack { .. }));
        let overdue: Vec<ObjectKey> = self
            .view(name)
            .deleting
            .iter()
            .filter(|(_, since)| **since + LONGEST_WAIT <= now)
            .map(|(key, _)| key.clone())
            .collect();
        let mut wave = None;
        plan.prunes
            .iter()
            .filter(|key| (!rolling_back || !is_protected(key)) && !overdue.contains(key))
            .filter_map(|key| Some((key.clone(), self.entry(name, key)?)))
            .take_while(|(_, entry)| *wave.get_or_insert(entry.wave) == entry.wave)
            .map(|(key, entry)| (key, entry.version))
            .collect()
    }
}

async fn delete<C: Cluster>(
    cluster: &C,
    app: &AppName,
    key: &ObjectKey,
    version: &str,
) -> Deletion {
    let live = match cluster.get(key, version).await {
        Ok(Some(live)) => live,
        // A kind that is not served any more took its objects with it.
        Ok(None) | Err(ClusterFault::UnknownKind(_)) => return Deletion::Gone,
        Err(fault) => return Deletion::Failed(fault),
    };
    let uid = match may_delete(&live, app) {
        Ok(uid) => uid,
        Err(reason) => return Deletion::NotOurs(reason.to_string()),
    };
    if live["metadata"].get("deletionTimestamp").is_some() {
        return Deletion::UnderWay;
    }
    match cluster.delete(key, version, &uid).await {
        Ok(()) | Err(ClusterFault::NotFound { .. }) => Deletion::UnderWay,
        Err(fault) => Deletion::Failed(fault),
    }
}
