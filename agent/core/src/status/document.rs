//! The document as a whole.

use super::{AppFacts, Facts, app::app_status, why::why};
use crate::model::{AgentStatus, ContentId, LinkStatus, SourceStatus, StatusDocument};

/// Returns the document of `leeward status`; `why` in it is that of `leeward why`.
pub fn document(facts: &Facts<'_>, apps: &[AppFacts<'_>]) -> StatusDocument {
    StatusDocument {
        cluster: facts.configured.cluster.to_owned(),
        agent: AgentStatus {
            version: facts.version.to_owned(),
            running: facts.running,
            boot: facts.boot,
            uptime_seconds: facts.uptime.0.as_secs(),
        },
        source: SourceStatus {
            url: facts.configured.url.to_owned(),
            reference: facts.configured.reference.to_owned(),
            path: facts.configured.path.to_owned(),
            commit: facts.source.map(|source| source.commit),
            content: facts.source.map(|source| ContentId(source.tree.to_string())),
            fetched_at: facts.source.map(|source| source.fetched_at),
            examining: facts.examining,
        },
        link: LinkStatus {
            state: facts.link.state,
            failed_step: facts.link.failed_step,
            since: facts.link.since,
            evidence: facts.link.evidence.clone(),
            next_try: facts.link.next_try,
        },
        apps: apps.iter().map(|app| app_status(app, facts.uptime)).collect(),
        outbox: facts.outbox.clone(),
        store: facts.store,
        why: why(facts, apps),
    }
}
