//! The history of an app: one record a revision.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{AppName, ContentId, GitId};

/// The end of a revision, or where it was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevisionVerdict {
    Good,
    Bad,
    Held,
    RolledBack,
    Superseded,
}

impl RevisionVerdict {
    /// Returns the word that stands in the documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Held => "held",
            Self::RolledBack => "rolled_back",
            Self::Superseded => "superseded",
        }
    }
}

/// One line of an app's history. The store keeps it in the same form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RevisionRecord {
    pub app: AppName,
    pub commit: GitId,
    /// The tree of the app's folder in `commit`.
    pub tree: GitId,
    pub content: ContentId,
    pub verdict: RevisionVerdict,
    pub reason: String,
    pub at: Timestamp,
    /// Bytes that crossed the link, there and back, until the commit was whole in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Who wrote the commit, while its object is in the store. Never stored, as is the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The first line of the commit's message, while its object is in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}
