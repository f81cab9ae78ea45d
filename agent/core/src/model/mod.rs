//! The nouns: what every other room speaks about. No decisions live here.

mod app;
mod backoff;
mod cluster;
mod id;
mod link;
mod managed;
mod object;
mod outcome;
mod quantity;
mod status;
mod time;
mod variable_source;
mod variables;

pub use app::{AppName, AppSpec, Heal, IgnoreRule, PruneGuard};
pub use backoff::Backoff;
pub use cluster::{Applied, ClusterFault, InventoryEntry, KindVersion, Seen, Sighting};
pub use id::{ContentId, Digest, GitId, ParseIdError, Reach, Revision};
pub use link::{FetchFailure, Fetched, FetchedFolder, LinkState, LinkStep};
pub use managed::{owned_digest, was_handed_over};
pub use object::{
    APP_LABEL, FIELD_MANAGER, HANDOVER_MANAGER, Kind, Manifest, ObjectKey, Origin,
    REVISION_ANNOTATION, Scope, annotation, canonical_json,
};
pub use outcome::{FieldChange, ObjectFault};
pub use quantity::{format_size, parse_duration, parse_size};
pub use status::{
    AgentStatus, AppStatus, BadRevision, Blocker, CandidateRevision, DriftStatus, GoodRevision,
    HealthName, HeldStatus, LinkStatus, OutboxStatus, PhaseName, SourceStatus, StatusDocument,
    StoreStatus,
};
pub use time::Uptime;
pub use variable_source::{SecretVariables, VariableKind, VariableSource};
pub use variables::{BadName, VALUE_BYTES_MAX, VARIABLES_MAX, Variables, is_variable_name};
