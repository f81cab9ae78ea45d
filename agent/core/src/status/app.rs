//! The status of one app.

use std::time::Duration;

use super::AppFacts;
use crate::{
    cycle::{App, BadRecord, Hold, Phase, Stuck},
    model::{
        AppStatus, BadRevision, CandidateRevision, DriftStatus, GoodRevision, HeldStatus,
        ObjectFault, PhaseName, PinnedStatus, Uptime,
    },
};

/// Why the clock of a revision stands still: an image on its way, a registry, a node.
const OUTSIDE: &str = "outside";

pub(super) fn app_status(facts: &AppFacts<'_>, now: Uptime) -> AppStatus {
    let app = facts.app;
    let record = &app.record;
    let held = match &record.phase {
        Phase::Held { hold, .. } => Some(held(hold)),
        Phase::Applying { .. } | Phase::Probation { .. } if app.stands_still.is_some() => {
            Some(HeldStatus {
                reason: OUTSIDE.to_owned(),
                detail: app.health.faults.first().map(ToString::to_string).unwrap_or_default(),
                until: None,
            })
        }
        _ => record.pause.as_ref().map(|pause| HeldStatus {
            reason: "pause".to_owned(),
            detail: pause.reason.clone(),
            until: Some(pause.until),
        }),
    };
    AppStatus {
        name: record.spec.name.clone(),
        phase: phase_name(app, now),
        good: record.good.as_ref().map(|good| GoodRevision {
            commit: good.revision.commit,
            content: good.revision.content.clone(),
            since: good.since,
        }),
        candidate: record.candidate().map(|candidate| CandidateRevision {
            commit: candidate.commit,
            content: candidate.content.clone(),
        }),
        bad: record
            .bad
            .iter()
            .rev()
            .map(|bad| BadRevision {
                commit: bad.revision.commit,
                content: bad.revision.content.clone(),
                reason: full_reason(&bad.reason, &bad.faults),
                at: bad.at,
            })
            .collect(),
        held,
        health: app.health.name,
        objects: facts.objects,
        message: message(facts),
        drift: DriftStatus { healed: record.healed, open: facts.open },
        stuck: record.stuck.iter().map(Stuck::fault).collect(),
        pinned: record.pin.as_ref().map(|pin| PinnedStatus {
            commit: pin.revision.commit,
            content: pin.revision.content.clone(),
            since: pin.since,
            until: pin.until,
            wanted: record.newest.as_ref().map(|newest| newest.commit),
        }),
    }
}

fn held(hold: &Hold) -> HeldStatus {
    HeldStatus { reason: hold.reason.name().to_owned(), detail: hold.detail.clone(), until: None }
}

fn phase_name(app: &App, now: Uptime) -> PhaseName {
    if app.is_paused(now) {
        return PhaseName::Paused;
    }
    match &app.record.phase {
        Phase::Waiting => PhaseName::Waiting,
        Phase::Preflight { .. } => PhaseName::Preflight,
        Phase::Held { .. } => PhaseName::Held,
        Phase::Applying { .. } => PhaseName::Applying,
        Phase::Probation { .. } => PhaseName::Probation,
        Phase::Good => PhaseName::Good,
        Phase::RollingBack { .. } => PhaseName::RollingBack,
        Phase::Failed { .. } => PhaseName::Failed,
    }
}

/// Work that is under way for so long is worth a word.
const WORTH_SAYING: Duration = Duration::from_secs(5);

/// Returns the one line that says most about an app; empty when all is well.
fn message(facts: &AppFacts<'_>) -> String {
    let app = facts.app;
    if let Some(wanting) = facts.wanting {
        return wanting.to_owned();
    }
    if !app.obstacle.is_empty() {
        return app.obstacle.clone();
    }
    if !facts.message.is_empty() {
        return facts.message.to_owned();
    }
    if let Some(awaits) = &facts.awaits {
        return awaits.clone();
    }
    if let Phase::Held { hold, .. } = &app.record.phase {
        return hold.detail.clone();
    }
    if let [first, rest @ ..] = app.record.stuck.as_slice() {
        let more =
            if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
        return format!("stuck: {}{more}", first.fault());
    }
    if let Some(bad) = newest_is_bad(app) {
        return full_reason(&bad.reason, &bad.faults);
    }
    if let Some(fault) = app.health.faults.first() {
        return fault.to_string();
    }
    match facts.under_way {
        Some((about, since)) if since >= WORTH_SAYING => {
            format!("{about}; it takes more than {} s", WORTH_SAYING.as_secs())
        }
        _ => String::new(),
    }
}

/// Returns the record of what Git wants now, when that went bad.
pub(super) fn newest_is_bad(app: &App) -> Option<&BadRecord> {
    let newest = app.record.newest.as_ref()?;
    app.record.bad.iter().find(|bad| bad.revision.content == newest.content)
}

fn full_reason(reason: &str, faults: &[ObjectFault]) -> String {
    match faults {
        [] => reason.to_owned(),
        [only] => format!("{reason}: {only}"),
        [first, rest @ ..] => format!("{reason}: {first} (and {} more)", rest.len()),
    }
}
