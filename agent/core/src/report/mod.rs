//! Reports to the people far away, and what goes first when there is no room.

mod delivery;
mod fold;
mod shrink;
mod wire;

use jiff::Timestamp;
pub use leeward_wire::{EventData, EventKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use delivery::{Delivery, Portion, Refusal, Verdict, accepts_zstd, verdict};
pub use fold::{Fold, Relief, Weighed, gap_event, relieve, sameness};
pub use shrink::shrink;
pub use wire::{event_id, to_cloud_event};

use crate::model::AppName;

/// Something that happened, before it is given a place in the outbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub kind: EventKind,
    /// The app; `None` for the agent itself.
    pub subject: Option<AppName>,
    /// As `kind` has it, see [`EventData`]. JSON, since it may have been cut or folded,
    /// and since an outbox may hold what an older agent wrote.
    pub data: Value,
}

impl Event {
    /// `subject` is the app; `None` for the agent itself.
    pub fn new(subject: Option<&AppName>, data: &EventData) -> Self {
        Self { kind: data.kind(), subject: subject.cloned(), data: data.to_json() }
    }
}

/// When it happened, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stamp {
    /// Counts the agent's starts.
    pub boot: u64,
    pub uptime_ms: u64,
    pub wall: Timestamp,
    /// True when `wall` was at or above the newest time ever seen.
    pub clock_trusted: bool,
}

/// One entry of the outbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Ascending for ever in one cluster, across boots; gaps only where events went.
    pub sequence: u64,
    pub stamp: Stamp,
    pub event: Event,
    /// How many events this one stands for; 1 until others are folded into it.
    pub count: u64,
    /// When the first of them happened; `None` until others are folded into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
}
