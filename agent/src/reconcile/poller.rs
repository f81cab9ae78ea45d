//! Brings revisions into the store, at its own pace: a link that stalls for
//! minutes never keeps the loop from healing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use leeward_core::{
    apps::{AppDefaults, apps},
    cycle::{SourceRecord, next_poll},
    model::{AppSpec, FetchFailure, Fetched, GitId, LinkStep},
    render::{Boundary, Files as _, Outside, TreeFiles, outside, path::join, subtree},
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{edge::Fetch, store::Store};

/// Folders elsewhere that one source refers to; each costs a few round trips.
const MAX_OTHER_FOLDERS: usize = 64;
/// Bytes that may cross the link for all of them, tries of one commit together:
/// as much as one build may read.
const MAX_OTHER_BYTES: u64 = 64 << 20;
/// Files in all of them: as many as one build may read.
const MAX_OTHER_FILES: usize = 20_000;
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

/// What folders elsewhere in the repository have cost, of one commit.
#[derive(Debug, Default)]
pub struct Elsewhere {
    commit: Option<GitId>,
    received: u64,
    files: usize,
    /// The commit and tree for which this life of the agent has looked at all.
    whole: Option<(GitId, GitId)>,
}

/// Polls the source for ever.
#[derive(Debug)]
pub struct Poller<F> {
    pub fetch: F,
    pub store: Arc<Store>,
    /// How far kustomizations may reach.
    pub boundary: Boundary,
    pub elsewhere: Elsewhere,
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
        let seen = (fetched.commit, fetched.tree);
        if let Some(known) = known
            && (known.commit, known.tree) == seen
        {
            fetched.others = known.others;
            fetched.left_out = known.left_out;
            // Looked at once in each life of the agent: what is allowed may have changed.
            if self.elsewhere.whole == Some(seen) {
                return Ok(fetched);
            }
        }
        if self.elsewhere.commit != Some(fetched.commit) {
            self.elsewhere = Elsewhere { commit: Some(fetched.commit), ..Elsewhere::default() };
        }
        let trees = fetched.others.values().flatten();
        self.elsewhere.files = trees.filter_map(|tree| self.files_of(*tree).ok()).sum();
        while let Some(folder) = self.referred_to(&fetched) {
            self.add(&mut fetched, have, folder).await?;
        }
        self.elsewhere.whole = Some(seen);
        Ok(fetched)
    }

    /// Fetches one folder elsewhere, or leaves it out if that exceeds a budget.
    async fn add(
        &mut self,
        fetched: &mut Fetched,
        have: Option<GitId>,
        folder: String,
    ) -> Result<(), FetchFailure> {
        if fetched.others.len() >= MAX_OTHER_FOLDERS {
            let why = format!("the path refers to more than {MAX_OTHER_FOLDERS} other folders");
            leave_out(fetched, folder, why);
            return Ok(());
        }
        let most = MAX_OTHER_BYTES.saturating_sub(self.elsewhere.received);
        let answer = self.fetch.fetch_folder(fetched.commit, have, &folder, most).await;
        let other = match answer {
            Ok(other) => other,
            // The folder itself is at fault, which is its app's trouble only.
            Err(failure) if failure.step == LinkStep::Path => {
                fetched.sent += failure.sent;
                fetched.received += failure.received;
                self.elsewhere.received += failure.received;
                let why = match failure.hint {
                    Some(hint) => format!("{} ({hint})", failure.evidence),
                    None => failure.evidence,
                };
                leave_out(fetched, folder, why);
                return Ok(());
            }
            Err(failure) => {
                self.elsewhere.received += failure.received;
                return Err(FetchFailure {
                    progressed: true,
                    sent: failure.sent + fetched.sent,
                    received: failure.received + fetched.received,
                    ..failure
                });
            }
        };
        fetched.sent += other.sent;
        fetched.received += other.received;
        self.elsewhere.received += other.received;
        if let Some(tree) = other.tree {
            match self.files_of(tree) {
                Ok(files) if self.elsewhere.files + files <= MAX_OTHER_FILES => {
                    self.elsewhere.files += files;
                }
                Ok(_) => {
                    let why =
                        format!("with it the other folders have more than {MAX_OTHER_FILES} files");
                    leave_out(fetched, folder, why);
                    return Ok(());
                }
                Err(why) => {
                    leave_out(fetched, folder, why);
                    return Ok(());
                }
            }
        }
        fetched.others.insert(folder, other.tree);
        Ok(())
    }

    /// Its files are counted, also as a bound on depth and entries.
    fn files_of(&self, tree: GitId) -> Result<usize, String> {
        let files = TreeFiles::new(&*self.store, tree);
        files.list().map(|files| files.len()).map_err(|error| error.to_string())
    }

    /// The first folder that an app refers to and that is not known of yet.
    fn referred_to(&self, fetched: &Fetched) -> Option<String> {
        let files = TreeFiles::new(&*self.store, fetched.tree);
        // What is wrong with the apps is for the loop to tell.
        let apps = apps(&files, APP, &AppDefaults::default()).ok()?;
        let boundary = Boundary { left_out: fetched.left_out.clone(), ..self.boundary.clone() };
        apps.iter().find_map(|app| {
            let tree = subtree(&*self.store, fetched.tree, &app.path).ok()??;
            let (_, outside) = seen_from(&self.store, &boundary, app, tree, &fetched.others);
            outside.missed.into_iter().find(|folder| !fetched.others.contains_key(folder))
        })
    }
}

fn leave_out(fetched: &mut Fetched, folder: String, why: String) {
    tracing::warn!(folder, why, "A folder that the path refers to is left out.");
    fetched.left_out.insert(folder, why);
}

/// What an app sees of the repository: its own place, and what it looks for outside.
pub(super) fn seen_from(
    store: &Store,
    boundary: &Boundary,
    app: &AppSpec,
    tree: GitId,
    others: &BTreeMap<String, Option<GitId>>,
) -> (String, Outside) {
    let at = join(boundary.path.trim_matches('/'), app.path.trim_matches('/'));
    let there = others.iter().filter_map(|(folder, tree)| Some((folder.clone(), (*tree)?)));
    let there: BTreeMap<String, GitId> = there.collect();
    let files = TreeFiles::new(store, tree).within(&at, there.clone(), boundary.clone());
    let whole: Vec<&str> = there.keys().map(String::as_str).collect();
    let outside = outside(&files, &whole);
    (at, outside)
}
