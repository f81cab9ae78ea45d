//! Reports to the people far away, and what goes first when there is no room.

mod delivery;
mod fold;
mod shrink;
mod wire;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use delivery::{
    Delivery, Portion, RETRY_AFTER_MAX, RETRY_AFTER_MIN, Refusal, Verdict, accepts_zstd,
    retry_after, verdict,
};
pub use fold::{Fold, Relief, Weighed, gap_event, relieve, sameness};
pub use shrink::shrink;
pub use wire::{event_id, state_digest, to_cloud_event};

use crate::model::AppName;

/// The type of an event, as a receiver sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    AgentStarted,
    RevisionFetched,
    AppApplied,
    AppGood,
    AppFailed,
    AppRolledBack,
    AppHeld,
    DriftHealed,
    DriftSeen,
    LinkChanged,
    ReportGap,
    State,
}

impl EventKind {
    /// The CloudEvents `type`.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::AgentStarted => "dev.leeward.agent.started.v1",
            Self::RevisionFetched => "dev.leeward.revision.fetched.v1",
            Self::AppApplied => "dev.leeward.app.applied.v1",
            Self::AppGood => "dev.leeward.app.good.v1",
            Self::AppFailed => "dev.leeward.app.failed.v1",
            Self::AppRolledBack => "dev.leeward.app.rolledback.v1",
            Self::AppHeld => "dev.leeward.app.held.v1",
            Self::DriftHealed => "dev.leeward.drift.healed.v1",
            Self::DriftSeen => "dev.leeward.drift.seen.v1",
            Self::LinkChanged => "dev.leeward.link.changed.v1",
            Self::ReportGap => "dev.leeward.report.gap.v1",
            Self::State => "dev.leeward.state.v1",
        }
    }
}

/// Something that happened, before it is given a place in the outbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub kind: EventKind,
    /// The app; `None` for the agent itself.
    pub subject: Option<AppName>,
    /// The shape is set by `kind` (contract §5).
    pub data: Value,
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
