//! A pin: a person rolled an app back to an earlier good revision, and it stays
//! there until somebody releases it, its time is over, or Git changes the app.
//!
//! What it is pinned to goes in as every candidate does: preflight, the prune
//! guard, probation. Only what Git offers meanwhile is not followed.

use std::time::Duration;

use jiff::Timestamp;
use leeward_wire::{AppPinned, AppReleased, RevisionVerdict};
use serde::{Deserialize, Serialize};

use super::{
    app::{App, Now},
    kept::give_up_oldest,
    record::{AppRecord, Phase},
    step::{Effect, enter, history, offered, report},
};
use crate::{
    model::{ContentId, GitId, Revision, Uptime},
    report::EventData,
};

/// What a person rolled an app back to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pin {
    pub revision: Revision,
    /// What Git wants, and is not followed; another content than this one ends the pin.
    pub over: ContentId,
    /// The commit that was left.
    #[serde(default)]
    pub from: Option<GitId>,
    pub since: Timestamp,
    /// `None`: no end of its own.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// What was asked for: with a clock that went back, a pin never lasts longer.
    #[serde(default)]
    pub length: Option<Duration>,
    /// The pin that this one took the place of, and which holds again if this revision
    /// fails: what was rolled back from for a reason must not come back because of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<Self>>,
}

/// What happens to the good revisions that are kept.
#[derive(Clone, Debug, PartialEq)]
pub enum KeptEvent {
    /// A person takes the app back to one, for so long or until it is released.
    Pinned { revision: Revision, length: Option<Duration> },
    /// The app follows Git again.
    Released { reason: String },
    /// The store has no room for all of them: the oldest one is given up.
    GaveUpOldest,
}

impl Pin {
    /// Returns when a pin that was taken up after a start ends by itself.
    pub(super) fn left(&self, now: &Now) -> Option<Uptime> {
        let (until, length) = (self.until?, self.length?);
        let left = Duration::try_from(until.duration_since(now.wall)).unwrap_or_default();
        Some(now.uptime + left.min(length))
    }
}

impl AppRecord {
    /// Returns what the app is to become: what it is pinned to, else what Git offers.
    pub fn goal(&self) -> Option<&Revision> {
        self.pin.as_ref().map(|pin| &pin.revision).or(self.newest.as_ref())
    }
}

pub(super) fn apply(app: &mut App, event: KeptEvent, now: &Now, effects: &mut Vec<Effect>) {
    match event {
        KeptEvent::Pinned { revision, length } => pin(app, revision, length, now, effects),
        KeptEvent::Released { reason } => release(app, &reason, now, effects),
        KeptEvent::GaveUpOldest => drop(give_up_oldest(&mut app.record)),
    }
}

/// Takes the app back to `revision`, and keeps it there.
fn pin(
    app: &mut App,
    revision: Revision,
    length: Option<Duration>,
    now: &Now,
    effects: &mut Vec<Effect>,
) {
    let record = &mut app.record;
    if record.removed || record.is_bad(&revision.content) {
        return;
    }
    let before = former(record, &revision);
    let over = record.newest.as_ref().unwrap_or(&revision).content.clone();
    let from = record.at.as_ref().filter(|at| at.content != revision.content).map(|at| at.commit);
    let until = length.map(|length| now.wall.checked_add(length).unwrap_or(Timestamp::MAX));
    let since = now.wall;
    record.pin = Some(Pin { revision: revision.clone(), over, from, since, until, length, before });
    app.pin_until = length.map(|length| now.uptime + length);
    let left = from.map_or_else(String::new, |from| format!(" from {}", short(from)));
    let reason = format!("rolled back by hand{left}");
    let data = EventData::AppPinned(AppPinned {
        commit: revision.commit,
        content: revision.content.clone(),
        from,
        until,
        reason: reason.clone(),
    });
    if let Some(candidate) = app.record.candidate().cloned()
        && candidate.content != revision.content
    {
        effects.push(history(app, &candidate, RevisionVerdict::Superseded, &reason, now));
    }
    effects.push(report(app, &data));
    effects.push(history(app, &revision, RevisionVerdict::RolledBack, &reason, now));
    go_to(app, revision, now);
}

/// The pin that holds again if the app cannot be pinned to `revision`.
fn former(record: &mut AppRecord, revision: &Revision) -> Option<Box<Pin>> {
    let mut pin = record.pin.take()?;
    let good = record.good.as_ref().map(|good| &good.revision.content);
    let earlier = pin.before.take();
    // One that never came to be good is nothing to hold on to.
    let former = if good == Some(&pin.revision.content) { Some(Box::new(pin)) } else { earlier };
    former.filter(|pin| pin.revision.content != revision.content)
}

