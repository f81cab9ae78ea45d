//! What is durable about an app, a revision and the source.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{AppName, AppSpec, ContentId, GitId};

/// All that survives a restart about one app. (Grows; every field has a default.)
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppRecord {
    pub spec: AppSpec,
}

/// One line of an app's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RevisionRecord {
    pub app: AppName,
    pub commit: GitId,
    pub tree: GitId,
    pub content: ContentId,
    /// `fetched`, `good`, `bad`, `held`.
    pub verdict: String,
    pub reason: String,
    pub at: Timestamp,
}

/// The newest revision of the source that is whole in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceRecord {
    pub commit: GitId,
    /// The tree of the source's path.
    pub tree: GitId,
    pub reference: String,
    pub fetched_at: Timestamp,
}
