//! The data of each report.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    id::{ContentId, GitId},
    link::{LinkState, LinkStep},
    object::{FieldChange, ObjectFault},
    status::StatusDocument,
};

/// The type of a report. The store spells it as serde does here, the receiver
/// gets [`EventKind::type_name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    AgentStarted,
    RevisionFetched,
    AppApplied,
    AppGood,
    AppFailed,
    AppRolledBack,
    AppHeld,
    AppPinned,
    AppReleased,
    AppPruned,
    AppMoved,
    AppStuck,
    DriftHealed,
    DriftSeen,
    LinkChanged,
    ReportGap,
    State,
}

impl EventKind {
    pub const ALL: [Self; 17] = [
        Self::AgentStarted,
        Self::RevisionFetched,
        Self::AppApplied,
        Self::AppGood,
        Self::AppFailed,
        Self::AppRolledBack,
        Self::AppHeld,
        Self::AppPinned,
        Self::AppReleased,
        Self::AppPruned,
        Self::AppMoved,
        Self::AppStuck,
        Self::DriftHealed,
        Self::DriftSeen,
        Self::LinkChanged,
        Self::ReportGap,
        Self::State,
    ];

    /// Returns the CloudEvents attribute `type`.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::AgentStarted => "dev.leeward.agent.started.v1",
            Self::RevisionFetched => "dev.leeward.revision.fetched.v1",
            Self::AppApplied => "dev.leeward.app.applied.v1",
            Self::AppGood => "dev.leeward.app.good.v1",
            Self::AppFailed => "dev.leeward.app.failed.v1",
            Self::AppRolledBack => "dev.leeward.app.rolledback.v1",
            Self::AppHeld => "dev.leeward.app.held.v1",
            Self::AppPinned => "dev.leeward.app.pinned.v1",
            Self::AppReleased => "dev.leeward.app.released.v1",
            Self::AppPruned => "dev.leeward.app.pruned.v1",
            Self::AppMoved => "dev.leeward.app.moved.v1",
            Self::AppStuck => "dev.leeward.app.stuck.v1",
            Self::DriftHealed => "dev.leeward.drift.healed.v1",
            Self::DriftSeen => "dev.leeward.drift.seen.v1",
            Self::LinkChanged => "dev.leeward.link.changed.v1",
            Self::ReportGap => "dev.leeward.report.gap.v1",
            Self::State => "dev.leeward.state.v1",
        }
    }

    /// Reads the CloudEvents attribute `type`; `None` for one of a newer agent.
    pub fn from_type_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_name() == name)
    }
}

/// The data of a report, by its type.
///
/// A long one may have been cut on its way (`"truncated": true`) so that it no
/// longer reads; whoever receives reports then has the JSON itself.
#[derive(Clone, Debug, PartialEq)]
pub enum EventData {
    AgentStarted(AgentStarted),
    RevisionFetched(RevisionFetched),
    AppApplied(AppApplied),
    AppGood(AppJudged),
    AppFailed(AppJudged),
    AppRolledBack(AppRolledBack),
    AppHeld(AppHeld),
    AppPinned(AppPinned),
    AppReleased(AppReleased),
    AppPruned(AppPruned),
    AppMoved(AppMoved),
    AppStuck(AppStuck),
    DriftHealed(Drift),
    DriftSeen(Drift),
    LinkChanged(LinkChanged),
    ReportGap(ReportGap),
    State(Box<StatusDocument>),
}

impl EventData {
    pub fn kind(&self) -> EventKind {
        match self {
            Self::AgentStarted(_) => EventKind::AgentStarted,
            Self::RevisionFetched(_) => EventKind::RevisionFetched,
            Self::AppApplied(_) => EventKind::AppApplied,
            Self::AppGood(_) => EventKind::AppGood,
            Self::AppFailed(_) => EventKind::AppFailed,
            Self::AppRolledBack(_) => EventKind::AppRolledBack,
            Self::AppHeld(_) => EventKind::AppHeld,
            Self::AppPinned(_) => EventKind::AppPinned,
            Self::AppReleased(_) => EventKind::AppReleased,
            Self::AppPruned(_) => EventKind::AppPruned,
            Self::AppMoved(_) => EventKind::AppMoved,
            Self::AppStuck(_) => EventKind::AppStuck,
            Self::DriftHealed(_) => EventKind::DriftHealed,
            Self::DriftSeen(_) => EventKind::DriftSeen,
            Self::LinkChanged(_) => EventKind::LinkChanged,
            Self::ReportGap(_) => EventKind::ReportGap,
            Self::State(_) => EventKind::State,
        }
    }

    /// Returns the JSON of the data alone: its type stands beside it.
    pub fn to_json(&self) -> Value {
        let written = match self {
            Self::AgentStarted(data) => serde_json::to_value(data),
            Self::RevisionFetched(data) => serde_json::to_value(data),
            Self::AppApplied(data) => serde_json::to_value(data),
            Self::AppGood(data) | Self::AppFailed(data) => serde_json::to_value(data),
            Self::AppRolledBack(data) => serde_json::to_value(data),
            Self::AppHeld(data) => serde_json::to_value(data),
            Self::AppPinned(data) => serde_json::to_value(data),
            Self::AppReleased(data) => serde_json::to_value(data),
            Self::AppPruned(data) => serde_json::to_value(data),
            Self::AppMoved(data) => serde_json::to_value(data),
            Self::AppStuck(data) => serde_json::to_value(data),
            Self::DriftHealed(data) | Self::DriftSeen(data) => serde_json::to_value(data),
            Self::LinkChanged(data) => serde_json::to_value(data),
            Self::ReportGap(data) => serde_json::to_value(data),
            Self::State(data) => serde_json::to_value(data),
        };
        // Plain structs with text keys: serde_json refuses none of them.
        written.unwrap_or_default()
    }

