//! Drains the outbox to the receiver, whenever there is a way to it.
//!
//! Owned by the daemon, as a future beside the loop. What an answer means, how
//! long to wait and how many events go at once is decided in
//! [`leeward_core::report`]. Must never lose an event: one leaves the outbox
//! when the receiver has it, or when the receiver refused it alone.

mod receiver;
mod request;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use leeward_core::{
    model::{Backoff, Chance, chain},
    report::{Delivery, Portion, Refusal, Verdict, verdict},
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    config::ReportConfig,
    store::{Store, StoreError},
};
use receiver::{Answer, Receiver};
use request::Request;

/// How the reporter takes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacing {
    pub backoff: Backoff,
    /// From the first event to the request that carries it: what happens together travels together.
    pub gather: Duration,
    /// Between two states while events flow.
    pub state_interval: Duration,
    /// A fleet whose link returns at one moment comes back spread over this time.
    pub link_return_spread: Duration,
    /// One request, answer included: 256 KiB at 2 KB/s. What takes longer is tried in smaller parts.
    pub request_timeout: Duration,
    /// How long a connection is kept once everything was delivered.
    pub keep_connection: Duration,
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            backoff: Backoff { min: Duration::from_secs(1), max: Duration::from_mins(5) },
            gather: Duration::from_millis(500),
            state_interval: Duration::from_secs(10),
            link_return_spread: Duration::from_secs(5),
            request_timeout: Duration::from_mins(2),
            keep_connection: Duration::from_mins(1),
        }
    }
}

/// Sends what is in the outbox of one store to one receiver.
#[derive(Debug)]
pub struct Reporter {
    store: Arc<Store>,
    cluster: String,
    receiver: Receiver,
    pacing: Pacing,
    portion: Portion,
    failures: u32,
    /// Earlier than this no state is sent.
    next_state: Instant,
    /// The newest return of the link that was acted on.
    link_up_seen: u64,
    chance: Chance,
    delivery: watch::Sender<Delivery>,
}

/// The next move of the reporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// There may be more to send.
    Now,
    /// Nothing to send until something happens.
    Idle,
    /// Nothing but a state that is not due yet.
    At(Instant),
    /// It failed. `firm`: the receiver itself named the time.
    Retry { at: Instant, firm: bool },
}

impl Reporter {
    /// `seed` is any random number; it spreads the retries of a fleet.
    pub fn new(store: Arc<Store>, cluster: &str, config: &ReportConfig, seed: u64) -> Self {
        let pacing = Pacing::default();
        Self {
            store,
            cluster: cluster.to_owned(),
            receiver: Receiver::new(config, pacing.request_timeout),
            pacing,
            portion: Portion::default(),
            failures: 0,
            next_state: Instant::now(),
            link_up_seen: 0,
            chance: Chance::new(seed),
            delivery: watch::Sender::default(),
        }
    }

    /// Replaces the usual pacing.
    #[must_use]
    pub fn with_pacing(mut self, pacing: Pacing) -> Self {
        self.receiver.set_timeout(pacing.request_timeout);
        self.pacing = pacing;
        self
    }

    /// How delivery goes from now on.
    pub fn delivery(&self) -> watch::Receiver<Delivery> {
        self.delivery.subscribe()
    }

