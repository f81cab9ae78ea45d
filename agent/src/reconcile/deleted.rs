//! Takes in what came of deletions: what is gone, what stays for another app's sake,
//! and what does not go.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use leeward_core::{
    cycle::{AppEvent, AppRecord, Awaited, LOOK_AGAIN, Progress},
    model::{AppName, ObjectFault, ObjectKey, Uptime},
    report::{Event, EventData},
};
use leeward_wire::AppPruned;

use super::{errand::delete::Deletion, owners::NAMED, reconciler::Reconciler};
use crate::{edge::Cluster, store::Batch};

/// After so long without any served version a kind is taken for gone, and its
/// objects with it. An API server needs about a second to serve what a changed
/// definition says.
const UNSERVED_FOR: Duration = Duration::from_secs(10);

/// Deletions by what came of them.
#[derive(Default)]
struct Sorted {
    gone: Vec<ObjectKey>,
    not_ours: Vec<ObjectKey>,
    /// What keeps each.
    under_way: BTreeMap<ObjectKey, String>,
    /// Why another app wants it.
    wanted: BTreeMap<ObjectKey, String>,
    /// The API server itself is in trouble.
    obstacle: Option<String>,
}

impl Sorted {
    fn of(deletions: Vec<(ObjectKey, Deletion)>, progress: &Progress, now: Uptime) -> Self {
        let mut sorted = Self::default();
        for (key, deletion) in deletions {
            match deletion {
                Deletion::Gone => sorted.gone.push(key),
                Deletion::NotOurs(reason) => {
                    tracing::warn!(object = %key, reason, "Not pruned; it is left alone from now on.");
                    sorted.not_ours.push(key);
                }
                Deletion::Unserved => {
                    let since = progress.deleting.get(&key).map(|one| one.since);
                    if since.is_some_and(|since| since + UNSERVED_FOR <= now) {
                        sorted.gone.push(key);
                    } else {
                        sorted.under_way.insert(key, "its kind is not served now".to_owned());
                    }
                }
                Deletion::Wanted(reason) => drop(sorted.wanted.insert(key, reason)),
                Deletion::UnderWay(reason) => drop(sorted.under_way.insert(key, reason)),
                Deletion::Failed(fault) if fault.is_api_server() => {
                    sorted.obstacle = Some(format!("cannot prune {key}: {fault}"));
                }
                Deletion::Failed(fault) => {
                    let reason = format!("it cannot be deleted: {fault}");
                    sorted.under_way.insert(key, reason);
                }
            }
        }
        sorted
    }

    /// Whether nothing goes, because other apps want all of it.
    fn is_all_wanted(&self) -> bool {
        let goes = self.gone.len() + self.not_ours.len() + self.under_way.len();
        goes == 0 && !self.wanted.is_empty()
    }

    /// Notes in the progress of an app what is on its way, and what stays.
    fn note(&self, progress: &mut Progress, now: Uptime) {
        progress.counts.pruned += self.gone.len() as u64;
        progress.wanted_by_others.extend(self.wanted.clone());
        for (key, reason) in &self.under_way {
            let awaited =
                progress.deleting.entry(key.clone()).or_insert_with(|| Awaited::from(now));
            awaited.reason.clone_from(reason);
            progress.look_again = Some(now + LOOK_AGAIN);
        }
    }
}

impl<C: Cluster + 'static> Reconciler<C> {
    pub(super) fn deleted(
        &mut self,
        name: &AppName,
        deletions: Vec<(ObjectKey, Deletion)>,
        is_late: bool,
    ) {
        let (now, stamp) = (self.clock.uptime(), self.journal.stamp());
        let Some(managed) = self.apps.get_mut(name) else { return };
        let sorted = Sorted::of(deletions, &managed.view.progress, now);
        sorted.note(&mut managed.view.progress, now);
        let left: BTreeSet<&ObjectKey> = sorted.gone.iter().chain(&sorted.not_ours).collect();
        let is_on_its_way = managed.is_on_its_way();
        let mut batch = Batch::default();
        batch.inventory.extend(left.iter().map(|key| (name.clone(), (*key).clone(), None)));
        if !managed.is_applying() {
            let event = pruned_event(name, &managed.app.record, &sorted.gone);
            batch.events.extend(event.map(|event| (stamp, event)));
        }
        self.record(batch);
        self.watch_inventory();
        self.free(name, |one| left.contains(&one.key));
        if !is_on_its_way {
            let stays: BTreeMap<_, _> = sorted
                .under_way
                .iter()
                .chain(&sorted.wanted)
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            self.stick(name, &stays);
        }
        match sorted.obstacle {
            _ if is_late => {}
            Some(message) => self.take(name, AppEvent::Obstacle { message }, Batch::default()),
            // It has come no further, and goes on waiting as it did.
            None if sorted.is_all_wanted() => {}
            // A deletion that takes long has its own limit, and is no fault of the revision.
            None => self.take(name, AppEvent::StageApplied, Batch::default()),
        }
    }
}

/// Says what is gone; what goes while a plan is carried out is counted with the plan.
fn pruned_event(name: &AppName, record: &AppRecord, gone: &[ObjectKey]) -> Option<Event> {
    let revision = record.wanted().filter(|_| !gone.is_empty())?;
    let named = gone.iter().take(NAMED).map(|key| ObjectFault::of_object(key, "deleted"));
    let data = AppPruned {
        commit: revision.commit,
        content: revision.content.clone(),
        pruned: gone.len() as u64,
        objects: named.collect(),
    };
    Some(Event::new(Some(name), &EventData::AppPruned(data)))
}
