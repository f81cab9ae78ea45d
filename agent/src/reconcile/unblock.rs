//! Takes away what keeps a workload from following its own template.

use leeward_core::{
    health::stuck_pods,
    model::{AppName, ClusterFault},
};
use serde_json::Value;

use super::reconciler::Reconciler;
use crate::edge::Cluster;

impl<C: Cluster> Reconciler<C> {
    /// Deletes the pods of older templates that a StatefulSet waits for in vain.
    /// Best effort: without the right to do so, health says what is wrong.
    pub(super) async fn unblock(&self, name: &AppName, live: &Value, pods: &[Value]) {
        let Some(app) = self.apps.get(name).filter(|app| !app.is_paused(self.clock.uptime()))
        else {
            return;
        };
        let record = &app.record;
        let rolled_back =
            record.newest.as_ref().is_some_and(|newest| record.is_bad(&newest.content));
        for stuck in stuck_pods(live, pods, rolled_back) {
            match self.cluster.delete(&stuck.key, "v1", &stuck.uid).await {
                Ok(()) => {
                    tracing::warn!(app = %name, pod = %stuck.key, "Deleted a pod of an older template that its StatefulSet waits for in vain.");
                }
                Err(ClusterFault::NotFound { .. } | ClusterFault::Conflict { .. }) => {}
                Err(error) => {
                    tracing::warn!(app = %name, pod = %stuck.key, %error, "Cannot delete a pod that keeps its StatefulSet from going on.");
                }
            }
        }
    }
}
