//! Which good revisions are kept to roll back to, and which of them a person means.

use jiff::Timestamp;

use super::{
    pin::short,
    record::{AppRecord, GoodRecord, Phase},
};
use crate::model::{ContentId, Revision};

/// Why there is nothing to roll back to, and what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSuchRevision {
    pub message: String,
    pub hint: String,
}

impl AppRecord {
    /// Good revisions that can be rolled back to, oldest first. Older agents
    /// kept only the present one.
    pub fn good_revisions(&self) -> Vec<&GoodRecord> {
        let mut all: Vec<&GoodRecord> = self.kept.iter().collect();
        let is_known = |good: &&GoodRecord| !self.is_kept(&good.revision.content);
        all.extend(self.good.as_ref().filter(is_known));
        all
    }

    fn is_kept(&self, content: &ContentId) -> bool {
        self.kept.iter().any(|kept| kept.revision.content == *content)
    }

    /// Gives up the oldest good revisions above `most`.
    pub fn keep_good_revisions(&mut self, most: usize) {
        while self.kept.len() > most && give_up_oldest(self) {}
    }

    /// Whether a good revision is kept that could be given up.
    pub fn can_give_up(&self) -> bool {
        self.kept.iter().any(|kept| !self.is_in_use(&kept.revision.content))
    }

    /// Every revision whose files must stay in the store.
    pub fn needed_revisions(&self) -> impl Iterator<Item = &Revision> {
        let good = self.good.as_ref().map(|good| &good.revision);
        let pinned = self.pin.as_ref().map(|pin| &pin.revision);
        let one = [good, pinned, self.candidate(), self.newest.as_ref(), self.at.as_ref()];
        one.into_iter().flatten().chain(self.kept.iter().map(|kept| &kept.revision))
    }

    fn is_in_use(&self, content: &ContentId) -> bool {
        let good = self.good.as_ref().map(|good| &good.revision);
        let pinned = self.pin.as_ref().map(|pin| &pin.revision);
        let used = [good, pinned, self.candidate(), self.newest.as_ref(), self.at.as_ref()];
        used.into_iter().flatten().any(|one| one.content == *content)
    }
}

/// Gives up the oldest good revision that nothing uses. Returns whether there was one.
pub(super) fn give_up_oldest(record: &mut AppRecord) -> bool {
    let oldest = record.kept.iter().position(|kept| !record.is_in_use(&kept.revision.content));
    oldest.map(|at| record.kept.remove(at)).is_some()
}

/// Makes a revision the good one. What ran before it is the first to go back to.
/// While a person rolls back step by step, the order stays.
pub(super) fn promote(record: &mut AppRecord, target: Revision, wall: Timestamp) {
    let former = record.good.take();
    let good = GoodRecord { revision: target, since: wall };
    let is_rollback =
        record.pin.as_ref().is_some_and(|pin| pin.revision.content == good.revision.content);
    for one in former.into_iter().chain([good.clone()]) {
        if !(is_rollback && record.is_kept(&one.revision.content)) {
            record.kept.retain(|kept| kept.revision.content != one.revision.content);
            record.kept.push(one);
        }
    }
    record.good = Some(good);
}

/// What was good once and failed now is not good any more. Of those that are
/// left, the newest is gone back to.
pub(super) fn forget(record: &mut AppRecord, content: &ContentId) {
    record.kept.retain(|kept| kept.revision.content != *content);
    if record.good.as_ref().is_some_and(|good| good.revision.content == *content) {
        record.good = record.kept.last().cloned();
    }
}

/// Finds the good revision that a person means: the one whose commit begins so,
/// or the one before the present one.
pub fn roll_back_to(record: &AppRecord, commit: Option<&str>) -> Result<Revision, NoSuchRevision> {
    let app = &record.spec.name;
    let no = |message: String| NoSuchRevision { message, hint: known(record) };
    if record.removed {
        return Err(no(format!("app {app} left Git, and goes once a person agrees")));
    }
    match commit {
        Some(commit) => named(record, commit).map_err(no),
        None => before(record)
            .cloned()
            .ok_or_else(|| no(format!("app {app} has no good revision before the present one"))),
    }
}

fn known(record: &AppRecord) -> String {
    let goods = record.good_revisions();
    if goods.is_empty() {
        return "no revision of it was good yet".to_owned();
    }
    let one = |good: &&GoodRecord| {
        let since = good.since.strftime("%Y-%m-%d %H:%M UTC");
        format!("{} of {since}", short(good.revision.commit))
    };
    let all: Vec<String> = goods.iter().rev().map(one).collect();
    format!("good revisions in the store: {}", all.join(", "))
}

fn before(record: &AppRecord) -> Option<&Revision> {
    let goods = record.good_revisions();
    let position =
        |one: &Revision| goods.iter().position(|good| good.revision.content == one.content);
    // What is on its way in, or on its way out, is left for what ran before it.
    let is_unproven = record.pin.is_none()
        && matches!(
            record.phase,
            Phase::Applying { .. } | Phase::Probation { .. } | Phase::RollingBack { .. }
        );
    let good = record.good.as_ref().map(|good| &good.revision);
    let is_other = |one: &&Revision| record.at.as_ref().is_none_or(|at| at.content != one.content);
    if is_unproven && let Some(good) = good.filter(is_other) {
        return Some(good);
    }
    let pinned = record.pin.as_ref().map(|pin| &pin.revision);
    let at = match pinned.or(record.at.as_ref()).and_then(position) {
        Some(present) => present.checked_sub(1),
        None => goods.len().checked_sub(1),
    };
    at.map(|at| &goods[at].revision)
}

fn named(record: &AppRecord, commit: &str) -> Result<Revision, String> {
    let app = &record.spec.name;
    let wanted = commit.to_ascii_lowercase();
    let begins = |one: &Revision| one.commit.to_string().starts_with(&wanted);
    // A newer commit of the same content names the present good one as well.
    let also = |content: &ContentId| {
        let present = record.good.as_ref().map(|good| &good.revision);
        present.is_some_and(|one| one.content == *content && begins(one))
    };
    let goods = record.good_revisions();
    let found: Vec<&Revision> = goods
        .iter()
        .map(|good| &good.revision)
        .filter(|one| begins(one) || also(&one.content))
        .collect();
    match found[..] {
        [one] if is_followed(record, one) => {
            Err(format!("app {app} runs {} already, and Git wants it", short(one.commit)))
        }
        [one] => Ok(one.clone()),
        [] => Err(unknown(record, commit, &begins)),
        _ => Err(format!(
            "{commit} is ambiguous: it begins {} good revisions of app {app}",
            found.len()
        )),
    }
}

fn unknown(record: &AppRecord, commit: &str, begins: &dyn Fn(&Revision) -> bool) -> String {
    let app = &record.spec.name;
    if let Some(bad) = record.bad.iter().rev().find(|bad| begins(&bad.revision)) {
        return format!("revision {commit} of app {app} is bad: {}", bad.reason);
    }
    if record.newest.as_ref().is_some_and(begins) {
        return format!("revision {commit} of app {app} has not been good yet");
    }
    format!("the store has no good revision {commit} of app {app}")
}

/// Whether the app runs what Git wants, and that is this revision.
fn is_followed(record: &AppRecord, one: &Revision) -> bool {
    let is = |other: Option<&Revision>| other.is_some_and(|other| other.content == one.content);
    record.pin.is_none() && record.phase == Phase::Good && is(record.newest.as_ref())
}