    /// Reads the data of a report of type `kind`. Unknown fields are ignored:
    /// a newer agent may send more.
    pub fn read(kind: EventKind, data: &Value) -> Result<Self, serde_json::Error> {
        Ok(match kind {
            EventKind::AgentStarted => Self::AgentStarted(Deserialize::deserialize(data)?),
            EventKind::RevisionFetched => Self::RevisionFetched(Deserialize::deserialize(data)?),
            EventKind::AppApplied => Self::AppApplied(Deserialize::deserialize(data)?),
            EventKind::AppGood => Self::AppGood(Deserialize::deserialize(data)?),
            EventKind::AppFailed => Self::AppFailed(Deserialize::deserialize(data)?),
            EventKind::AppRolledBack => Self::AppRolledBack(Deserialize::deserialize(data)?),
            EventKind::AppHeld => Self::AppHeld(Deserialize::deserialize(data)?),
            EventKind::AppPinned => Self::AppPinned(Deserialize::deserialize(data)?),
            EventKind::AppReleased => Self::AppReleased(Deserialize::deserialize(data)?),
            EventKind::AppPruned => Self::AppPruned(Deserialize::deserialize(data)?),
            EventKind::AppMoved => Self::AppMoved(Deserialize::deserialize(data)?),
            EventKind::AppStuck => Self::AppStuck(Deserialize::deserialize(data)?),
            EventKind::DriftHealed => Self::DriftHealed(Deserialize::deserialize(data)?),
            EventKind::DriftSeen => Self::DriftSeen(Deserialize::deserialize(data)?),
            EventKind::LinkChanged => Self::LinkChanged(Deserialize::deserialize(data)?),
            EventKind::ReportGap => Self::ReportGap(Deserialize::deserialize(data)?),
            EventKind::State => Self::State(Deserialize::deserialize(data)?),
        })
    }
}

/// How the run before this one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastRun {
    /// There was none.
    First,
    /// The agent was stopped, and recorded that it stopped.
    Clean,
    /// Power cut, kill, crash, or a store that was lost.
    Unclean,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentStarted {
    pub version: String,
    pub last_run_ended: LastRun,
    /// Why the store was set aside and rebuilt at this start, when it was.
    #[serde(default)]
    pub recovered: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionFetched {
    pub commit: GitId,
    pub content: ContentId,
    /// Bytes that crossed the link for it, HTTP headers included.
    pub sent: u64,
    pub received: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppApplied {
    pub commit: GitId,
    pub content: ContentId,
    /// Number of objects, as are the three below.
    pub created: u64,
    pub changed: u64,
    pub pruned: u64,
    pub unchanged: u64,
}

/// A revision became good, or failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppJudged {
    pub commit: GitId,
    pub content: ContentId,
    pub reason: String,
    /// Objects at fault; none when the revision is good.
    #[serde(default)]
    pub objects: Vec<ObjectFault>,
}

/// The last good revision runs again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRolledBack {
    #[serde(flatten)]
    pub applied: AppApplied,
    /// The commit that was left.
    pub from: GitId,
    /// Why it was left.
    pub reason: String,
    /// Always empty: the report of the failure names the objects at fault.
    #[serde(default)]
    pub objects: Vec<ObjectFault>,
}

/// Objects that the revision does not declare any more are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppPruned {
    pub commit: GitId,
    pub content: ContentId,
    pub pruned: u64,
    /// The first of them.
    #[serde(default)]
    pub objects: Vec<ObjectFault>,
}

/// Objects of another app belong to this one from now on; nothing was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppMoved {
    /// The app that had them.
    pub from: String,
    pub count: u64,
    /// The first of them.
    #[serde(default)]
    pub objects: Vec<ObjectFault>,
}

/// The cluster does not let objects be what Git wants, or lets them at last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppStuck {
    /// How many there are now; 0 when it is over.
    pub stuck: u64,
    /// One line for people.
    pub detail: String,
    /// The first of them.
    #[serde(default)]
    pub objects: Vec<ObjectFault>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppHeld {
    pub commit: GitId,
    pub content: ContentId,
    /// `dependency`, `prune_guard`, …
    pub reason: String,
    /// One line for people.
    pub detail: String,
    /// Always empty; `detail` names what matters.
    #[serde(default)]
    pub objects: Vec<ObjectFault>,
}

/// A person rolled the app back to an earlier good revision, where it stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppPinned {
    pub commit: GitId,
    pub content: ContentId,
    /// The commit that was left.
    pub from: Option<GitId>,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// One line for people.
    pub reason: String,
}

/// The app follows Git again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppReleased {
    /// What it had been rolled back to, as the content.
    pub commit: GitId,
    pub content: ContentId,
    /// What ended it.
    pub reason: String,
}

/// An owned object differs from what was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// `Deployment.apps shop/web`.
    pub object: String,
    pub fields: Vec<FieldChange>,
    /// How often it happened: more than 1 where repeats were folded into this report.
    #[serde(default = "once")]
    pub count: u64,
}

fn once() -> u64 {
    1
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkChanged {
    pub state: LinkState,
    #[serde(default)]
    pub failed_step: Option<LinkStep>,
    /// One line that names host, ref, path or status.
    pub evidence: String,
}

/// Reports are missing here, because the outbox was full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportGap {
    /// Sequence of the first and of the last report that is missing.
    pub first: u64,
    pub last: u64,
    /// Reports that are missing, each with all that were folded into it.
    pub count: u64,
    pub why: String,
}

#[cfg(test)]
mod tests;
