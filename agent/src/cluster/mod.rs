//! Kubernetes: discovery, server-side apply, watch, events, leadership.
//!
//! Carries out what the loop decided, and says what it saw. It decides nothing
//! about apps, never deletes on its own account, and keeps no copy of the
//! cluster. Objects travel as JSON: typed models of all kinds would cost
//! megabytes of code and know less than the API server.

mod access;
mod announce;
mod backoff;
mod discovery;
mod fault;
mod lease;
#[cfg(test)]
mod live;
mod objects;
mod path;
mod probe;
mod transport;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fmt,
    sync::{Arc, Mutex, PoisonError},
};

use leeward_core::{
    model::{Applied, ClusterFault, Kind, KindVersion, Manifest, ObjectKey, Scope, Seen},
    report::Event,
};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tokio::sync::mpsc;

pub use access::ConnectError;
pub use lease::{LeaseHolder, LeaseLost};
pub use probe::{Permission, Probe};

use crate::{
    config::ClusterConfig,
    edge::{ApplyMode, Cluster},
};
use access::Access;
use discovery::Discovery;
use objects::Objects;
use transport::Transport;

/// Where our Events and our lease live when we do not run as a Pod.
const DEFAULT_NAMESPACE: &str = "default";

/// The cluster, as its API server shows it. Clones share everything.
#[derive(Clone)]
pub struct Kubernetes {
    inner: Arc<Inner>,
}

struct Inner {
    transport: Transport,
    discovery: Discovery,
    /// The kinds to watch.
    watched: tokio::sync::watch::Sender<BTreeSet<KindVersion>>,
    sightings: mpsc::Sender<Seen>,
    announcements: mpsc::Sender<Event>,
    /// Taken by `run`.
    announced: Mutex<Option<mpsc::Receiver<Event>>>,
    /// Our own.
    namespace: String,
}

impl Kubernetes {
    /// Gets ready to talk to the API server, which need not be up. A
    /// kubeconfig that is not there yet is looked for again at every request,
    /// and one that changes is read again; one that cannot be used is an error.
    pub async fn connect(
        config: &ClusterConfig,
        sightings: mpsc::Sender<Seen>,
    ) -> Result<Self, ConnectError> {
        let access = Access::new(config.kubeconfig.as_deref()).await?;
        let (announcements, announced) = mpsc::channel(announce::QUEUE);
        let namespace = env::var("POD_NAMESPACE").ok().filter(|name| !name.is_empty());
        Ok(Self {
            inner: Arc::new(Inner {
                transport: Transport::new(access),
                discovery: Discovery::default(),
                watched: tokio::sync::watch::Sender::new(BTreeSet::new()),
                sightings,
                announcements,
                announced: Mutex::new(Some(announced)),
                namespace: namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
            }),
        })
    }

    /// Serves the watches, writes Events, and looks after an API server that
    /// is away. Ends when nobody receives the sightings any more.
    pub fn run(&self) -> impl Future<Output = ()> + Send + use<> {
        let inner = Arc::clone(&self.inner);
        async move {
            let queue = inner.announced.lock().unwrap_or_else(PoisonError::into_inner).take();
            let announcing = async {
                match queue {
                    Some(queue) => announce::serve(Arc::clone(&inner), queue).await,
                    None => std::future::pending().await,
                }
            };
            let warming_up = async {
                // While the first revision is fetched there is time for this.
                inner.discovery.warm_up(&inner.transport).await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                // The other tasks are best effort, and end with the process.
                () = inner.sightings.closed() => {}
                () = watch::serve(Arc::clone(&inner)) => {}
                () = announcing => {}
                () = warming_up => {}
                () = inner.transport.look_out() => {}
            }
        }
    }

    /// Changes whenever the API server comes back after it was away.
    pub fn returns(&self) -> tokio::sync::watch::Receiver<u64> {
        self.inner.transport.returns()
    }

    fn objects(&self) -> Objects<'_> {
        Objects { transport: &self.inner.transport, discovery: &self.inner.discovery }
    }
}

impl Cluster for Kubernetes {
    async fn scopes(
        &self,
        kinds: &BTreeSet<KindVersion>,
    ) -> Result<BTreeMap<Kind, Scope>, ClusterFault> {
        self.inner.discovery.scopes(&self.inner.transport, kinds).await
    }

    async fn apply(&self, manifest: &Manifest, mode: ApplyMode) -> Result<Applied, ClusterFault> {
        self.objects().apply(manifest, mode).await
    }

    async fn get(&self, key: &ObjectKey, version: &str) -> Result<Option<Value>, ClusterFault> {
        self.objects().get(key, version).await
    }

    async fn list(
        &self,
        kind: &KindVersion,
        namespace: &str,
        selector: &str,
        each: impl FnMut(Value),
    ) -> Result<(), ClusterFault> {
        self.objects().list(kind, namespace, selector, each).await
    }

    async fn delete(&self, key: &ObjectKey, version: &str, uid: &str) -> Result<(), ClusterFault> {
        self.objects().delete(key, version, uid).await
    }

    fn watch(&self, kinds: BTreeSet<KindVersion>) {
        self.inner.watched.send_if_modified(|watched| {
            let differs = *watched != kinds;
            *watched = kinds;
            differs
        });
    }

    fn announce(&self, event: &Event) {
        if self.inner.announcements.try_send(event.clone()).is_err() {
            tracing::debug!("Too many Kubernetes Events at once; dropped one.");
        }
    }
}

impl fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubernetes")
            .field("namespace", &self.inner.namespace)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LeaseHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseHolder").finish_non_exhaustive()
    }
}

/// Go writes an empty list as `null` when it was never filled.
fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Stands for the API server itself in the refusal of a question that is about no kind.
fn kind_of_inquiry() -> KindVersion {
    KindVersion { kind: Kind::new("", "APIServer"), version: "v1".to_owned() }
}
