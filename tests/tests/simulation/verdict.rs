//! What must hold once the weather has been clear for long enough.

use std::collections::{BTreeMap, BTreeSet};

use leeward::{edge::ApplyMode, store::Store};
use leeward_core::{
    cycle::{AppRecord, BadRecord, Phase},
    gate::is_protected,
    model::{AppName, GitId, InventoryEntry, ObjectKey, REVISION_ANNOTATION},
    report::EventKind,
};
use serde_json::Value;

use super::{
    admission::refusal,
    content::AppContent,
    git::Commit,
    run::check_inventory,
    world::{Handle, World},
};

type Inventories = BTreeMap<AppName, BTreeMap<ObjectKey, InventoryEntry>>;

/// The end of a story: the world, and what the agent has kept of it.
struct End<'a> {
    world: &'a World,
    last: &'a Commit,
    records: &'a [AppRecord],
    inventories: &'a Inventories,
}

pub(crate) fn verdict(handle: &Handle, store: &Store) -> Result<(), String> {
    check_inventory(handle, store)?;
    let records = store.apps().map_err(|error| error.to_string())?;
    let inventories = store.inventory_all().map_err(|error| error.to_string())?;
    handle.with(|world| {
        if let Some(violation) = world.violations.first() {
            return Err(violation.clone());
        }
        let last = world.git.commits.last().expect("the story begins with a commit");
        End { world, last, records: &records, inventories: &inventories }.check()
    })
}

