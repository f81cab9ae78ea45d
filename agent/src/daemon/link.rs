//! The link: a thread for the poller and the reporter. Their name lookups hang
//! and their commits wait for the disk, which must not stop the loop.

use std::{collections::BTreeMap, sync::Arc};

use leeward_core::model::{FetchFailure, Fetched, FetchedFolder, GitId};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{RunError, thread::Thread};
use crate::{
    chance,
    clock::Clock,
    config::SourceConfig,
    edge::Fetch,
    reconcile::{Ask, Elsewhere, PollOutcome, Poller},
    report::Reporter,
    source::GitSource,
    store::{Batch, Store},
};

/// Name lookups at once. One that hangs keeps its thread for up to 30 s.
const LOOKUPS_MAX: usize = 16;

/// What the link is made of, inside its thread.
pub(super) struct Link {
    pub(super) source: SourceConfig,
    pub(super) store: Arc<Store>,
    pub(super) clock: Clock,
    pub(super) outcomes: mpsc::Sender<PollOutcome>,
    pub(super) asked: watch::Receiver<Ask>,
    pub(super) reporter: Option<Reporter>,
    /// Changes whenever something was put into the outbox.
    pub(super) reported: watch::Receiver<u64>,
    pub(super) shutdown: CancellationToken,
}

impl Link {
    /// The thread ends at `shutdown`, or names the task that ended by itself.
    pub(super) fn start(self) -> Result<Thread, RunError> {
        let known = self.store.link(&self.source.url).map_err(RunError::Boot)?;
        Thread::start("link", LOOKUPS_MAX, move || self.run(known)).map_err(RunError::Runtime)
    }

    /// `known` is what was learnt of the remote before.
    async fn run(self, known: Option<Vec<u8>>) -> &'static str {
        let Self { source, store, clock, outcomes, asked, reporter, reported, shutdown } = self;
        let poller = Poller {
            fetch: RememberingSource {
                url: source.url.clone(),
                store: Arc::clone(&store),
                source: GitSource::new(source.clone(), Arc::clone(&store), known.as_deref()),
            },
            store,
            boundary: source.boundary(BTreeMap::new()),
            elsewhere: Elsewhere::default(),
            interval: source.interval,
            outcomes,
            asked,
            shutdown: shutdown.clone(),
        };
        let report = {
            let shutdown = shutdown.clone();
            async move {
                match reporter {
                    Some(reporter) => reporter.run(reported, shutdown, move || clock.wall()).await,
                    None => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            biased;
            // What is dropped loses nothing: objects that arrived are kept, and a
            // batch without an answer is sent again.
            () = shutdown.cancelled() => "link",
            () = poller.run(chance::draw) => "poll",
            () = report => "report",
        }
    }
}

/// Git, remembering in the store what it learned about the server.
struct RememberingSource {
    source: GitSource<Arc<Store>>,
    store: Arc<Store>,
    url: String,
}

impl RememberingSource {
    fn remember(&mut self) {
        if let Some(memory) = self.source.take_changed_memory() {
            let link = vec![(self.url.clone(), memory)];
            if let Err(error) = self.store.commit(Batch { link, ..Batch::default() }) {
                tracing::warn!(%error, "Cannot remember what the remote can do.");
            }
        }
    }
}

impl Fetch for RememberingSource {
    async fn fetch(&mut self, have: Option<GitId>) -> Result<Fetched, FetchFailure> {
        let result = self.source.fetch(have).await;
        self.remember();
        result
    }

    async fn fetch_folder(
        &mut self,
        commit: GitId,
        have: Option<GitId>,
        folder: &str,
        most: u64,
    ) -> Result<FetchedFolder, FetchFailure> {
        let result = self.source.fetch_folder(commit, have, folder, most).await;
        self.remember();
        result
    }
}
