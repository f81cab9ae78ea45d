//! Moves an app by one event.

use std::time::Duration;

use leeward_wire::{AppJudged, RevisionRecord, RevisionVerdict};

use super::{
    app::{App, AppHealth, Now},
    applied, held, kept,
    pin::{self, KeptEvent},
    record::{BadRecord, MAX_BAD, Pause, Phase, Stuck},
    retries,
};
use crate::{
    gate::{Hold, HoldReason},
    model::{AppSpec, Backoff, HealthName, ObjectFault, ObjectKey, Revision, Uptime},
    report::{Event, EventData},
};

/// After a fault that is nobody's in Git: an API server that restarts is back
/// in seconds, so the longest wait is short; each try costs one request.
const RETRY: Backoff = Backoff { min: Duration::from_millis(250), max: Duration::from_secs(10) };

/// How many objects at fault a report names.
pub(super) const MAX_FAULTS: usize = 20;

/// What happened to an app.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one is made and taken apart at a time")]
pub enum AppEvent {
    /// The source holds this revision of the app, whole, in the store.
    Offered {
        revision: Revision,
        spec: AppSpec,
        removed: bool,
    },
    /// Rendering or the dry-run found fault with the candidate; nothing of it was applied.
    Refused {
        reason: String,
        faults: Vec<ObjectFault>,
    },
    /// The candidate needs a kind or a namespace that is not there (yet).
    Absent {
        reason: String,
        faults: Vec<ObjectFault>,
    },
    /// Preflight passed and nothing holds the candidate.
    Cleared,
    Held(Hold),
    /// What the candidate waited for is there.
    Released,
    /// A person let the held plan through.
    Approved,
    /// A part of the plan is in; the next part has its own time.
    StageApplied,
    /// All of the candidate is in the cluster, but for the deletions that do not end.
    ApplyDone {
        counts: ApplyCounts,
        stuck: Vec<Stuck>,
        /// Objects go once the revision has proven itself.
        leaving: bool,
    },
    /// What the revision does not declare any more is gone, but for these.
    Pruned {
        stuck: Vec<Stuck>,
    },
    /// All of the last good revision is in the cluster again, but for these.
    WentBack {
        counts: ApplyCounts,
        stuck: Vec<Stuck>,
    },
    /// These objects cannot be put right now, or can be at last.
    Stuck(Vec<Stuck>),
    /// Objects that what it is on its way to does not declare go over to another app.
    HandsOver,
    /// The API server refused an object of the revision that is being applied.
    ApplyFailed {
        reason: String,
        faults: Vec<ObjectFault>,
    },
    /// A person wants the newest revision to be tried again.
    Retried,
    /// Something failed for no fault of Git's; the same can succeed later.
    Obstacle {
        message: String,
    },
    /// The way is clear again: what waits for a later try is tried now.
    Nudged,
    Observed(AppHealth),
    /// Objects that had drifted were put right.
    Healed {
        objects: u64,
    },
    /// These objects were never ours, and ask to be left alone for now.
    LeftAlone(Vec<(ObjectKey, String)>),
    Paused {
        length: Duration,
        reason: String,
    },
    Resumed,
    /// About good revisions that can be rolled back to.
    Kept(KeptEvent),
    /// Time went by.
    Tick,
}

/// How many objects an apply created, changed, pruned and left alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplyCounts {
    pub created: u64,
    pub changed: u64,
    pub pruned: u64,
    pub unchanged: u64,
}

/// What a step asks the shell to write down, in the same commit as the app.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Report(Event),
    History(RevisionRecord),
}

