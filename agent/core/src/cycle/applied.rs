//! What follows when all of a revision is in the cluster, on the way there and back.

use leeward_wire::{AppApplied, AppRolledBack, RevisionVerdict};

use super::{
    app::{App, Now},
    record::{Phase, Stuck},
    step::{ApplyCounts, Effect, MAX_FAULTS, enter, history, report},
};
use crate::{
    model::{ObjectFault, Revision},
    report::EventData,
};

fn applied(revision: &Revision, counts: ApplyCounts) -> AppApplied {
    AppApplied {
        commit: revision.commit,
        content: revision.content.clone(),
        created: counts.created,
        changed: counts.changed,
        pruned: counts.pruned,
        unchanged: counts.unchanged,
    }
}

pub(super) fn apply_done(
    app: &mut App,
    counts: ApplyCounts,
    stuck: Vec<Stuck>,
    now: &Now,
    effects: &mut Vec<Effect>,
) {
    let Phase::Applying { target } = app.record.phase.clone() else { return };
    app.record.stuck = stuck;
    effects.push(report(app, &EventData::AppApplied(applied(&target, counts))));
    enter(app, Phase::Probation { target }, now);
}

/// Ends the way back. What could not go back is named, and the last good
/// revision counts as running: its drift is healed, and what is stuck is tried
/// again from time to time.
pub(super) fn went_back(
    app: &mut App,
    counts: ApplyCounts,
    stuck: Vec<Stuck>,
    now: &Now,
    effects: &mut Vec<Effect>,
) {
    let Phase::RollingBack { bad } = app.record.phase.clone() else { return };
    let Some(good) = app.record.good.clone() else { return };
    let known = app.record.bad.iter().find(|record| record.revision.content == bad.content);
    let reason = known.map_or_else(|| "superseded".to_owned(), |record| record.reason.clone());
    let faults: Vec<ObjectFault> = stuck.iter().map(Stuck::fault).take(MAX_FAULTS).collect();
    let data = EventData::AppRolledBack(AppRolledBack {
        applied: applied(&good.revision, counts),
        from: bad.commit,
        reason: reason.clone(),
        objects: faults,
    });
    effects.push(report(app, &data));
    let told = match stuck.as_slice() {
        [] => reason,
        [first, ..] => {
            format!("{reason}; {} could not go back: {}", stuck.len(), first.fault())
        }
    };
    effects.push(history(app, &good.revision, RevisionVerdict::RolledBack, &told, now));
    app.record.stuck = stuck;
    app.record.at = Some(good.revision.clone());
    enter(app, Phase::Good, now);
    if let Some(newest) = app.record.newest.clone().filter(|_| app.record.pin.is_none())
        && newest.content != good.revision.content
        && !app.record.is_bad(&newest.content)
    {
        enter(app, Phase::Preflight { target: newest }, now);
    }
}
