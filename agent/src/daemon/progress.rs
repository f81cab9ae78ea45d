//! How far the agent has come, as its loop says it in every round.

use leeward_core::model::Uptime;

/// The newest sign of life of the loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// When the loop last came round; the start of the process before its first round.
    pub at: Uptime,
    pub stage: Stage,
}

/// How far the agent has come since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// The store is being opened, and repaired if need be.
    #[default]
    OpensStore,
    /// The loop is in its first round; no status is published yet.
    FirstRound,
    /// A different node holds the lease and acts.
    Follows,
    /// A status is published.
    Runs,
}

impl Stage {
    /// Why there is no status yet; `None` when there can be one.
    pub(super) fn waits_for(self) -> Option<&'static str> {
        match self {
            Self::OpensStore => Some("the store is not open yet"),
            Self::FirstRound => {
                Some("no status has been published yet: the first round is under way")
            }
            Self::Follows => Some("a different node acts; this one waits for the lease"),
            Self::Runs => None,
        }
    }
}