/// Advances an app by one event. Reads no clock and starts no work.
///
/// Total: an event that does not fit the phase (a late answer of an earlier
/// one) is normal and changes nothing.
#[expect(clippy::too_many_lines, reason = "one arm an event, read as a table")]
pub fn step(mut app: App, event: AppEvent, now: &Now) -> (App, Vec<Effect>) {
    let mut effects = Vec::new();
    match event {
        AppEvent::Offered { revision, spec, removed } => {
            app.record.spec = spec;
            if app.record.removed && !removed {
                // The newest was that nothing of it is left: nothing to go back to.
                let newest = app.record.newest.as_ref().map(|newest| &newest.content);
                app.record.good.take_if(|good| Some(&good.revision.content) == newest);
            }
            app.record.removed = removed;
            offered(&mut app, revision, now, &mut effects);
        }
        AppEvent::Refused { reason, faults } => {
            if let Phase::Preflight { target } | Phase::Held { target, .. } =
                app.record.phase.clone()
            {
                condemn(&mut app, target, reason, faults, now, &mut effects);
            }
        }
        AppEvent::Absent { reason, faults } => {
            // Another app, or a person, may be about to bring it: it is tried again
            // in short order as long as the app may take to become healthy, and
            // held after that. It is no fault of the revision.
            let overdue = app.holds > 0 || app.entered + app.record.spec.timeout <= now.uptime;
            let detail = join(&reason, &faults);
            match app.record.phase {
                Phase::Preflight { .. } if overdue => {
                    let hold = Hold::of(HoldReason::Missing, detail);
                    held::held(&mut app, hold, now, &mut effects);
                }
                Phase::Preflight { .. } => obstacle(&mut app, detail, now),
                _ => {}
            }
        }
        AppEvent::Cleared => {
            if let Phase::Preflight { target } = app.record.phase.clone() {
                app.record.at = Some(target.clone());
                (app.holds, app.told) = (0, None);
                app.record.stuck.clear();
                enter(&mut app, Phase::Applying { target }, now);
            }
        }
        AppEvent::Held(hold) => held::held(&mut app, hold, now, &mut effects),
        AppEvent::Released => {
            if let Phase::Held { target, .. } = app.record.phase.clone() {
                enter(&mut app, Phase::Preflight { target }, now);
            }
        }
        AppEvent::Approved => {
            if let Phase::Held { target, hold } = app.record.phase.clone()
                && hold.reason == HoldReason::PruneGuard
            {
                app.record.approved = Some(target.content.clone());
                app.record.approved_set = hold.set;
                enter(&mut app, Phase::Preflight { target }, now);
            }
        }
        AppEvent::StageApplied => {
            app.deadline = Some(now.uptime + app.record.spec.timeout);
            clear_obstacle(&mut app);
        }
        AppEvent::ApplyDone { counts, stuck, leaving } => {
            applied::apply_done(&mut app, counts, stuck, now, &mut effects);
            app.leaving = leaving;
        }
        AppEvent::Pruned { stuck } => {
            if matches!(app.record.phase, Phase::Probation { .. }) {
                app.record.stuck = stuck;
                app.leaving = false;
                tick(&mut app, now, &mut effects);
            }
        }
        AppEvent::WentBack { counts, stuck } => {
            applied::went_back(&mut app, counts, stuck, now, &mut effects);
        }
        AppEvent::Stuck(stuck) => held::stuck(&mut app, stuck, &mut effects),
        AppEvent::HandsOver => held::hands_over(&mut app),
        AppEvent::ApplyFailed { reason, faults } => match app.record.phase.clone() {
            Phase::Applying { target } => {
                condemn(&mut app, target, reason, faults, now, &mut effects);
            }
            // What was good once is refused now: it stays wanted, and is tried again.
            Phase::Good
            | Phase::RollingBack { .. }
            | Phase::Preflight { .. }
            | Phase::Held { .. } => {
                obstacle(&mut app, join(&reason, &faults), now);
            }
            _ => {}
        },
        AppEvent::Obstacle { message } => obstacle(&mut app, message, now),
        AppEvent::Nudged => (app.not_before, app.release_at) = (None, None),
        AppEvent::Retried => held::retried(&mut app, now),
        AppEvent::Observed(health) => {
            observed(&mut app, health, now, &mut effects);
            tick(&mut app, now, &mut effects);
        }
        AppEvent::Healed { objects } => {
            app.record.healed = app.record.healed.saturating_add(objects);
            if matches!(app.record.phase, Phase::Preflight { .. }) {
                // What keeps the candidate out is still there, and has the next try.
                app.failures = app.failures.saturating_add(1);
            } else {
                clear_obstacle(&mut app);
            }
        }
        AppEvent::LeftAlone(objects) => app.record.left_alone = objects,
        AppEvent::Paused { length, reason } => {
            let until = now.wall.checked_add(length).unwrap_or(jiff::Timestamp::MAX);
            app.record.pause = Some(Pause { until, length, reason });
            app.pause_until = Some(now.uptime + length);
        }
        AppEvent::Resumed => {
            app.record.pause = None;
            app.pause_until = None;
            // The pause did not count against the revision.
            app.deadline = Some(now.uptime + app.record.spec.timeout);
        }
        AppEvent::Kept(event) => pin::apply(&mut app, event, now, &mut effects),
        AppEvent::Tick => tick(&mut app, now, &mut effects),
    }
    (app, effects)
}

