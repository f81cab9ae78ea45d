//! The nouns: what every other room speaks about. No decisions live here.

mod app;
mod backoff;
mod chain;
mod chance;
mod cluster;
mod id;
mod link;
mod managed;
mod object;
mod quantity;
mod retry_after;
mod run;
mod time;
mod variable_source;
mod variables;

pub use app::{APPS_FILE, AppSpec, Heal, IgnoreRule, PruneGuard, RETRY_INTERVAL};
pub use backoff::Backoff;
pub use chain::chain;
pub use chance::Chance;
pub use cluster::{Applied, ClusterFault, InventoryEntry, KindVersion, Seen, Sighting};
pub use id::{Digest, Reach, Revision};
pub use leeward_wire::{
    AgentStatus, AppName, AppStatus, BadRevision, Blocker, CandidateRevision, ContentId,
    DriftStatus, FieldChange, GitId, GoodRevision, HealthName, HeldStatus, LinkState, LinkStatus,
    LinkStep, ObjectFault, OutboxStatus, ParseIdError, PhaseName, PinnedStatus, SourceStatus,
    StatusDocument, StoreStatus,
};
pub use link::{FetchFailure, Fetched, FetchedFolder};
pub use managed::{owned_digest, was_handed_over};
pub use object::{
    APP_LABEL, FIELD_MANAGER, HANDOVER_MANAGER, Kind, MASK, Manifest, ObjectKey, Origin,
    REVISION_ANNOTATION, Scope, annotation, canonical_json,
};
pub use quantity::{format_size, parse_duration, parse_size};
pub use retry_after::{RETRY_AFTER_MAX, RETRY_AFTER_MIN, retry_after};
pub use run::{Run, Trace};
pub use time::Uptime;
pub use variable_source::{SecretVariables, VariableKind, VariableSource};
pub use variables::{BadName, VALUE_BYTES_MAX, VARIABLES_MAX, Variables, is_variable_name};
