//! What the store keeps: everything that an app may have to be rendered from
//! again, with all good revisions that can be rolled back to. When its budget
//! is short, the oldest of these go first.

use std::collections::BTreeSet;

use leeward_core::{
    cycle::{AppEvent, KeptEvent},
    model::GitId,
};

use tokio::sync::oneshot;

use super::{errand::Back, reconciler::Reconciler};
use crate::{
    edge::Cluster,
    store::{Batch, StoreError},
};

/// What is thrown away, and why.
#[derive(Debug, Default)]
pub(super) struct Garbage {
    /// Fetches in a row that the store's budget refused.
    refusals: u32,
    /// The journal's ticket of what was given up last: its files go once this is
    /// on disk, or after a power cut a record would name what is not there.
    given_up: Option<u64>,
    /// Nothing is fetched until this is dropped; see `PollOutcome::taken_in`.
    fetches: Option<oneshot::Sender<()>>,
}

impl Garbage {
    /// A fetch has found room.
    pub(super) fn fetched(&mut self) {
        self.refusals = 0;
    }
}

/// A collection that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Collection {
    /// The budget refused a fetch before it.
    was_refused: bool,
    /// Bytes that Git objects take after it, and may take.
    bytes: u64,
    budget: u64,
}

impl<C: Cluster + 'static> Reconciler<C> {
    /// Keeps what the source and every app may still need; the rest goes.
    /// Nothing is fetched until it is done.
    pub(super) fn collect_garbage(&mut self) {
        let was_refused = self.outside.store.is_over_budget();
        if was_refused {
            self.garbage.refusals = self.garbage.refusals.saturating_add(1);
        }
        self.garbage.fetches = self.source.taken_in.take();
        self.collect(was_refused);
    }

    fn collect(&mut self, was_refused: bool) {
        let mut roots: BTreeSet<GitId> = BTreeSet::new();
        // Commits are kept for the sake of their author and subject, without their trees.
        let mut commits: BTreeSet<GitId> = BTreeSet::new();
        if let Some(source) = &self.source.record {
            roots.extend([source.commit, source.tree]);
            roots.extend(source.others.values().flatten());
        }
        for managed in self.apps.values() {
            let record = &managed.app.record;
            for revision in record.needed_revisions() {
                roots.insert(revision.tree);
                commits.insert(revision.commit);
                roots.extend(revision.reach.iter().flat_map(|reach| reach.folders.values()));
            }
            commits.extend(record.bad.iter().map(|bad| bad.revision.commit));
        }
        let roots: Vec<GitId> = roots.into_iter().collect();
        let commits: Vec<GitId> = commits.into_iter().collect();
        let (store, offload) = (self.outside.store.clone(), self.outside.offload.clone());
        self.send(Box::pin(async move {
            let collected = offload.run(move || {
                if was_refused || store.collection_is_due()? {
                    store.collect(&roots, &commits)?;
                }
                Ok::<_, StoreError>((store.object_bytes()?, store.object_budget()))
            });
            match collected.await {
                Some(Ok((bytes, budget))) => {
                    Back::Collected(Collection { was_refused, bytes, budget })
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "Cannot throw away what no revision needs; will retry.");
                    Back::Collected(Collection { was_refused: false, bytes: 0, budget: 0 })
                }
                None => Back::Done,
            }
        }));
    }

    /// A fetch that the budget refused finds room now, or the oldest good revision
    /// goes: until half of the budget is free, and if that was not enough, until
    /// only what is in use is left.
    pub(super) fn collected(&mut self, collection: Collection) {
        let enough = if self.garbage.refusals > 1 { 0 } else { collection.budget / 2 };
        let is_short = collection.was_refused && collection.bytes > enough;
        if !(is_short && self.give_up_oldest()) {
            self.garbage.fetches = None;
            return;
        }
        self.garbage.given_up = Some(self.journal.recorded());
        self.collect_given_up();
    }

    /// Throws away what was given up, once that is on disk.
    pub(super) fn collect_given_up(&mut self) {
        if self.garbage.given_up.take_if(|ticket| self.journal.is_written(*ticket)).is_some() {
            self.collect(true);
        }
    }

    /// The app with the most good revisions gives up its oldest one.
    fn give_up_oldest(&mut self) -> bool {
        let records = self.apps.values().map(|managed| &managed.app.record);
        let richest =
            records.filter(|record| record.can_give_up()).max_by_key(|record| record.kept.len());
        let Some(name) = richest.map(|record| record.spec.name.clone()) else { return false };
        tracing::warn!(app = %name, "The store has no room for its oldest good revision: it cannot be rolled back to any more.");
        self.take(&name, AppEvent::Kept(KeptEvent::GaveUpOldest), Batch::default());
        true
    }
}
