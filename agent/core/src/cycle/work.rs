//! What is to be done for an app now, and when to look again.

use super::{
    app::{App, Now},
    record::Phase,
    step::{AppEvent, due},
};
use crate::{gate::Hold, model::Uptime};

/// The next piece of work of one app. At most one at a time, so that a power
/// cut resumes at the same piece.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one is made and taken apart at a time")]
pub enum Work {
    /// Nothing now; look again at this time, or when something happens.
    Wait(Option<Uptime>),
    /// An event that needs no work to be known.
    Know(AppEvent),
    /// Render the candidate and dry-run what it changes.
    Preflight,
    /// Apply the next stage of the wanted revision.
    Apply,
    /// Delete what the revision on probation does not declare any more.
    Prune,
    /// Put drifted objects right.
    Heal,
}

/// Decides what to do for an app.
///
/// `holds` are what keeps a candidate from being examined now, the most
/// important first; `drifted` says whether any object differs.
pub fn next_work(app: &App, holds: &[Hold], drifted: bool, now: &Now) -> Work {
    if app.pause_until.is_some_and(|until| until <= now.uptime) {
        return Work::Know(AppEvent::Tick);
    }
    if app.is_paused(now.uptime) {
        return Work::Wait(app.pause_until);
    }
    // What no revision says cannot be put right, and stays known until one does.
    let drifted = drifted && app.record.wanted().is_some();
    // What runs is looked after whatever its candidate waits for.
    let is_due = app.release_at.is_none_or(|at| at <= now.uptime);
    if app.not_before.is_some_and(|not_before| now.uptime < not_before) {
        return Work::Wait(due(app, now));
    }
    // What a person rolls back ran with the others once, and another app that is rolled
    // back as well would be waited for without end.
    let first = holds.first().filter(|_| app.record.pin.is_none());
    match &app.record.phase {
        // While a candidate cannot be examined, what runs is still looked after:
        // every second try, so that neither keeps the other from its turn.
        Phase::Preflight { .. } if drifted && app.failures % 2 == 1 => Work::Heal,
        Phase::Preflight { .. } => match first {
            None => Work::Preflight,
            Some(hold) => Work::Know(AppEvent::Held(hold.clone())),
        },
        Phase::Held { hold, .. } if !hold.reason.needs_a_person() => match first {
            None if is_due => Work::Know(AppEvent::Released),
            Some(first) if first != hold => Work::Know(AppEvent::Held(first.clone())),
            _ if drifted => Work::Heal,
            _ => Work::Wait(due(app, now)),
        },
        Phase::Applying { .. } | Phase::RollingBack { .. } => Work::Apply,
        Phase::Probation { .. } if app.may_prune(now.uptime) => Work::Prune,
        // While a plan waits for a person, what runs is still looked after.
        Phase::Good | Phase::Probation { .. } | Phase::Held { .. } if drifted => Work::Heal,
        _ => Work::Wait(due(app, now)),
    }
}
