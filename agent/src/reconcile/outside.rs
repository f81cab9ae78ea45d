//! What an errand may touch of the outside, and for how long.

use std::{cell::Cell, pin::pin, sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _, stream};
use leeward_core::model::{Applied, ClusterFault, KindVersion, Manifest, ObjectKey, Uptime};
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::budget::{Budget, Class, ERRAND_IN_FLIGHT};
use crate::{
    clock::Clock,
    edge::{ApplyMode, Cluster},
    offload::Offload,
    store::Store,
};

/// How long an errand makes new requests. What it did not get to is planned
/// again; each request under way is bounded by itself.
const ERRAND_TIME: Duration = Duration::from_secs(20);
/// A request without an answer for so long hangs in a webhook or on the network.
/// It is no work for the API server, and must not keep others out.
const HANGS: Duration = Duration::from_secs(2);

/// Everything outside of the loop that errands share.
#[derive(Debug)]
pub(super) struct Outside<C> {
    pub(super) cluster: C,
    pub(super) store: Arc<Store>,
    pub(super) clock: Clock,
    pub(super) offload: Offload,
    pub(super) budget: Budget,
}

impl<C> Outside<C> {
    /// The means of one errand that begins now.
    pub(super) fn means(&self, class: Class, stop: CancellationToken) -> Means<'_, C> {
        let class = Cell::new(class);
        Means { outside: self, class, until: self.clock.uptime() + ERRAND_TIME, stop }
    }
}

/// What one errand works with: the cluster, within the budget and the errand's time.
#[derive(Debug)]
pub(super) struct Means<'a, C> {
    outside: &'a Outside<C>,
    class: Cell<Class>,
    until: Uptime,
    stop: CancellationToken,
}

impl<C: Cluster> Means<'_, C> {
    /// Whether no new request is to be made.
    pub(super) fn is_over(&self) -> bool {
        self.stop.is_cancelled() || self.until <= self.outside.clock.uptime()
    }

    /// The errand turned out to be about so many objects.
    pub(super) fn is_about(&self, objects: usize) {
        self.class.set(Class::of(objects));
    }

    pub(super) fn offload(&self) -> &Offload {
        &self.outside.offload
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        &self.outside.store
    }

    /// The cluster itself, for calls that are no requests about objects.
    pub(super) fn cluster(&self) -> &C {
        &self.outside.cluster
    }

    pub(super) async fn get(
        &self,
        key: &ObjectKey,
        version: &str,
    ) -> Result<Option<Value>, ClusterFault> {
        self.within_budget(self.outside.cluster.get(key, version)).await
    }

    pub(super) async fn apply(
        &self,
        manifest: &Manifest,
        mode: ApplyMode,
    ) -> Result<Applied, ClusterFault> {
        let apply = self.within_budget(self.outside.cluster.apply(manifest, mode));
        if mode != ApplyMode::DryRun {
            return apply.await;
        }
        // It changes nothing, so nobody has to know what becomes of it: a newer
        // commit does not wait for a webhook that an older one hangs in.
        tokio::select! {
            answer = apply => answer,
            () = self.stop.cancelled() => {
                Err(ClusterFault::NotReady { message: "the dry-run was called off".to_owned() })
            }
        }
    }

    pub(super) async fn list(
        &self,
        kind: &KindVersion,
        namespace: &str,
        selector: &str,
        each: impl FnMut(Value),
    ) -> Result<(), ClusterFault> {
        self.within_budget(self.outside.cluster.list(kind, namespace, selector, each)).await
    }

    pub(super) async fn delete(
        &self,
        key: &ObjectKey,
        version: &str,
        uid: &str,
    ) -> Result<(), ClusterFault> {
        self.within_budget(self.outside.cluster.delete(key, version, uid)).await
    }

    /// Makes a request when there is room for it. One that hangs gives its room back.
    async fn within_budget<T>(&self, request: impl Future<Output = T>) -> T {
        let budget = &self.outside.budget;
        let permit = budget.permit(self.class.get()).await;
        let mut request = pin!(request);
        if let Ok(answer) = timeout(HANGS, &mut request).await {
            return answer;
        }
        let _room = budget.set_aside(permit);
        request.await
    }

    /// Does `ask` for each item, many at once, in any order. Items that the
    /// errand has no time for any more are left out.
    pub(super) fn each<'s, T: 's, R: 's>(
        &'s self,
        items: impl IntoIterator<Item = T, IntoIter: 's>,
        ask: impl AsyncFn(T) -> R + 's,
    ) -> impl Stream<Item = R> + 's {
        let ask = std::rc::Rc::new(ask);
        stream::iter(items)
            .map(move |item| {
                let ask = std::rc::Rc::clone(&ask);
                async move { if self.is_over() { None } else { Some(ask(item).await) } }
            })
            .buffer_unordered(ERRAND_IN_FLIGHT)
            .filter_map(std::future::ready)
    }
}
