//! What a repository says about revisions that went bad: how often they are tried
//! again by themselves, and how long after the last time.

use super::{
    app::{App, Now},
    held,
    record::{AppRecord, Phase},
};
use crate::model::Uptime;

/// When the newest revision is tried again by itself, if it went bad and may be.
pub(super) fn next(record: &AppRecord, now: Uptime) -> Option<Uptime> {
    let newest = record.newest.as_ref().filter(|newest| record.is_bad(&newest.content))?;
    let had = match &record.retried {
        Some((content, count)) if *content == newest.content => *count,
        _ => 0,
    };
    (had < record.spec.retries).then(|| now + record.spec.retry_interval)
}

/// Tries a bad revision again when its time has come, and the app is at rest.
pub(super) fn try_again(app: &mut App, now: &Now) {
    if !is_at_rest(app) || app.retry_at.is_none_or(|at| now.uptime < at) {
        return;
    }
    app.retry_at = None;
    let Some(newest) = app.record.newest.as_ref() else { return };
    let had = match app.record.retried.take() {
        Some((content, count)) if content == newest.content => count,
        _ => 0,
    };
    app.record.retried = Some((newest.content.clone(), had.saturating_add(1)));
    held::retried(app, now);
}

/// When the next try is due; not before the way back has ended, and not while a
/// person keeps the app where it is.
pub(super) fn due(app: &App) -> Option<Uptime> {
    app.retry_at.filter(|_| is_at_rest(app))
}

fn is_at_rest(app: &App) -> bool {
    let is_at_rest = matches!(app.record.phase, Phase::Good | Phase::Failed { .. });
    is_at_rest && app.record.pin.is_none()
}
