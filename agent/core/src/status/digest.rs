//! Decides whether a status is worth a report.

use super::why::REPORT;
use crate::model::{Digest, OutboxStatus, StatusDocument, StoreStatus};

/// Equal for two documents when the second says nothing new to people far away.
///
/// Running clocks, the outbox and the store are left out, and with them the
/// blockers about reports: a report that is sent because the former one was
/// delivered would follow itself for ever, and nobody can be told by a report
/// that no report arrives.
pub fn digest(document: &StatusDocument) -> Digest {
    let mut kept = document.clone();
    kept.agent.uptime_seconds = 0;
    kept.link.next_try = None;
    kept.outbox = OutboxStatus::default();
    kept.store = StoreStatus { bytes: 0, max_bytes: 0 };
    kept.why.retain(|blocker| blocker.blocker != REPORT);
    kept.why.iter_mut().for_each(|blocker| blocker.next_try = None);
    Digest::of(&serde_json::to_vec(&kept).unwrap_or_default())
}