pub(super) fn offered(app: &mut App, revision: Revision, now: &Now, effects: &mut Vec<Effect>) {
    if pin::outlasts(app, &revision, now, effects) {
        return;
    }
    let before = app.record.newest.replace(revision.clone());
    if before.is_none_or(|before| before.content != revision.content) {
        app.retry_at = retries::next(&app.record, now.uptime);
    }
    if let Phase::Preflight { target }
    | Phase::Held { target, .. }
    | Phase::Applying { target }
    | Phase::Probation { target } = &mut app.record.phase
        && target.content == revision.content
    {
        target.commit = revision.commit;
        return;
    }
    let in_cluster = app.record.at.as_ref().is_some_and(|at| at.content == revision.content);
    if let Some(good) = &mut app.record.good
        && good.revision.content == revision.content
    {
        good.revision.commit = revision.commit;
        if in_cluster {
            // Git went back to what runs: a candidate that was never applied is dropped.
            if app.record.candidate().is_some() {
                enter(app, Phase::Good, now);
            }
            return;
        }
        if matches!(app.record.phase, Phase::RollingBack { .. }) {
            return;
        }
    }
    if app.record.is_bad(&revision.content) {
        // It failed before. What never reached the cluster is dropped with it.
        if matches!(app.record.phase, Phase::Preflight { .. } | Phase::Held { .. }) {
            settle(app, revision, now);
        }
        return;
    }
    if matches!(app.record.phase, Phase::RollingBack { .. }) && app.obstacle.is_empty() {
        // First back to what is good, or a candidate that is held would leave the
        // bad one running. It takes moments; one that is stuck is overtaken.
        return;
    }
    if let Some(candidate) = app.record.candidate().cloned() {
        effects.push(history(
            app,
            &candidate,
            RevisionVerdict::Superseded,
            "a newer commit came",
            now,
        ));
    }
    (app.holds, app.told) = (0, None);
    if app.record.approved.as_ref() != Some(&revision.content) {
        app.record.approved = None;
        app.record.approved_set = None;
    }
    enter(app, Phase::Preflight { target: revision }, now);
}

fn observed(app: &mut App, health: AppHealth, now: &Now, effects: &mut Vec<Effect>) {
    app.health = health;
    clear_obstacle(app);
    if !matches!(app.record.phase, Phase::Applying { .. } | Phase::Probation { .. }) {
        return;
    }
    // While all that is not well waits for the outside, the clock stands still.
    if let Some(since) = app.stands_still.take() {
        app.deadline = app.deadline.map(|deadline| deadline + (now.uptime - since));
    }
    app.stands_still = app.health.waits_outside.then_some(now.uptime);
    let Phase::Probation { target } = app.record.phase.clone() else { return };
    if app.health.failed {
        let faults = app.health.faults.clone();
        return condemn(app, target, "failed its health checks".to_owned(), faults, now, effects);
    }
    match app.health.name {
        HealthName::Healthy | HealthName::Suspended => {
            app.healthy_since.get_or_insert(now.uptime);
        }
        HealthName::Progressing | HealthName::Degraded | HealthName::Unknown => {
            app.healthy_since = None;
        }
    }
}

fn tick(app: &mut App, now: &Now, effects: &mut Vec<Effect>) {
    if app.pause_until.is_some_and(|until| until <= now.uptime) {
        app.record.pause = None;
        app.pause_until = None;
        app.deadline = Some(now.uptime + app.record.spec.timeout);
    }
    if app.pause_until.is_some() {
        return;
    }
    pin::expire(app, now, effects);
    retries::try_again(app, now);
    let late = app.deadline.is_some_and(|deadline| deadline <= now.uptime);
    match app.record.phase.clone() {
        Phase::Probation { target } => match app.healthy_since {
            Some(since) if since + app.record.spec.soak <= now.uptime && !app.leaving => {
                let reason = "healthy through probation".to_owned();
                let data = EventData::AppGood(judged(&target, reason, Vec::new()));
                effects.push(report(app, &data));
                effects.push(history(app, &target, RevisionVerdict::Good, "", now));
                app.record.at = Some(target.clone());
                app.record.approved = None;
                app.record.approved_set = None;
                kept::promote(&mut app.record, target, now.wall);
                enter(app, Phase::Good, now);
            }
            None if late && app.stands_still.is_none() => {
                let reason = format!("not healthy within {:?}", app.record.spec.timeout);
                let faults = app.health.faults.clone();
                condemn(app, target, reason, faults, now, effects);
            }
            _ => {}
        },
        Phase::Applying { target } if late && app.stands_still.is_none() => {
            let reason = format!("a wave was not ready within {:?}", app.record.spec.timeout);
            let faults = app.health.faults.clone();
            condemn(app, target, reason, faults, now, effects);
        }
        _ => {}
    }
}

