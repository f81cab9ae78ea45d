//! Which cluster this is. What ran to its end has done so in one cluster: one that was
//! wiped, or set up anew under an agent that keeps its store, lacks what it did there.

use std::{collections::BTreeSet, rc::Rc, time::Duration};

use leeward_core::model::{AppName, InventoryEntry, ObjectKey, Run, Uptime};
use tokio_util::sync::CancellationToken;

use super::{budget::Class, errand::Back, reconciler::Reconciler};
use crate::{edge::Cluster, store::Batch};

/// Between two questions. A cluster does not become another one within moments, and
/// the lists of all kinds come at once.
const ASK_AGAIN: Duration = Duration::from_secs(3);

/// What is known of the cluster's identity.
#[derive(Debug)]
pub(super) struct Identity {
    /// The uid of the cluster that the inventory is about.
    pub(super) known: Option<String>,
    asked: Option<Uptime>,
}

impl Identity {
    /// What the store knows.
    pub(super) fn of(known: Option<String>) -> Self {
        Self { known, asked: None }
    }
}

impl<C: Cluster + 'static> Reconciler<C> {
    /// Asks which cluster this is, if anything depends on it.
    pub(super) fn ask_identity(&mut self) {
        let now = self.clock.uptime();
        let depends = |entry: &InventoryEntry| entry.run.as_ref().is_some_and(Run::is_over);
        let mut entries = self.apps.values().flat_map(|managed| managed.inventory.values());
        let is_recent = self.identity.asked.is_some_and(|asked| now - asked < ASK_AGAIN);
        if is_recent || !entries.any(depends) {
            return;
        }
        self.identity.asked = Some(now);
        let outside = Rc::clone(&self.outside);
        self.send(Box::pin(async move {
            let means = outside.means(Class::Short, CancellationToken::new());
            // The one object that every cluster has, and has from its first moment.
            let key = ObjectKey {
                group: String::new(),
                kind: "Namespace".to_owned(),
                namespace: String::new(),
                name: "kube-system".to_owned(),
            };
            // Without an answer, or the right to ask, it is taken for the same.
            let live = means.get(&key, "v1").await.ok().flatten();
            live.and_then(|live| live["metadata"]["uid"].as_str().map(str::to_owned))
                .map_or(Back::Done, Back::Identified)
        }));
    }

    pub(super) fn identified(&mut self, uid: String) {
        if self.identity.known.as_ref() == Some(&uid) {
            return;
        }
        let is_another = self.identity.known.replace(uid.clone()).is_some();
        self.record(Batch { cluster_id: Some(uid), ..Batch::default() });
        if is_another {
            tracing::info!(
                "This is another cluster; what ran to its end in the last one runs again."
            );
            self.forget_runs(|_| true);
        }
    }

    /// Has everything of a namespace that was deleted run again.
    pub(super) fn forget_runs_in(&mut self, namespace: &str) {
        self.forget_runs(|key| key.namespace == namespace);
    }

    /// Has what ran to its end run again, where it is gone.
    fn forget_runs(&mut self, is_concerned: impl Fn(&ObjectKey) -> bool) {
        let mut batch = Batch::default();
        let mut concerned: BTreeSet<(AppName, ObjectKey)> = BTreeSet::new();
        for (name, managed) in &self.apps {
            let over = managed.inventory.iter().filter(|(key, entry)| {
                is_concerned(key) && entry.run.as_ref().is_some_and(Run::is_over)
            });
            for (key, entry) in over {
                let entry = InventoryEntry { run: Some(Run::Interrupted), ..entry.clone() };
                batch.inventory.push((name.clone(), key.clone(), Some(entry)));
                concerned.insert((name.clone(), key.clone()));
            }
        }
        self.record(batch);
        for (name, key) in concerned {
            // One that is there after all is sent as it is, which changes nothing.
            self.mark_drifted(&name, &key);
            if let Some(managed) = self.apps.get_mut(&name)
                && managed.view.drifted.contains(&key)
            {
                managed.view.gone.insert(key);
            }
        }
    }
}
