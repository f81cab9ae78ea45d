//! Errands: bounded pieces of work on one app that meet the outside.
//!
//! An errand is given all that it needs as plain data, decides nothing about
//! its app, records nothing, and comes back to the loop with what it found. One
//! that is dropped half way leaves what a power cut leaves.

mod along;
pub(super) mod claims;
pub(super) mod confirm;
pub(super) mod delete;
pub(super) mod difference;
pub(super) mod free;
pub(super) mod look;
pub(super) mod preflight;
pub(super) mod prepare;
pub(super) mod send;
pub(super) mod survey;
pub(super) mod take;
pub(super) mod verdicts;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use leeward_core::{
    cycle::Drifted,
    model::{AppName, ClusterFault, ContentId, ObjectKey},
    plan::{desired::Desired, order::StageName},
};

use self::{
    claims::Stand,
    delete::Deletion,
    look::{LookFor, Looked},
    preflight::Preflighted,
    prepare::Undesired,
    send::Sent,
    survey::Surveyed,
    verdicts::Verdicts,
};
use super::garbage::Collection;

/// An errand that is back.
#[derive(Debug)]
pub(super) enum Back {
    /// Of one app, in the epoch in which it was sent.
    App {
        app: AppName,
        epoch: u64,
        outcome: Box<Outcome>,
    },
    Surveyed(Box<Surveyed>),
    /// Which cluster this is.
    Identified(String),
    /// Objects that a list lacked, and of which nobody says that they are there.
    Missed(BTreeSet<ObjectKey>),
    /// What the store needs no more was thrown away.
    Collected(Collection),
    /// A question was answered: nothing is left to do.
    Done,
}

/// What an errand for an app found out.
#[derive(Debug)]
pub(super) enum Outcome {
    Prepared {
        content: ContentId,
        result: Result<Arc<Desired>, Undesired>,
    },
    Preflighted(Box<Preflighted>),
    /// The owners of what a candidate declares were asked whether they leave it.
    Asked {
        done: Box<Preflighted>,
        stands: Vec<Stand>,
    },
    Looked {
        what: LookFor,
        keys: Vec<ObjectKey>,
        result: Result<Looked, ClusterFault>,
    },
    Proved {
        keys: Vec<ObjectKey>,
        verdicts: Verdicts,
    },
    Sent {
        stage: StageName,
        sent: Sent,
    },
    /// Drifted objects were sent again.
    Healed {
        drifted: Vec<Drifted>,
        sent: Sent,
    },
    Deleted(Vec<(ObjectKey, Deletion)>),
    Confirmed(Vec<confirm::Judged>),
    /// Objects that were never ours, and that may be written from now on.
    Free(Vec<(ObjectKey, String)>),
}
