//! What one process saw of an app's objects. Lost at a restart, and learned
//! again from the first lists of the watches.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::step::ApplyCounts;
use crate::{
    health::{Health, Verdict},
    model::{AppName, Backoff, ContentId, InventoryEntry, ObjectKey, Uptime},
    plan::{
        desired::{Desired, Prepared},
        fight::HealHistory,
        marks::is_foundation,
        order::StageName,
    },
};

/// Between two tries to put one object right that the cluster does not take. A
/// webhook that restarts is back in seconds; what is refused for good costs a
/// request every five minutes.
const STUCK: Backoff = Backoff { min: Duration::from_secs(1), max: Duration::from_secs(300) };

/// What is waited for has a name from then on.
const WORTH_SAYING: Duration = Duration::from_secs(3);

/// What was seen of an app's objects, and how far the work on them has come.
#[derive(Debug, Default)]
pub struct View {
    /// Owned objects that differ from what we applied, or are gone.
    pub drifted: BTreeSet<ObjectKey>,
    /// Drifted objects that are not there at all.
    pub gone: BTreeSet<ObjectKey>,
    /// Drifted objects that are not to be healed, and were reported.
    pub open: BTreeSet<ObjectKey>,
    /// Heals by object, so that a fight with another controller is named.
    pub heals: BTreeMap<ObjectKey, HealHistory>,
    /// Drifted objects that are fought over, and until when they are left for now.
    pub held_back: BTreeMap<ObjectKey, Uptime>,
    /// Tries in a row that did not put an object right.
    pub tries: BTreeMap<ObjectKey, u32>,
    /// Objects whose live annotation asks us not to write them.
    pub left_alone: BTreeSet<ObjectKey>,
    /// Objects of which a tool that applies manifests owns fields of ours as well.
    pub shared: BTreeSet<ObjectKey>,
    /// When it is asked again whether objects that were never ours may be written.
    pub ask_again: Uptime,
    /// The last verdict on every object that can be unhealthy.
    pub health: BTreeMap<ObjectKey, Health>,
    /// Objects that changed since their last verdict.
    pub dirty: BTreeSet<ObjectKey>,
    /// When the dirty objects are looked at; changes come in bursts.
    pub look_at: Option<Uptime>,
    /// The fight that is to be named, in one line; empty when there is none.
    pub message: String,
    /// The wanted revision, while it is worked on. Dropped when it is good: an
    /// idle agent holds no manifests.
    pub desired: Option<(ContentId, Arc<Desired>)>,
    /// Objects that the wanted revision declares and that another app owns; it alone writes them.
    pub foreign: BTreeMap<ObjectKey, AppName>,
    /// How far the revision that is being applied has come.
    pub progress: Progress,
}

/// How far one pass of applying has come.
#[derive(Debug, Default)]
pub struct Progress {
    pub counts: ApplyCounts,
    /// The apply was begun in an earlier life of the agent.
    pub resumed: bool,
    /// The content whose write-ahead inventory is recorded.
    pub announced: Option<ContentId>,
    /// What was sent, each with the count of writes at which it was.
    pub sent: BTreeMap<ObjectKey, u64>,
    /// A preflight of this process has sorted out what is unproven.
    pub is_examined: bool,
    /// Objects whose dry-run needs a namespace, a CRD or a judge of the same revision.
    pub unproven: BTreeSet<ObjectKey>,
    /// Until when a refusal of those may be of the time before: what decides has
    /// not heard of its change everywhere at once.
    pub prove_until: Option<Uptime>,
    /// Foundations that were applied and are not ready yet, each with the time it was applied.
    pub foundations: BTreeMap<ObjectKey, Awaited>,
    /// Objects that are deleted to be made anew, each with the time of its deletion.
    pub replacing: BTreeMap<ObjectKey, Awaited>,
    /// Objects whose deletion was asked for, each with the time and with what keeps it.
    pub deleting: BTreeMap<ObjectKey, Awaited>,
    /// Objects that Git does not declare any more, and that another app needs or is about
    /// to take over; each with the reason why it stays.
    pub wanted_by_others: BTreeMap<ObjectKey, String>,
    /// What the API server did not take on the way back, and why. It is tried
    /// once more when everything else is back.
    pub put_off: BTreeMap<ObjectKey, String>,
    /// When something was put off last.
    pub put_off_at: Uptime,
    /// What was put off was tried again.
    pub second_try: bool,
    /// Since when a stage of the way back waits for the health of what comes before it.
    pub gate_since: Option<Uptime>,
    /// The stage whose predecessors were seen to be healthy.
    pub passed: Option<StageName>,
    /// Before this there is nothing new to see.
    pub look_again: Option<Uptime>,
}

