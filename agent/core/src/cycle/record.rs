//! What is durable about an app, a revision and the source.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::pin::Pin;
use crate::{
    gate::Hold,
    model::{AppName, AppSpec, ContentId, Digest, GitId, ObjectFault, ObjectKey, Revision},
};

/// How many bad revisions an app remembers: as many as `status` shows.
pub const MAX_BAD: usize = 10;

/// All that survives a restart about one app. It grows; every new field has a
/// default, so that old records stay readable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppRecord {
    pub spec: AppSpec,
    #[serde(default)]
    pub phase: Phase,
    /// The newest revision that stayed healthy through probation.
    #[serde(default)]
    pub good: Option<GoodRecord>,
    /// What the source offers now, whatever came of it.
    #[serde(default)]
    pub newest: Option<Revision>,
    /// Newest last, at most [`MAX_BAD`].
    #[serde(default)]
    pub bad: Vec<BadRecord>,
    /// What the cluster was last told to be. Written before the first object is
    /// sent, so it is never behind the cluster.
    #[serde(default)]
    pub at: Option<Revision>,
    /// The content whose prune plan a person let through.
    #[serde(default)]
    pub approved: Option<ContentId>,
    /// Which deletions that person was shown; another set asks again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_set: Option<Digest>,
    #[serde(default)]
    pub pause: Option<Pause>,
    /// The app is no longer in Git: its objects go, once a person agrees.
    #[serde(default)]
    pub removed: bool,
    /// Drifted objects that were put right, ever.
    #[serde(default)]
    pub healed: u64,
    /// Objects that Git declares and that were never ours, because an annotation
    /// in the cluster asks to leave them alone; each with its version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_alone: Vec<(ObjectKey, String)>,
    /// Objects that the cluster does not let be what the wanted revision says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stuck: Vec<Stuck>,
    /// The bad content that was tried again by itself, and how often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<(ContentId, u32)>,
    /// Good revisions to roll back to, the present one among them; oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<GoodRecord>,
    /// The revision that a person rolled the app back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
}

/// An object that could not be made what a revision says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    pub key: ObjectKey,
    /// In one line.
    pub reason: String,
    /// The revision does not have it: its deletion does not end.
    #[serde(default)]
    pub goes: bool,
}

impl Stuck {
    /// An object that went over to another app.
    pub fn owned_by(owner: &AppName, key: ObjectKey) -> Self {
        Self { key, reason: format!("app {owner} owns it now"), goes: false }
    }

    /// The fault that status, reports and history show.
    pub fn fault(&self) -> ObjectFault {
        ObjectFault::of_object(&self.key, self.reason.clone())
    }
}

impl AppRecord {
    pub fn new(spec: AppSpec) -> Self {
        Self {
            spec,
            phase: Phase::Waiting,
            good: None,
            newest: None,
            bad: Vec::new(),
            at: None,
            approved: None,
            approved_set: None,
            pause: None,
            removed: false,
            healed: 0,
            left_alone: Vec::new(),
            stuck: Vec::new(),
            retried: None,
            kept: Vec::new(),
            pin: None,
        }
    }

    /// Whether this content failed before and has not changed since.
    pub fn is_bad(&self, content: &ContentId) -> bool {
        self.bad.iter().any(|bad| bad.revision.content == *content)
    }

    /// The revision that the cluster should be at now, if any has been chosen.
    pub fn wanted(&self) -> Option<&Revision> {
        let good = self.good.as_ref().map(|good| &good.revision);
        match &self.phase {
            Phase::Applying { target } | Phase::Probation { target } => Some(target),
            Phase::Good | Phase::RollingBack { .. } => good,
            // What runs is looked after while a candidate waits; what is known
            // to be bad is not.
            Phase::Waiting | Phase::Preflight { .. } | Phase::Held { .. } => {
                self.at.as_ref().filter(|at| !self.is_bad(&at.content)).or(good)
            }
            Phase::Failed { .. } => None,
        }
    }

    /// The revision on its way in, if there is one.
    pub fn candidate(&self) -> Option<&Revision> {
        match &self.phase {
            Phase::Preflight { target }
            | Phase::Held { target, .. }
            | Phase::Applying { target }
            | Phase::Probation { target } => Some(target),
            Phase::Waiting | Phase::Good | Phase::RollingBack { .. } | Phase::Failed { .. } => None,
        }
    }
}

/// Where an app is in the life of a revision. Deadlines are not here: they run
/// on uptime and start anew with the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Phase {
    /// Nothing was fetched yet.
    #[default]
    Waiting,
    /// Render, then a server-side dry-run of everything that changed.
    Preflight {
        target: Revision,
    },
    /// Verified, and not to be applied yet.
    Held {
        target: Revision,
        hold: Hold,
    },
    Applying {
        target: Revision,
    },
    /// Applied; must become healthy and stay so.
    Probation {
        target: Revision,
    },
    Good,
    /// The last good revision is being applied again.
    RollingBack {
        bad: Revision,
    },
    /// It failed, and there is nothing good to go back to.
    Failed {
        bad: Revision,
    },
}

impl Phase {
    /// The name of the phase, as `status` and records have it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Preflight { .. } => "preflight",
            Self::Held { .. } => "held",
            Self::Applying { .. } => "applying",
            Self::Probation { .. } => "probation",
            Self::Good => "good",
            Self::RollingBack { .. } => "rolling_back",
            Self::Failed { .. } => "failed",
        }
    }

    /// Whether there is the same to do as in another phase. A newer commit of the
    /// same content changes nothing, and must not have anything begun anew.
    pub fn has_same_work(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Waiting, Self::Waiting) | (Self::Good, Self::Good) => true,
            (Self::Preflight { target: one }, Self::Preflight { target: two })
            | (Self::Applying { target: one }, Self::Applying { target: two })
            | (Self::Probation { target: one }, Self::Probation { target: two })
            | (Self::RollingBack { bad: one }, Self::RollingBack { bad: two })
            | (Self::Failed { bad: one }, Self::Failed { bad: two }) => one.content == two.content,
            (Self::Held { target: one, hold: why }, Self::Held { target: two, hold: reason }) => {
                one.content == two.content && why == reason
            }
            _ => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoodRecord {
    /// Its commit moves on when a newer commit has the same content.
    pub revision: Revision,
    pub since: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BadRecord {
    pub revision: Revision,
    pub reason: String,
    pub faults: Vec<ObjectFault>,
    pub at: Timestamp,
}

/// A person asked to leave an app alone for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pause {
    pub until: Timestamp,
    /// What was asked for: with a clock that went back, a pause never lasts longer.
    pub length: Duration,
    pub reason: String,
}

/// The newest revision of the source that is whole in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceRecord {
    pub commit: GitId,
    /// The tree of the source's path.
    pub tree: GitId,
    pub reference: String,
    pub fetched_at: Timestamp,
    /// Bytes that crossed the link for the newest commits, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub costs: Vec<(GitId, u64)>,
    /// Folders elsewhere in the repository that the path refers to; `None`: it has no such folder.
    #[serde(default)]
    pub others: BTreeMap<String, Option<GitId>>,
    /// Those of them that exceed a budget, and which.
    #[serde(default)]
    pub left_out: BTreeMap<String, String>,
    /// What is wrong with the path as a whole (`leeward.yaml`); the apps stay as they were.
    #[serde(default)]
    pub faults: Vec<ObjectFault>,
}
