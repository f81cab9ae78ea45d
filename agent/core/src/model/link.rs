//! What a fetch came to.

use std::{collections::BTreeMap, time::Duration};

use super::{GitId, LinkStep};

/// Why a fetch brought nothing, or not everything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{evidence}")]
pub struct FetchFailure {
    pub step: LinkStep,
    /// One line that names the culprit: host, ref, path, status.
    pub evidence: String,
    /// What a person can do about it, when there is something.
    pub hint: Option<String>,
    /// The remote asked to be left alone for so long.
    pub retry_after: Option<Duration>,
    /// At least one object arrived before it failed, so trying again at once is worth it.
    pub progressed: bool,
    /// Bytes that crossed the link in this try.
    pub sent: u64,
    pub received: u64,
}

/// A folder elsewhere in the repository, asked for in addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchedFolder {
    /// All of it is in the store; `None`: the commit has no such folder.
    pub tree: Option<GitId>,
    pub sent: u64,
    pub received: u64,
}

/// A completed poll: every object of the path at `commit` is in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub commit: GitId,
    /// The tree of the source's path in `commit`.
    pub tree: GitId,
    /// The full name of the ref that was followed; empty for a pinned commit.
    pub reference: String,
    /// Folders elsewhere in the repository that the path's kustomizations refer to, and their
    /// trees; `None` for one that the commit does not have. All of it is in the store, too.
    pub others: BTreeMap<String, Option<GitId>>,
    /// Those that were not fetched, or not as a whole, because they exceed a budget; and which.
    pub left_out: BTreeMap<String, String>,
    /// Bytes that crossed the link for it, HTTP headers included, in this try.
    pub sent: u64,
    pub received: u64,
}
