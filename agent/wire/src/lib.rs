//! The documents that Leeward exchanges with others, as Rust types that serde
//! reads and writes: no I/O, no decisions, no Kubernetes and no Git.
//!
//! Begin with one of these:
//!
//! - [`StatusDocument`]: the answer of `leeward status --output json`, which is
//!   also the data of the report `dev.leeward.state.v1`.
//! - [`CloudEvent`]: one report, as a receiver gets it; [`CloudEvent::content`]
//!   returns its data as [`EventData`].
//! - [`control::Request`] and [`control::Response`]: one line each over the
//!   control socket.
//!
//! Adding a field is free; renaming or removing one breaks receivers and
//! scripts. So every field that is added later needs `#[serde(default)]`:
//! records of older agents lie in outboxes for months.

pub mod control;
mod event;
mod history;
mod id;
mod link;
mod object;
mod report;
mod status;

pub use event::{
    AgentStarted, AppApplied, AppHeld, AppJudged, AppMoved, AppPinned, AppPruned, AppReleased,
    AppRolledBack, AppStuck, Drift, EventData, EventKind, LastRun, LinkChanged, ReportGap,
    RevisionFetched,
};
pub use history::{RevisionRecord, RevisionVerdict};
pub use id::{AppName, ContentId, GitId, ParseIdError};
pub use link::{LinkState, LinkStep};
pub use object::{FieldChange, ObjectFault};
pub use report::{BATCH_BYTES_MAX, BATCH_CONTENT_TYPE, CloudEvent, ContentError};
pub use status::{
    AgentStatus, AppStatus, BadRevision, Blocker, CandidateRevision, DriftStatus, GoodRevision,
    HealthName, HeldStatus, LinkStatus, OutboxStatus, PhaseName, PinnedStatus, SourceStatus,
    StatusDocument, StoreStatus,
};