/// Has the app moved to a revision, unless it is on its way to it or there.
fn go_to(app: &mut App, revision: Revision, now: &Now) {
    let record = &mut app.record;
    if record.candidate().is_some_and(|candidate| candidate.content == revision.content) {
        return;
    }
    let is = |one: Option<&Revision>| one.is_some_and(|one| one.content == revision.content);
    let (runs, is_good) = (is(record.at.as_ref()), is(record.good.as_ref().map(|g| &g.revision)));
    if record.approved.as_ref() != Some(&revision.content) {
        record.approved = None;
        record.approved_set = None;
    }
    let is_way_back = is_good && matches!(record.phase, Phase::RollingBack { .. });
    if is_way_back {
        return;
    }
    let there = runs && is_good;
    enter(app, if there { Phase::Good } else { Phase::Preflight { target: revision } }, now);
}

/// Whether the pin holds against what Git offers: the same content as before, or
/// another one of the same commit, which only variables of the cluster made.
/// Else it ends here.
pub(super) fn outlasts(
    app: &mut App,
    offered: &Revision,
    now: &Now,
    effects: &mut Vec<Effect>,
) -> bool {
    let record = &mut app.record;
    let Some(pin) = &mut record.pin else { return false };
    let known = record.newest.as_ref();
    let same_commit = known.is_some_and(|newest| newest.commit == offered.commit);
    if pin.over != offered.content && (!same_commit || record.removed) {
        let reason = format!("Git changed the app in {}", short(offered.commit));
        end(app, &reason, Some(now), effects);
        return false;
    }
    pin.over = offered.content.clone();
    record.newest = Some(offered.clone());
    true
}

/// Ends a pin whose time is over.
pub(super) fn expire(app: &mut App, now: &Now, effects: &mut Vec<Effect>) {
    if app.pin_until.is_some_and(|until| until <= now.uptime) {
        release(app, "its time is over", now, effects);
    }
}

/// Ends the pin: what Git wants is followed again.
fn release(app: &mut App, reason: &str, now: &Now, effects: &mut Vec<Effect>) {
    if end(app, reason, Some(now), effects) {
        follow(app, now, effects);
    }
}

/// Ends the pin to a revision that is bad now; the pin before it holds again.
/// Returns whether Git is to be followed.
pub(super) fn has_failed(
    app: &mut App,
    bad: &Revision,
    now: &Now,
    effects: &mut Vec<Effect>,
) -> bool {
    let pin = app.record.pin.as_mut().filter(|pin| pin.revision.content == bad.content);
    let Some((before, over)) = pin.map(|pin| (pin.before.take(), pin.over.clone())) else {
        return false;
    };
    end(app, "it failed this time", None, effects);
    let good = app.record.good.as_ref().map(|good| &good.revision.content);
    let Some(before) = before.filter(|before| good == Some(&before.revision.content)) else {
        return true;
    };
    let data = EventData::AppPinned(AppPinned {
        commit: before.revision.commit,
        content: before.revision.content.clone(),
        from: Some(bad.commit),
        until: before.until,
        reason: "rolled back by hand, as before".to_owned(),
    });
    effects.push(report(app, &data));
    app.pin_until = before.left(now);
    app.record.pin = Some(Pin { over, ..*before });
    false
}

/// Takes up what Git offers; where that is bad, the newest of the good revisions.
pub(super) fn follow(app: &mut App, now: &Now, effects: &mut Vec<Effect>) {
    let is_back = |app: &App| matches!(app.record.phase, Phase::RollingBack { .. });
    let Some(newest) = app.record.newest.clone() else { return };
    // After the way back, what Git wants has its turn by itself.
    if is_back(app) {
        return;
    }
    let is_bad = app.record.is_bad(&newest.content);
    offered(app, newest, now, effects);
    let last = app.record.kept.last().map(|kept| kept.revision.clone());
    if let Some(last) = last.filter(|_| is_bad && !is_back(app)) {
        go_to(app, last, now);
    }
}

/// Forgets the pin and reports it; with `now`, a line of history says so, too.
fn end(app: &mut App, reason: &str, now: Option<&Now>, effects: &mut Vec<Effect>) -> bool {
    app.pin_until = None;
    let Some(pin) = app.record.pin.take() else { return false };
    let data = EventData::AppReleased(AppReleased {
        commit: pin.revision.commit,
        content: pin.revision.content.clone(),
        reason: reason.to_owned(),
    });
    effects.push(report(app, &data));
    if let Some(now) = now {
        let reason = format!("no longer rolled back: {reason}");
        effects.push(history(app, &pin.revision, RevisionVerdict::Superseded, &reason, now));
    }
    true
}

/// The first digits of a commit, as commands show it.
pub(super) fn short(commit: GitId) -> String {
    commit.to_string().chars().take(8).collect()
}

#[cfg(test)]
mod tests;
