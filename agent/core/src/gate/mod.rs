//! What keeps a candidate from being applied although nothing is wrong with it.
//!
//! One file a gate. Those that can be asked before the candidate was examined
//! are given to [`crate::cycle::next_work`], the most important first; the prune
//! guard needs the plan, so the preflight asks it.

mod dependency;
mod guard;

pub use dependency::{dependency, dependent};
pub use guard::{guard, is_protected, loses_data};

use serde::{Deserialize, Serialize};

use crate::model::{Digest, ObjectKey};

/// Why a revision waits, in the words of `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// An app that this one depends on is not good yet.
    Dependency,
    /// The plan would delete more than the guard lets through.
    PruneGuard,
    /// A kind or a namespace that somebody else has to bring.
    Missing,
    /// The role of the agent does not suffice.
    Permission,
    /// Another app owns an object of the revision.
    Owner,
}

impl HoldReason {
    pub fn name(self) -> &'static str {
        match self {
            Self::Dependency => "dependency",
            Self::PruneGuard => "prune_guard",
            Self::Missing => "missing",
            Self::Permission => "permission",
            Self::Owner => "owner",
        }
    }

    /// Whether only a person can lift it.
    pub fn needs_a_person(self) -> bool {
        match self {
            Self::Dependency | Self::Missing | Self::Permission | Self::Owner => false,
            Self::PruneGuard => true,
        }
    }

    /// Whether only another try tells if it is over.
    pub fn is_tried_again(self) -> bool {
        match self {
            Self::Dependency | Self::PruneGuard => false,
            Self::Missing | Self::Permission | Self::Owner => true,
        }
    }
}

/// A candidate that waits, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub reason: HoldReason,
    /// One line for people.
    pub detail: String,
    /// The set of objects that would be deleted, when that is what a person is
    /// asked about: an approval is for exactly this set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<Digest>,
    /// Of that set, those that take data with them first, at most [`MAX_SHOWN`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<ObjectKey>,
}

/// Objects that a person who approves is shown by name.
pub const MAX_SHOWN: usize = 100;

impl Hold {
    /// A hold that no person has to decide about.
    pub fn of(reason: HoldReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), set: None, objects: Vec::new() }
    }
}
