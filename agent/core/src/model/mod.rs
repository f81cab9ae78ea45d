//! The nouns: what every other room speaks about. No decisions live here.

mod app;
mod cluster;
mod id;
mod link;
mod object;
mod outcome;
mod status;
mod time;

pub use app::{AppName, AppSpec, Heal, IgnoreRule, PruneGuard};
pub use cluster::{Applied, ClusterFault, InventoryEntry, KindVersion, Seen, Sighting};
pub use id::{ContentId, Digest, GitId, ParseIdError, Revision};
pub use link::{FetchFailure, Fetched, LinkState, LinkStep};
pub use object::{
    APP_LABEL, FIELD_MANAGER, HANDOVER_MANAGER, Kind, Manifest, ObjectKey, Origin,
    REVISION_ANNOTATION, Scope, annotation, canonical_json,
};
pub use outcome::{FieldChange, ObjectFault};
pub use status::{
    AgentStatus, AppStatus, BadRevision, Blocker, CandidateRevision, DriftStatus, GoodRevision,
    HealthName, HeldStatus, LinkStatus, OutboxStatus, PhaseName, SourceStatus, StatusDocument,
    StoreStatus,
};
pub use time::Uptime;
