//! Brings revisions into the store, at its own pace: a link that stalls for
//! minutes never keeps the loop from healing.

use std::{sync::Arc, time::Duration};

use leeward_core::{
    cycle::next_poll,
    model::{FetchFailure, Fetched},
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{edge::Fetch, store::Store};

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
            let known = self.store.source().ok().flatten().map(|source| source.commit);
            let have = known.filter(|_| !ask.distrust);
            let result = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                // Cancel safe: every object that arrived is in the store.
                result = self.fetch.fetch(have) => result,
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
}