impl End<'_> {
    fn check(&self) -> Result<(), String> {
        let excused = self.excused();
        for (name, content) in &self.last.apps {
            self.record(name).ok_or_else(|| format!("app {name} has no record"))?;
            if content.is_sound() && !excused.contains(name.as_str()) {
                self.check_newest(name)?;
            }
        }
        let mut expected: BTreeSet<ObjectKey> = BTreeSet::new();
        for record in self.records {
            self.check_bad(record)?;
            expected.extend(self.expected_of(record)?);
        }
        let ours = self.world.objects.iter().filter(|(_, object)| object.is_ours());
        let ours: BTreeSet<ObjectKey> = ours.map(|(key, _)| key.clone()).collect();
        match ours.symmetric_difference(&expected).next() {
            Some(key) if ours.contains(key) => {
                let phases: Vec<_> =
                    self.records.iter().map(|app| (&app.spec.name, &app.phase)).collect();
                Err(format!("{key} should be gone: {phases:?}"))
            }
            Some(key) => Err(format!("{key} is missing, and nobody should have expected it")),
            None => Ok(()),
        }
    }

    fn record(&self, name: &str) -> Option<&AppRecord> {
        self.records.iter().find(|record| record.spec.name == name)
    }

    /// The apps that need not be at their newest content: it is bad, or was condemned for
    /// being slow, or they wait for such an app or for an object that it keeps.
    fn excused(&self) -> BTreeSet<&str> {
        let is_bad = |name: &AppName| {
            let tree = self.last.trees[name];
            let condemned = self
                .record(name)
                .is_some_and(|record| record.bad.iter().any(|bad| bad.revision.tree == tree));
            condemned || !self.world.git.is_sound(name, tree)
        };
        let mut excused: BTreeSet<&str> =
            self.last.apps.keys().filter(|name| is_bad(name)).map(String::as_str).collect();
        loop {
            let more = self.last.apps.iter().find(|(name, content)| {
                !excused.contains(name.as_str())
                    && ((*name == "shop" && excused.contains("db"))
                        || self.waits_for_owner(name, content, &excused))
            });
            let Some((name, _)) = more else { return excused };
            excused.insert(name);
        }
    }

    fn waits_for_owner(&self, name: &str, content: &AppContent, excused: &BTreeSet<&str>) -> bool {
        let owns = |owner: &str, key: &ObjectKey| {
            self.inventories.get(owner).is_some_and(|entries| entries.contains_key(key))
        };
        content.keys().any(|key| excused.iter().any(|owner| *owner != name && owns(owner, &key)))
    }

    /// It is good at what Git wants, and somebody was informed of it.
    fn check_newest(&self, name: &str) -> Result<(), String> {
        let Some(record) = self.record(name) else { return Ok(()) };
        let good = record.good.as_ref().map(|good| good.revision.tree);
        if good != Some(self.last.trees[name]) || record.phase != Phase::Good {
            let told = self.world.status_of(name).map(|status| status.message).unwrap_or_default();
            return Err(format!(
                "app {name} is not at the newest content: {told}, {:?}",
                record.phase
            ));
        }
        let is_about = |subject: Option<&AppName>| subject.is_some_and(|subject| subject == name);
        let mut reports = self.world.reports.iter().map(|entry| &entry.event);
        if !reports.any(|one| one.kind == EventKind::AppGood && is_about(one.subject.as_ref())) {
            return Err(format!("nobody was told that {name} is good"));
        }
        Ok(())
    }

    /// Nothing is condemned for what is no fault of it.
    fn check_bad(&self, record: &AppRecord) -> Result<(), String> {
        let name = &record.spec.name;
        // Too slow is a verdict that a storm and somebody's edits can bring on
        // sound content; every other one would be a mistake.
        let is_slow = |bad: &BadRecord| bad.reason.contains("within");
        let waited_for_images = |bad: &BadRecord| {
            !bad.faults.is_empty() && bad.faults.iter().all(|one| one.message.contains("pulling"))
        };
        for bad in &record.bad {
            if is_slow(bad) && waited_for_images(bad) {
                return Err(format!("{name}: condemned for a slow image: {:?}", bad.faults));
            }
            if !is_slow(bad) && self.world.git.is_sound(name, bad.revision.tree) {
                let why = bad.faults.first().map(ToString::to_string).unwrap_or_default();
                // A renamed app does not decide on the quota that the old one is to take along.
                if why.contains("exceeded quota") && self.world.git.was_renamed(name) {
                    continue;
                }
                return Err(format!("{name}: sound content was condemned: {}: {why}", bad.reason));
            }
        }
        Ok(())
    }

    /// The objects that an app has in the cluster. What is good is as Git declares it and
    /// serves, but for what is stuck.
    fn expected_of(&self, record: &AppRecord) -> Result<Vec<ObjectKey>, String> {
        let name = &record.spec.name;
        let empty = BTreeMap::new();
        let entries = self.inventories.get(name).unwrap_or(&empty);
        if matches!(record.phase, Phase::RollingBack { .. }) {
            return Err(format!("app {name} is still on its way back"));
        }
        let is_there = |key: &&ObjectKey| self.world.objects.contains_key(*key);
        let Some(good) = record.good.as_ref().filter(|_| record.phase == Phase::Good) else {
            // Nothing was ever good, or a person was not asked yet: what is there stays.
            return Ok(entries.keys().filter(is_there).cloned().collect());
        };
        let mut expected = self.good_objects(record, good.revision.tree)?;
        // What a rollback may not delete stays, and stays ours.
        let kept = entries.iter().filter(|(key, entry)| {
            let is_stuck = record.stuck.iter().any(|one| one.goes && one.key == **key);
            is_protected(key) || entry.from.is_some() || is_stuck
        });
        expected.extend(kept.map(|(key, _)| key).filter(is_there).cloned());
        Ok(expected)
    }

    fn good_objects(&self, record: &AppRecord, tree: GitId) -> Result<Vec<ObjectKey>, String> {
        let name = &record.spec.name;
        let commits = &self.world.git.commits;
        let commit = commits.iter().find(|commit| commit.trees.get(name) == Some(&tree));
        let content = match commit {
            Some(commit) => &commit.apps[name],
            None if record.removed => return Ok(Vec::new()),
            None => return Err("a good revision that Git never had".to_owned()),
        };
        let mut found = Vec::new();
        for body in content.files.values() {
            let key = ObjectKey::of(body).ok_or("a manifest without a name")?;
            if let Some(stuck) = record.stuck.iter().find(|one| !one.goes && one.key == key) {
                if self.can_be_written(name, &key, body) {
                    return Err(format!("{key} is said to be stuck: {}", stuck.reason));
                }
                let mine = self.inventories.get(name).is_some_and(|all| all.contains_key(&key));
                found.extend(Some(key).filter(|key| mine && self.world.objects.contains_key(key)));
                continue;
            }
            let Some(live) = self.world.objects.get(&key) else {
                if key.kind == "Job" {
                    continue;
                }
                return Err(format!("{key} is missing, in {:?}", record.phase));
            };
            if !declares_the_same(body, &live.body) {
                return Err(format!("{key} is not as Git declares it"));
            }
            if key.kind == "Deployment" && !live.is_ready() && content.is_sound() {
                return Err(format!("{key} was good, and does not run"));
            }
            found.push(key);
        }
        Ok(found)
    }

    /// Whether neither the API server nor another app has anything against it.
    fn can_be_written(&self, name: &str, key: &ObjectKey, body: &Value) -> bool {
        let mut others = self.inventories.iter().filter(|(other, _)| *other != name);
        let is_taken = others.any(|(_, entries)| entries.contains_key(key));
        !is_taken && refusal(self.world, key, body, ApplyMode::Force).is_none()
    }
}

/// Everything that Git declares has Git's value; our marks may be there besides.
fn declares_the_same(declared: &Value, live: &Value) -> bool {
    match (declared, live) {
        (Value::Object(declared), Value::Object(live)) => declared
            .iter()
            .filter(|(name, _)| *name != REVISION_ANNOTATION)
            .all(|(name, value)| live.get(name).is_some_and(|live| declares_the_same(value, live))),
        _ => declared == live,
    }
}
