//! Brings revisions into the store, at its own pace: a link that stalls for
//! minutes never keeps the loop from healing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use leeward_core::{
    cycle::{SourceRecord, next_poll},
    model::{AppSpec, FetchFailure, Fetched, GitId},
    render::{AppDefaults, Outside, TreeFiles, apps, outside, subtree},
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{edge::Fetch, store::Store};

/// Folders elsewhere that one source refers to; each costs a few round trips.
const MAX_OTHER_FOLDERS: usize = 64;
/// What the app is called where its name does not matter.
const APP: &str = "app";

/// What the poller was asked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// How often it was asked to poll now.
    pub count: u64,
    /// What the store says of its newest commit is not to be believed.
    pub distrust: bool,
}

/// What one poll came to, and when the next one is.
#[derive(Debug)]
pub struct PollOutcome {
    pub result: Result<Fetched, FetchFailure>,
    pub next_in: Duration,
    /// Dropped once the loop has taken it in. Until then nothing is fetched:
    /// the loop may be throwing away what no app needs any more.
    pub taken_in: oneshot::Sender<()>,
}

/// Polls the source for ever.
#[derive(Debug)]
pub struct Poller<F> {
    pub fetch: F,
    pub store: Arc<Store>,
    /// Of the source, from the root of the repository.
    pub path: String,
    pub interval: Duration,
    pub outcomes: mpsc::Sender<PollOutcome>,
    pub asked: watch::Receiver<Ask>,
    pub shutdown: CancellationToken,
}

impl<F: Fetch> Poller<F> {
    /// `jitter` draws from 0.0 to 1.0.
    pub async fn run(mut self, mut jitter: impl FnMut() -> f64) {
        let mut failures = 0;
        loop {
            // What was asked before this poll starts is answered by it.
            let ask = *self.asked.borrow_and_update();
            let known = self.store.source().ok().flatten().filter(|_| !ask.distrust);
            let shutdown = self.shutdown.clone();
            let result = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                // Cancel safe: every object that arrived is in the store.
                result = self.whole(known) => result,
            };
            let plan = next_poll(self.interval, failures, result.as_ref().map(|_| ()), jitter());
            failures = plan.failures;
            let (taken_in, done) = oneshot::channel();
            let outcome = PollOutcome { result, next_in: plan.delay, taken_in };
            if self.outcomes.send(outcome).await.is_err() {
                return;
            }
            // It is never sent, only dropped.
            drop(done.await);
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                // Cancel safe: a change that is not consumed is seen by the next `changed`.
                asked = self.asked.changed() => if asked.is_err() { return },
                () = tokio::time::sleep(plan.delay) => {}
            }
        }
    }

    /// Fetches the path, and what it refers to elsewhere in the repository.
    async fn whole(&mut self, known: Option<SourceRecord>) -> Result<Fetched, FetchFailure> {
        let have = known.as_ref().map(|known| known.commit);
        let mut fetched = self.fetch.fetch(have).await?;
        if let Some(known) = known
            && (known.commit, known.tree) == (fetched.commit, fetched.tree)
        {
            fetched.others = known.others;
            return Ok(fetched);
        }
        while let Some(folder) = self.referred_to(&fetched) {
            if fetched.others.len() == MAX_OTHER_FOLDERS {
                tracing::warn!(
                    folder,
                    "The path refers to too many folders; this one is left out."
                );
                break;
            }
            let other = self.fetch.fetch_folder(fetched.commit, have, &folder).await;
            let other = other.map_err(|failure| FetchFailure {
                progressed: true,
                sent: failure.sent + fetched.sent,
                received: failure.received + fetched.received,
                ..failure
            })?;
            fetched.sent += other.sent;
            fetched.received += other.received;
            fetched.others.insert(folder, other.tree);
        }
        Ok(fetched)
    }

    /// The first folder that an app refers to and that is not known of yet.
    fn referred_to(&self, fetched: &Fetched) -> Option<String> {
        let files = TreeFiles::new(&*self.store, fetched.tree);
        // What is wrong with the apps is for the loop to tell.
        let apps = apps(&files, APP, &AppDefaults::default()).ok()?;
        apps.iter().find_map(|app| {
            let tree = subtree(&*self.store, fetched.tree, &app.path).ok()??;
            let (_, outside) = seen_from(&self.store, &self.path, app, tree, &fetched.others);
            outside.missed.into_iter().find(|folder| !fetched.others.contains_key(folder))
        })
    }
}

/// What an app sees of the repository: its own place, and what it looks for outside.
pub(super) fn seen_from(
    store: &Store,
    source_path: &str,
    app: &AppSpec,
    tree: GitId,
    others: &BTreeMap<String, Option<GitId>>,
) -> (String, Outside) {
    let parts = [source_path.trim_matches('/'), app.path.trim_matches('/')];
    let at = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    let there = others.iter().filter_map(|(folder, tree)| Some((folder.clone(), (*tree)?)));
    let there: BTreeMap<String, GitId> = there.collect();
    let files = TreeFiles::new(store, tree).within(&at, there.clone());
    let whole: Vec<&str> = there.keys().map(String::as_str).collect();
    let outside = outside(&files, &whole);
    (at, outside)
}