/// Something in the cluster that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    pub since: Uptime,
    /// Why it is not so yet, in one line.
    pub reason: String,
}

impl Awaited {
    pub fn from(since: Uptime) -> Self {
        Self { since, reason: "the API server works on it".to_owned() }
    }
}

impl View {
    /// Forgets what belonged to the revision that was worked on.
    pub fn leave_revision(&mut self) {
        self.desired = None;
        self.progress = Progress::default();
    }

    /// An object is as it was applied, as far as anyone knows.
    pub fn settled(&mut self, key: &ObjectKey) {
        self.drifted.remove(key);
        self.gone.remove(key);
        self.open.remove(key);
        self.tries.remove(key);
    }

    /// Nothing is to be healed of an object that the revision does not have. That it is
    /// gone stays known: a way back to a revision that has it makes it anew.
    pub fn is_for_deletion(&mut self, key: &ObjectKey) {
        self.drifted.remove(key);
        self.open.remove(key);
        self.tries.remove(key);
    }

    /// Leaves an object that cannot be put right for a while, longer each time.
    /// Returns how many tries it has had.
    pub fn put_off(&mut self, key: &ObjectKey, now: Uptime, jitter: f64) -> u32 {
        let tries = self.tries.entry(key.clone()).or_default();
        *tries = tries.saturating_add(1);
        self.held_back.insert(key.clone(), now + STUCK.delay(*tries, jitter));
        self.drifted.remove(key);
        *tries
    }

    /// Forgets an object that is no longer owned.
    pub fn forget(&mut self, key: &ObjectKey) {
        self.settled(key);
        self.heals.remove(key);
        self.held_back.remove(key);
        self.left_alone.remove(key);
        self.shared.remove(key);
        self.health.remove(key);
        self.dirty.remove(key);
        self.progress.sent.remove(key);
        self.progress.deleting.remove(key);
        self.progress.unproven.remove(key);
        self.progress.put_off.remove(key);
        self.progress.wanted_by_others.remove(key);
    }

    /// Takes up fought-over objects again whose time has come, and drops the
    /// history of fights that are over.
    pub fn release_held_back(&mut self, now: Uptime) {
        self.heals.retain(|_, history| !history.is_over(now));
        let due: Vec<ObjectKey> = self
            .held_back
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            self.held_back.remove(&key);
            self.drifted.insert(key);
        }
        self.name_fights(now);
    }

    /// Says which objects are fought over, and with whom, until that is over.
    pub(super) fn name_fights(&mut self, now: Uptime) {
        let mut fights = self.heals.iter().filter(|(_, history)| history.is_fight(now));
        let Some((key, history)) = fights.next() else { return self.message.clear() };
        let others = fights.count();
        let more = if others > 0 { format!(", and {others} more objects") } else { String::new() };
        let message = format!("{key} is fought over with {}{more}", history.opponent());
        if self.message != message {
            self.message = message;
        }
    }

    /// How many objects differ from what was applied and are not put right yet.
    pub fn drifting(&self) -> usize {
        let held_back = self.held_back.keys().filter(|key| !self.drifted.contains(*key)).count();
        self.open.len() + self.drifted.len() + held_back
    }

    /// When a fought-over object is taken up again.
    pub fn next_heal(&self) -> Option<Uptime> {
        self.held_back.values().copied().min()
    }

    /// The next look at objects is at `at` or earlier.
    pub fn look_by(&mut self, at: Uptime) {
        self.look_at = Some(self.look_at.map_or(at, |known| known.min(at)));
    }

    /// The wanted revision, if it is at hand.
    pub fn desired_for(&self, content: &ContentId) -> Option<&Arc<Desired>> {
        self.desired.as_ref().filter(|(known, _)| known == content).map(|(_, desired)| desired)
    }
}

impl Progress {
    /// Returns what the apply waits for, in one line, once that is worth a word.
    pub fn awaits(&self, now: Uptime) -> Option<String> {
        let deleting = self.deleting.iter().chain(&self.replacing);
        let deletion = |(key, awaited): (&ObjectKey, &Awaited)| {
            (awaited.since, format!("waits for the deletion of {key}: {}", awaited.reason))
        };
        let foundation = |(key, awaited): (&ObjectKey, &Awaited)| {
            (awaited.since, format!("waits for {key}: {}", awaited.reason))
        };
        let all = deleting.map(deletion).chain(self.foundations.iter().map(foundation));
        let worth = all.filter(|(since, _)| *since + WORTH_SAYING <= now);
        worth.min_by_key(|(since, _)| *since).map(|(_, line)| line)
    }

