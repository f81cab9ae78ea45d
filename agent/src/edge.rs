//! The traits at the edge of the loop. Each has two implementations: the real
//! one, and the one of the simulation that fails, hangs and lies.

use std::collections::{BTreeMap, BTreeSet};

use leeward_core::{
    model::{
        Applied, ClusterFault, FetchFailure, Fetched, FetchedFolder, GitId, Kind, KindVersion,
        Manifest, ObjectKey, Scope,
    },
    report::Event,
};
use serde_json::Value;

/// Brings the source's newest revision into the store.
#[expect(async_fn_in_trait, reason = "the loop owns its futures and never sends them elsewhere")]
pub trait Fetch {
    /// Polls the remote; when the ref moved (or `have` is incomplete), fetches
    /// until every object of the path is in the store. `have` is the newest
    /// commit that is known to be whole. Cancel safe: what arrived stays.
    async fn fetch(&mut self, have: Option<GitId>) -> Result<Fetched, FetchFailure>;

    /// Fetches another folder of the repository at `commit`, until every object
    /// of it is in the store. `have` as above. A folder that takes more than `most`
    /// bytes is a failure of the step `path`.
    async fn fetch_folder(
        &mut self,
        commit: GitId,
        have: Option<GitId>,
        folder: &str,
        most: u64,
    ) -> Result<FetchedFolder, FetchFailure>;
}

/// How an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyMode {
    /// As manager `leeward`, taking over fields that others own.
    Force,
    /// The same, but nothing is stored.
    DryRun,
    /// As manager `leeward-handover`: keeps the live value of fields that we stop declaring.
    HandOver,
    /// A patch of the object's own metadata: takes fields that we own from somebody who
    /// owns them as well. Refused when the object has changed since it was read.
    TakeOver,
}

/// The cluster. Every call is bounded in time by the implementation.
#[expect(async_fn_in_trait, reason = "the loop owns its futures and never sends them elsewhere")]
pub trait Cluster {
    /// Which of `kinds` the API server serves, and where their objects live.
    /// Kinds that it does not serve are absent from the answer.
    async fn scopes(
        &self,
        kinds: &BTreeSet<KindVersion>,
    ) -> Result<BTreeMap<Kind, Scope>, ClusterFault>;

    /// Server-side apply (KEP-555) of the whole body.
    async fn apply(&self, manifest: &Manifest, mode: ApplyMode) -> Result<Applied, ClusterFault>;

    /// The whole live object, managed fields included; `None` when it is not there.
    async fn get(&self, key: &ObjectKey, version: &str) -> Result<Option<Value>, ClusterFault>;

    /// Hands over whole objects of a kind by label selector, in one namespace
    /// or (empty) in all. A page at a time, so that a large list is never held
    /// whole; after an error some may have been handed over already.
    async fn list(
        &self,
        kind: &KindVersion,
        namespace: &str,
        selector: &str,
        each: impl FnMut(Value),
    ) -> Result<(), ClusterFault>;

    /// Deletes in the foreground, if the object still has this uid.
    /// An object that is not there any more is a success.
    async fn delete(&self, key: &ObjectKey, version: &str, uid: &str) -> Result<(), ClusterFault>;

    /// Replaces the set of kinds whose objects (with our owner label) are
    /// watched. Sightings arrive on the channel that the implementation was made with.
    fn watch(&self, kinds: BTreeSet<KindVersion>);

    /// Has a Kubernetes Event written about our own work, some time later; best effort.
    fn announce(&self, event: &Event);
}
