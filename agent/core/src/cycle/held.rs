//! A candidate that nothing is wrong with, and that is not to be applied yet.

use std::{collections::BTreeSet, time::Duration};

use leeward_wire::{AppHeld, AppStuck, RevisionVerdict};

use super::{
    app::{App, Now},
    record::{Phase, Stuck},
    step::{Effect, MAX_FAULTS, enter, history, report},
};
use crate::{gate::Hold, model::Backoff, report::EventData};

/// Between two tries of a candidate that waits for something outside of Git. Each
/// try renders it and dry-runs what it changes.
const HELD: Backoff = Backoff { min: Duration::from_secs(5), max: Duration::from_secs(300) };

pub(super) fn held(app: &mut App, hold: Hold, now: &Now, effects: &mut Vec<Effect>) {
    let (target, before) = match app.record.phase.clone() {
        Phase::Preflight { target } => (target, None),
        Phase::Held { target, hold } => (target, Some(hold)),
        _ => return,
    };
    if before.as_ref() == Some(&hold) {
        return;
    }
    let told = Some((target.content.clone(), hold.reason, hold.set));
    if app.told != told && before.is_none_or(|before| before.reason != hold.reason) {
        let data = EventData::AppHeld(AppHeld {
            commit: target.commit,
            content: target.content.clone(),
            reason: hold.reason.name().to_owned(),
            detail: hold.detail.clone(),
            objects: Vec::new(),
        });
        effects.push(report(app, &data));
        effects.push(history(app, &target, RevisionVerdict::Held, &hold.detail, now));
    }
    app.told = told;
    let is_tried_again = hold.reason.is_tried_again();
    enter(app, Phase::Held { target, hold }, now);
    if is_tried_again {
        app.holds = app.holds.saturating_add(1);
        app.release_at = Some(now.uptime + HELD.delay(app.holds, now.jitter));
    }
}

/// Without the objects that go to another app the cluster is at no content of this app any
/// more. Should Git go back to what ran, it is examined as anything new, and asks for them;
/// should the candidate be refused, the way back says that they are missing.
pub(super) fn hands_over(app: &mut App) {
    if !matches!(app.record.phase, Phase::Applying { .. } | Phase::Probation { .. }) {
        app.record.at = None;
    }
}

/// Objects of what runs cannot be put right, or can be at last: whoever reads reports
/// learns which.
pub(super) fn stuck(app: &mut App, stuck: Vec<Stuck>, effects: &mut Vec<Effect>) {
    let keys = |stuck: &[Stuck]| stuck.iter().map(|one| one.key.clone()).collect::<BTreeSet<_>>();
    let is_news = keys(&stuck) != keys(&app.record.stuck);
    app.record.stuck = stuck;
    if is_news {
        let stuck = &app.record.stuck;
        let detail = match stuck.len() {
            0 => "nothing is stuck any more".to_owned(),
            1 => "1 object is not as Git wants it".to_owned(),
            more => format!("{more} objects are not as Git wants them"),
        };
        let objects = stuck.iter().map(Stuck::fault).take(MAX_FAULTS).collect();
        let data = AppStuck { stuck: stuck.len() as u64, detail, objects };
        effects.push(report(app, &EventData::AppStuck(data)));
    }
}

/// Forgets that the newest revision was bad, and tries it again.
pub(super) fn retried(app: &mut App, now: &Now) {
    (app.not_before, app.release_at) = (None, None);
    let Some(newest) = app.record.newest.clone() else { return };
    let bad = app.record.bad.len();
    app.record.bad.retain(|one| one.revision.content != newest.content);
    let was_bad = app.record.bad.len() < bad;
    // A way back ends first, and the newest revision comes after it by itself.
    let is_at_rest = matches!(app.record.phase, Phase::Good | Phase::Failed { .. });
    // While the app is rolled back by hand, the release leads to it.
    if was_bad && is_at_rest && app.record.pin.is_none() {
        enter(app, Phase::Preflight { target: newest }, now);
    }
}
