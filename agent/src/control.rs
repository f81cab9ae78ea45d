//! What is said over the control socket: one JSON line there, one JSON line
//! back, then the connection ends. The daemon answers, the CLI asks.

use leeward_core::{
    cycle::RevisionRecord,
    model::{AppName, FieldChange, StatusDocument},
};
use serde::{Deserialize, Serialize};

/// The longest line that either side reads, in bytes. A status of 1,000 apps has about 1 MiB.
pub const MAX_LINE: usize = 8 * 1024 * 1024;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    Status,
    /// Newest first; of one app, or of all.
    History {
        app: Option<AppName>,
    },
    /// Poll the remote now, and try again whatever waits for a later try.
    Sync,
    Pause {
        app: Option<AppName>,
        seconds: u64,
        reason: String,
    },
    Resume {
        app: Option<AppName>,
    },
    /// Let the plan that the prune guard holds go ahead, once.
    Approve {
        app: AppName,
    },
    /// What the cluster differs in from the revision that an app should be at.
    Diff {
        app: Option<AppName>,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "snake_case")]
pub enum Response {
    Status { document: Box<StatusDocument> },
    History { revisions: Vec<RevisionRecord> },
    Diff { objects: Vec<ObjectDiff> },
    Done { message: String },
    Refused { message: String, hint: Option<String> },
}

/// One object that differs. Empty `fields` with `missing` or `surplus` set
/// says that the whole object is absent, or would be pruned. Between two
/// revisions, that is what only the second declares, and what only the first does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectDiff {
    pub app: AppName,
    /// As `ObjectKey` prints it.
    pub object: String,
    pub missing: bool,
    pub surplus: bool,
    pub fields: Vec<FieldChange>,
}
