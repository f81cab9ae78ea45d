//! Waits until this node is the one that acts.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{life::Kept, progress::Stage};
use crate::{
    cluster::{Kubernetes, LeaseHolder},
    config::Config,
};

/// A follower says that it lives as often as the loop would.
const FOLLOWER_BEAT: Duration = Duration::from_secs(10);

/// How waiting for the lease ended.
pub(super) enum Followed {
    /// There is no lease to wait for: no DaemonSet.
    NoElection,
    Leads(LeaseHolder),
    /// Asked to stop meanwhile.
    Stopped,
}

/// With leader election (`$LEEWARD_LEASE_NAMESPACE`, the DaemonSet): waits until
/// this node is the one that acts. The probes see a live follower.
pub(super) async fn follow(
    cluster: &Kubernetes,
    config: &Config,
    kept: &Kept,
    shutdown: &CancellationToken,
) -> Followed {
    if std::env::var_os("LEEWARD_LEASE_NAMESPACE").is_none() {
        return Followed::NoElection;
    }
    // What this node published when it acted is not true any more.
    kept.status.send_replace(None);
    let mut lease = LeaseHolder::new(cluster, &config.cluster.name);
    {
        let acquire = lease.acquire();
        tokio::pin!(acquire);
        loop {
            kept.beat(Stage::Follows, "a different node acts");
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Followed::Stopped,
                () = &mut acquire => break,
                () = tokio::time::sleep(FOLLOWER_BEAT) => {}
            }
        }
    }
    tracing::info!("This node acts from now on.");
    Followed::Leads(lease)
}