    /// Waits again for the foundations that an earlier life has sent: whether they were
    /// ready, it has not recorded, and what comes after them needs them.
    pub fn resume(
        &mut self,
        desired: &Desired,
        inventory: &BTreeMap<ObjectKey, InventoryEntry>,
        now: Uptime,
    ) {
        if !std::mem::take(&mut self.resumed) {
            return;
        }
        let is_sent = |one: &&Prepared| {
            let entry = inventory.get(one.key());
            entry.is_some_and(|entry| entry.applied == Some(one.digest))
        };
        let foundations = desired.objects.iter().filter(|one| is_foundation(one.key()));
        let sent = foundations.filter(is_sent).map(|one| (one.key().clone(), Awaited::from(now)));
        self.foundations.extend(sent);
    }

    /// Begins the wait for everything anew, once it was said what is late.
    pub fn wait_on(&mut self, now: Uptime) {
        for awaited in self.replacing.values_mut().chain(self.foundations.values_mut()) {
            awaited.since = now;
        }
    }
}

/// Whether nothing about an object needs another look.
pub fn is_well(health: &Health) -> bool {
    matches!(health.verdict, Verdict::Healthy | Verdict::Suspended)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        model::{Manifest, Origin},
        plan::desired::tests::prepared,
    };

    fn key(name: &str) -> ObjectKey {
        let (group, kind) = (String::new(), "ConfigMap".to_owned());
        ObjectKey { group, kind, namespace: "shop".to_owned(), name: name.to_owned() }
    }

    #[test]
    fn a_fight_that_is_over_is_forgotten_and_its_object_taken_up_again() {
        let mut view = View::default();
        for name in ["a", "b"] {
            let history = view.heals.entry(key(name)).or_default();
            (0..5).for_each(|_| history.record(Some("flux"), Uptime::from_secs(1)));
        }
        view.held_back.insert(key("a"), Uptime::from_secs(5));
        view.release_held_back(Uptime::from_secs(4));
        assert_eq!((view.heals.len(), view.next_heal()), (2, Some(Uptime::from_secs(5))));
        view.release_held_back(Uptime::from_secs(100));
        assert!(view.drifted.contains(&key("a")));
        view.settled(&key("a"));
        let named = "ConfigMap shop/a is fought over with flux, and 1 more objects";
        assert_eq!(view.message, named);
        view.release_held_back(Uptime::from_secs(3601));
        assert!(view.heals.is_empty() && view.message.is_empty());
    }

    #[test]
    fn a_restart_waits_again_for_the_foundations_that_were_sent_before_it() {
        let manifest = |name: &str| {
            let metadata = json!({ "name": name });
            let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata });
            Manifest::new(body, Origin::default()).unwrap()
        };
        let desired = prepared(&[manifest("sent"), manifest("yet-to-be-sent")], &[]);
        let entry = |index: usize, is_sent: bool| {
            let applied = is_sent.then_some(desired.objects[index].digest);
            let entry = InventoryEntry { applied, ..InventoryEntry::default() };
            (desired.objects[index].key().clone(), entry)
        };
        let inventory = BTreeMap::from([entry(0, true), entry(1, false)]);
        let mut progress = Progress { resumed: true, ..Progress::default() };
        progress.resume(&desired, &inventory, Uptime::from_secs(7));
        let awaited: Vec<&str> = progress.foundations.keys().map(|key| key.name.as_str()).collect();
        assert_eq!((awaited, progress.resumed), (vec!["sent"], false));

        // In the life that has sent them they are waited for one by one.
        let mut progress = Progress::default();
        progress.resume(&desired, &inventory, Uptime::from_secs(7));
        assert_eq!(progress.foundations, BTreeMap::new());
    }

    #[test]
    fn what_is_for_deletion_is_not_healed_and_stays_known_as_gone() {
        let mut view = View::default();
        view.drifted.insert(key("a"));
        view.gone.insert(key("a"));
        view.is_for_deletion(&key("a"));
        assert!(view.drifted.is_empty() && view.gone.contains(&key("a")));
        view.forget(&key("a"));
        assert!(view.gone.is_empty());
    }

    #[test]
    fn the_earlier_of_two_looks_counts() {
        let mut view = View::default();
        view.look_by(Uptime::from_secs(9));
        view.look_by(Uptime::from_secs(3));
        view.look_by(Uptime::from_secs(5));
        assert_eq!(view.look_at, Some(Uptime::from_secs(3)));
    }
}