    /// Runs until `shutdown`. `wake` changes whenever something was put into
    /// the outbox; `clock` gives the wall time, for the record only.
    pub async fn run(
        mut self,
        mut wake: watch::Receiver<u64>,
        shutdown: CancellationToken,
        clock: impl Fn() -> Timestamp,
    ) {
        loop {
            let next = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                // Dropped in the middle, the batch is sent again: the receiver drops repeats.
                next = self.step(&clock) => next,
            };
            tracing::trace!(?next, "Took a step towards the receiver.");
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                // Cancel safe: it only waits.
                () = self.wait(next, &mut wake) => {}
            }
        }
    }

    async fn wait(&mut self, next: Next, wake: &mut watch::Receiver<u64>) {
        match next {
            Next::Now => {}
            Next::Idle => {
                let woken = tokio::time::timeout(self.pacing.keep_connection, changed(wake)).await;
                if woken.is_err() {
                    // An open connection and the roots of trust are the larger part of what we hold.
                    self.receiver.disconnect();
                    changed(wake).await;
                }
                tokio::time::sleep(self.pacing.gather).await;
            }
            Next::At(at) => {
                if tokio::time::timeout_at(at, changed(wake)).await.is_ok() {
                    tokio::time::sleep(self.pacing.gather).await;
                }
            }
            Next::Retry { at, firm } => self.wait_to_retry(at, firm, wake).await,
        }
    }

    /// Waits until `at`; shorter when meanwhile the link is seen to be up again.
    async fn wait_to_retry(
        &mut self,
        mut at: Instant,
        firm: bool,
        wake: &mut watch::Receiver<u64>,
    ) {
        while tokio::time::timeout_at(at, changed(wake)).await.is_ok() {
            let up = self.store.link_up_sequence();
            if up > self.link_up_seen && !firm {
                self.link_up_seen = up;
                let spread = self.pacing.link_return_spread.mul_f64(self.chance.draw());
                at = at.min(Instant::now() + spread);
            }
        }
    }

    /// Sends one request, if there is anything to send, and records what came of it.
    async fn step(&mut self, clock: &impl Fn() -> Timestamp) -> Next {
        let (request, waiting) = match self.next_request() {
            Ok((Some(request), waiting)) => (request, waiting),
            Ok((None, _)) => return self.nothing_to_send(),
            Err(error) => return self.failed(&error, None, clock),
        };
        self.link_up_seen = self.store.link_up_sequence();
        match self.receiver.post(&request.body).await {
            Ok(answer) => self.answered(&request, &waiting, &answer, clock),
            Err(error) => {
                if error.may_be_too_much() {
                    self.portion.too_much(request.sequences.len());
                }
                self.failed(&error, None, clock)
            }
        }
    }

    /// The newest state first, when it is due, then events in order; and the
    /// sequences of all that wait.
    fn next_request(&self) -> Result<(Option<Request>, Vec<u64>), StoreError> {
        let mut entries = Vec::new();
        if Instant::now() >= self.next_state {
            entries.extend(self.store.outbox_state()?);
        }
        entries.extend(self.store.outbox_head(leeward_wire::BATCH_BYTES_MAX as u64)?);
        let sequences: Vec<u64> = entries.iter().map(|entry| entry.sequence).collect();
        let portion = self.portion.take(&sequences);
        Ok((Request::of(&entries[portion], &self.cluster), sequences))
    }

    fn nothing_to_send(&self) -> Next {
        match self.store.outbox_state() {
            Ok(Some(_)) => Next::At(self.next_state),
            _ => Next::Idle,
        }
    }

    fn answered(
        &mut self,
        request: &Request,
        waiting: &[u64],
        answer: &Answer,
        clock: &impl Fn() -> Timestamp,
    ) -> Next {
        let sent = &request.sequences;
        let refusal = match verdict(answer.status, answer.retry_after) {
            Verdict::Later { after } => {
                return self.failed(&self.receiver.refusal(answer), after, clock);
            }
            Verdict::Acknowledged => {
                if request.has_state {
                    self.next_state = Instant::now() + self.pacing.state_interval;
                }
                if let Err(error) = self.store.acknowledge(sent, clock()) {
                    // The store cannot forget what was delivered; sending it over and over would not help.
                    return self.failed(&error, None, clock);
                }
                self.portion.accepted(sent);
                Refusal::Search
            }
            Verdict::TooLarge if sent.len() > 1 => {
                self.portion.too_much(sent.len());
                Refusal::Search
            }
            // One event that is too large alone can only be set aside as well.
            Verdict::TooLarge | Verdict::Refused => self.portion.refused(sent),
            Verdict::Doubted => self.portion.doubted(sent, waiting),
        };
        let result = match refusal {
            Refusal::Search => Ok(()),
            Refusal::Culprit(culprit) => self.set_aside(culprit, answer),
            Refusal::Everything => {
                return self.failed(&self.receiver.refusal(answer), None, clock);
            }
        };
        match result {
            Ok(()) => {
                self.failures = 0;
                self.delivery
                    .send_if_modified(|delivery| std::mem::take(delivery) != Delivery::default());
                Next::Now
            }
            Err(error) => self.failed(&error, None, clock),
        }
    }

    fn set_aside(&self, sequence: u64, answer: &Answer) -> Result<(), StoreError> {
        let reason = answer.to_string();
        tracing::error!(sequence, %reason, "The receiver refused an event; set it aside.");
        self.store.set_event_aside(sequence, &reason)
    }

    fn failed(
        &mut self,
        error: &impl std::error::Error,
        after: Option<Duration>,
        clock: &impl Fn() -> Timestamp,
    ) -> Next {
        self.failures = self.failures.saturating_add(1);
        let jitter = self.chance.draw();
        let delay = match after {
            // A little later than asked, so that a fleet does not return in one moment.
            Some(after) => after + (after / 10).mul_f64(jitter),
            None => self.pacing.backoff.delay(self.failures, jitter),
        };
        let evidence = chain(error);
        if self.failures == 1 {
            tracing::warn!(error = %evidence, "Cannot deliver reports; will retry.");
        } else {
            tracing::debug!(error = %evidence, failures = self.failures, "Still cannot deliver reports.");
        }
        let next_try = clock().checked_add(delay).ok();
        self.delivery.send_replace(Delivery { failures: self.failures, evidence, next_try });
        Next::Retry { at: Instant::now() + delay, firm: after.is_some() }
    }
}

/// Waits for a change; for ever when nobody can make one any more.
async fn changed(wake: &mut watch::Receiver<u64>) {
    if wake.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