/// Remembers a revision as bad and leaves it.
fn condemn(
    app: &mut App,
    target: Revision,
    reason: String,
    mut faults: Vec<ObjectFault>,
    now: &Now,
    effects: &mut Vec<Effect>,
) {
    faults.truncate(MAX_FAULTS);
    let data = EventData::AppFailed(judged(&target, reason.clone(), faults.clone()));
    effects.push(report(app, &data));
    effects.push(history(app, &target, RevisionVerdict::Bad, &join(&reason, &faults), now));
    app.record.bad.retain(|bad| bad.revision.content != target.content);
    app.record.bad.push(BadRecord { revision: target.clone(), reason, faults, at: now.wall });
    let surplus = app.record.bad.len().saturating_sub(MAX_BAD);
    app.record.bad.drain(..surplus);
    kept::forget(&mut app.record, &target.content);
    let follows = pin::has_failed(app, &target, now, effects);
    app.retry_at = retries::next(&app.record, now.uptime);
    settle(app, target, now);
    if follows {
        pin::follow(app, now, effects);
    }
}

/// Leaves a revision that will not be: back to the last good one, in the
/// cluster too if anything of another revision may be there.
fn settle(app: &mut App, left: Revision, now: &Now) {
    let phase = match (&app.record.good, &app.record.at) {
        (Some(good), Some(at)) if good.revision.content == at.content => Phase::Good,
        (Some(_), _) => Phase::RollingBack { bad: left },
        (None, _) => Phase::Failed { bad: left },
    };
    enter(app, phase, now);
}

pub(super) fn enter(app: &mut App, phase: Phase, now: &Now) {
    app.record.phase = phase;
    app.entered = now.uptime;
    app.deadline = Some(now.uptime + app.record.spec.timeout);
    app.healthy_since = None;
    (app.release_at, app.stands_still) = (None, None);
    clear_obstacle(app);
}

fn obstacle(app: &mut App, message: String, now: &Now) {
    app.failures = app.failures.saturating_add(1);
    let delay = RETRY.delay(app.failures, now.jitter);
    app.not_before = Some(now.uptime + delay);
    app.obstacle = message;
    // Time in which nothing can be seen or done counts against nobody.
    app.deadline = Some(now.uptime + delay + app.record.spec.timeout);
}

fn clear_obstacle(app: &mut App) {
    app.failures = 0;
    app.not_before = None;
    app.obstacle.clear();
}

fn judged(revision: &Revision, reason: String, objects: Vec<ObjectFault>) -> AppJudged {
    AppJudged { commit: revision.commit, content: revision.content.clone(), reason, objects }
}

pub(super) fn report(app: &App, data: &EventData) -> Effect {
    Effect::Report(Event::new(Some(&app.record.spec.name), data))
}

pub(super) fn history(
    app: &App,
    revision: &Revision,
    verdict: RevisionVerdict,
    reason: &str,
    now: &Now,
) -> Effect {
    Effect::History(RevisionRecord {
        app: app.record.spec.name.clone(),
        commit: revision.commit,
        tree: revision.tree,
        content: revision.content.clone(),
        verdict,
        reason: reason.to_owned(),
        at: now.wall,
        bytes: None,
        author: None,
        subject: None,
    })
}

fn join(reason: &str, faults: &[ObjectFault]) -> String {
    match faults.first() {
        None => reason.to_owned(),
        Some(fault) => format!("{reason}: {fault}"),
    }
}

/// The first instant at which something is due without any event.
pub fn due(app: &App, now: &Now) -> Option<Uptime> {
    if app.pause_until.is_some() {
        return app.pause_until;
    }
    let soaked = app.healthy_since.map(|since| since + app.record.spec.soak);
    // What goes then has its own pace; that its time has come is no news any more.
    let is_news = |at: &Uptime| !app.leaving || now.uptime < *at;
    let counts = matches!(app.record.phase, Phase::Applying { .. } | Phase::Probation { .. });
    let deadline = app.deadline.filter(|_| counts && app.stands_still.is_none());
    let release = app.release_at.filter(|at| now.uptime < *at);
    let retry = app.not_before.filter(|not_before| now.uptime < *not_before);
    let again = retries::due(app);
    let judged = if soaked.is_some() { soaked.filter(is_news) } else { deadline };
    [judged, retry, release, again, app.pin_until].into_iter().flatten().min()
}
