//! What one process knows of an app beyond its record: deadlines, health, retries.

use std::time::Duration;

use jiff::Timestamp;

use super::{record::AppRecord, retries};
use crate::{
    gate::HoldReason,
    model::{ContentId, Digest, HealthName, ObjectFault, Uptime},
};

/// Both faces of time, read once by the loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Now {
    pub uptime: Uptime,
    /// For people only.
    pub wall: Timestamp,
    /// From 0.0 to 1.0, drawn anew each time: a fleet that lost its server in
    /// one second must not come back in one second.
    pub jitter: f64,
}

/// An app in a running process.
#[derive(Clone, Debug, PartialEq)]
pub struct App {
    pub record: AppRecord,
    /// When the present phase began, as far as this process knows.
    pub entered: Uptime,
    /// When the present phase, or the present wave of it, must be over.
    pub deadline: Option<Uptime>,
    /// Since when it has been healthy without a break, in probation.
    pub healthy_since: Option<Uptime>,
    /// Tries in a row that failed for no fault of Git's.
    pub failures: u32,
    /// Before this nothing is tried again.
    pub not_before: Option<Uptime>,
    /// Why the last try failed for no fault of Git's; empty when it did not.
    pub obstacle: String,
    pub pause_until: Option<Uptime>,
    /// When a held candidate is tried again by itself.
    pub release_at: Option<Uptime>,
    /// Times in a row that the candidate was held for the same kind of reason.
    pub holds: u32,
    /// The hold that was reported last: its next try is no news.
    pub told: Option<(ContentId, HoldReason, Option<Digest>)>,
    /// Since when all that is not well waits for something outside of Git, in probation.
    pub stands_still: Option<Uptime>,
    /// In probation: objects go once the revision has proven itself. After a start that
    /// has to be found out.
    pub leaving: bool,
    /// When the newest revision, which is bad, is tried again by itself.
    pub retry_at: Option<Uptime>,
    /// When the pin ends by itself.
    pub pin_until: Option<Uptime>,
    pub health: AppHealth,
}

impl App {
    /// Takes up a record after a start. Deadlines begin anew; a pause goes on
    /// for what the wall clock says is left, but never longer than was asked.
    pub fn resume(record: AppRecord, now: &Now) -> Self {
        let pause_until = record.pause.as_ref().map(|pause| {
            let left = pause.until.duration_since(now.wall);
            let left = Duration::try_from(left).unwrap_or_default().min(pause.length);
            now.uptime + left
        });
        let pin_until = record.pin.as_ref().and_then(|pin| pin.left(now));
        let deadline = Some(now.uptime + record.spec.timeout);
        let retry_at = retries::next(&record, now.uptime);
        Self {
            record,
            entered: now.uptime,
            deadline,
            healthy_since: None,
            failures: 0,
            not_before: None,
            obstacle: String::new(),
            pause_until,
            release_at: None,
            holds: 0,
            told: None,
            stands_still: None,
            leaving: true,
            retry_at,
            pin_until,
            health: AppHealth::default(),
        }
    }

    /// Whether the time has come to delete what the revision does not declare any more.
    pub fn may_prune(&self, now: Uptime) -> bool {
        let soak = self.record.spec.soak;
        let is_proven = self.healthy_since.is_some_and(|since| since + soak <= now);
        let is_on_probation = matches!(self.record.phase, super::record::Phase::Probation { .. });
        is_on_probation && self.leaving && (is_proven || self.health.is_crowded)
    }

    pub fn is_paused(&self, now: Uptime) -> bool {
        self.pause_until.is_some_and(|until| now < until)
    }
}

/// The health of an app as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AppHealth {
    pub name: HealthName,
    /// Something failed in a way that waiting does not mend.
    pub failed: bool,
    /// All that is not healthy waits for something outside of Git: an image on its
    /// way over the link, a registry, a node.
    pub waits_outside: bool,
    /// No node has room for some of it.
    pub is_crowded: bool,
    /// The objects that are not healthy, worst first.
    pub faults: Vec<ObjectFault>,
}
