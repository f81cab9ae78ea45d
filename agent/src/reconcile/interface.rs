//! What the loop is given, and the channels on which it hears and publishes.

use std::{fmt, sync::Arc};

use leeward_core::{
    model::{Seen, StatusDocument, Uptime},
    report::Delivery,
};
use leeward_wire::control::{Request, Response};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::poller::{Ask, PollOutcome};
use crate::{config::Config, metrics::Metrics, offload::Offload};

/// What does not change while the loop runs.
#[derive(Clone, Debug)]
pub struct Settings {
    pub config: Config,
    pub version: String,
    /// What became of the store at start, when it had to be set aside.
    pub recovered: Option<String>,
    /// Requests to the API server under way at once.
    pub in_flight: usize,
}

/// Why the loop starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The process started.
    Boot,
    /// The configuration was read again.
    Reload,
}

/// What the loop hears from, and publishes to.
#[derive(Debug)]
pub struct Channels {
    pub sightings: mpsc::Receiver<Seen>,
    pub polls: mpsc::Receiver<PollOutcome>,
    pub requests: mpsc::Receiver<(Request, oneshot::Sender<Response>)>,
    /// Asks the poller to poll now.
    pub ask_poll: watch::Sender<Ask>,
    /// The newest status, for whoever serves it.
    pub status: watch::Sender<Option<Arc<StatusDocument>>>,
    /// How the reporter fares.
    pub delivery: watch::Receiver<Delivery>,
    pub shutdown: CancellationToken,
}

/// Told when the loop turns, and what it is about.
pub type Beat = Box<dyn FnMut(Uptime, &str)>;

/// What the loop calls without waiting for it.
pub struct Hooks {
    /// Draws from 0.0 to 1.0.
    pub jitter: Box<dyn FnMut() -> f64>,
    /// The loop is alive, and what it is about, in a line.
    pub beat: Beat,
    /// Counts commits that put something into the outbox.
    pub reported: watch::Sender<u64>,
    pub metrics: Arc<Metrics>,
    /// Carries out what blocks.
    pub offload: Offload,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooks")
    }
}
