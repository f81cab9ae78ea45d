//! The documents of `leeward status` and `leeward why`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    id::{AppName, ContentId, GitId},
    link::{LinkState, LinkStep},
    object::ObjectFault,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusDocument {
    pub cluster: String,
    pub agent: AgentStatus,
    pub source: SourceStatus,
    pub link: LinkStatus,
    pub apps: Vec<AppStatus>,
    pub outbox: OutboxStatus,
    pub store: StoreStatus,
    /// Most important first; the document of `leeward why`.
    #[serde(default)]
    pub why: Vec<Blocker>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentStatus {
    pub version: String,
    pub running: bool,
    pub boot: u64,
    pub uptime_seconds: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    pub url: String,
    #[serde(rename = "ref")]
    pub reference: String,
    pub path: String,
    pub commit: Option<GitId>,
    pub content: Option<ContentId>,
    pub fetched_at: Option<Timestamp>,
    /// A newer commit is in the store; what it is for each app is being found out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub examining: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkStatus {
    pub state: LinkState,
    pub failed_step: Option<LinkStep>,
    pub since: Timestamp,
    pub evidence: String,
    pub next_try: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseName {
    Waiting,
    Preflight,
    Held,
    Applying,
    Probation,
    Good,
    RollingBack,
    Failed,
    Paused,
}

impl PhaseName {
    pub const ALL: [Self; 9] = [
        Self::Waiting,
        Self::Preflight,
        Self::Held,
        Self::Applying,
        Self::Probation,
        Self::Good,
        Self::RollingBack,
        Self::Failed,
        Self::Paused,
    ];

    /// Returns the word that stands in the documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Preflight => "preflight",
            Self::Held => "held",
            Self::Applying => "applying",
            Self::Probation => "probation",
            Self::Good => "good",
            Self::RollingBack => "rolling_back",
            Self::Failed => "failed",
            Self::Paused => "paused",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthName {
    Healthy,
    Progressing,
    Degraded,
    Suspended,
    #[default]
    Unknown,
}

impl HealthName {
    /// Whether it is as somebody wants it: what was suspended on purpose is no trouble.
    pub fn is_well(self) -> bool {
        matches!(self, Self::Healthy | Self::Suspended)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppStatus {
    pub name: AppName,
    pub phase: PhaseName,
    pub good: Option<GoodRevision>,
    pub candidate: Option<CandidateRevision>,
    pub bad: Vec<BadRevision>,
    pub held: Option<HeldStatus>,
    pub health: HealthName,
    pub objects: usize,
    pub message: String,
    pub drift: DriftStatus,
    /// Objects that the cluster does not let be what the wanted revision says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stuck: Vec<ObjectFault>,
    /// A person rolled the app back, and it stays there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<PinnedStatus>,
}

/// The revision that a person rolled an app back to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PinnedStatus {
    pub commit: GitId,
    pub content: ContentId,
    pub since: Timestamp,
    /// When it ends by itself; else it is released by a person, or by Git changing the app.
    pub until: Option<Timestamp>,
    /// The commit that Git wants meanwhile.
    pub wanted: Option<GitId>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoodRevision {
    pub commit: GitId,
    pub content: ContentId,
    pub since: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CandidateRevision {
    pub commit: GitId,
    pub content: ContentId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BadRevision {
    pub commit: GitId,
    pub content: ContentId,
    pub reason: String,
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldStatus {
    /// `dependency`, `approval`, `prune_guard`, …
    pub reason: String,
    pub detail: String,
    pub until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftStatus {
    pub healed: u64,
    pub open: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OutboxStatus {
    pub pending: u64,
    pub folded: u64,
    pub dropped: u64,
    /// Events that the receiver refused for good, set aside one by one.
    #[serde(default)]
    pub refused: u64,
    /// Id, type and status of the newest refused events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_events: Vec<String>,
    pub last_acknowledged: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    pub bytes: u64,
    pub max_bytes: u64,
}

/// One thing that keeps the cluster from following Git.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Blocker {
    /// `link`, `prune_guard`, `bad_revision`, `api_server`, …
    pub blocker: String,
    pub app: Option<AppName>,
    pub evidence: String,
    pub hint: String,
    pub next_try: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_phases_are_the_words_that_serde_writes() {
        for phase in PhaseName::ALL {
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.name());
        }
    }

    #[test]
    fn a_document_is_read_and_written_to_the_same_bytes() {
        let sample = include_str!("samples/status.json").trim_end();
        let document: StatusDocument = serde_json::from_str(sample).unwrap();
        assert_eq!(serde_json::to_string(&document).unwrap(), sample);
    }

    #[test]
    fn a_document_of_an_agent_that_knew_no_refused_events_is_read() {
        let mut old: serde_json::Value =
            serde_json::from_str(include_str!("samples/status.json")).unwrap();
        old["outbox"].as_object_mut().unwrap().remove("refused");
        old["outbox"].as_object_mut().unwrap().remove("refused_events");
        old.as_object_mut().unwrap().remove("why");
        let document: StatusDocument = serde_json::from_value(old).unwrap();
        assert_eq!((document.outbox.refused, document.why), (0, Vec::new()));
    }
}
