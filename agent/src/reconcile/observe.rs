//! What the watches saw, and how healthy it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{StreamExt, stream};
use leeward_core::{
    cycle::{AppEvent, AppHealth, Phase},
    health::{
        Health, PodQuery, Verdict, assess, assess_candidate, needs_pods, roll_up, watches_health,
    },
    model::{
        APP_LABEL, AppName, ClusterFault, InventoryEntry, Kind, KindVersion, ObjectKey, Seen,
        Sighting, Uptime, owned_digest,
    },
};
use serde_json::Value;

use super::{preflight::IN_FLIGHT, reconciler::Reconciler};
use crate::edge::Cluster;

/// Changes come in bursts; one look serves them all.
const SETTLE_AT_WORK: Duration = Duration::from_millis(200);
const SETTLE_AT_REST: Duration = Duration::from_secs(1);
/// What is not healthy is looked at again without an event: its pods may have
/// begun to crash, which no watched object shows.
const AGAIN_AT_WORK: Duration = Duration::from_secs(1);
const AGAIN_AT_REST: Duration = Duration::from_secs(30);
/// From so many objects of a kind on, one list is cheaper than single reads.
const LIST_FROM: usize = 8;
/// Workloads whose pods are looked at in one go.
const POD_QUERIES: usize = 16;

impl<C: Cluster> Reconciler<C> {
    /// Takes in one sighting. Decides nothing: it only marks what to look at.
    pub(super) fn see(&mut self, seen: Seen) {
        match seen {
            Seen::Present(sighting) => self.see_present(&sighting),
            Seen::Gone { key } => {
                for name in self.owners(&key) {
                    self.mark_gone(&name, &key);
                }
            }
            Seen::Listed { kind, keys } => {
                self.sight.listed(&kind);
                for (name, key) in self.owned_of(&kind) {
                    if !keys.contains(&key) {
                        self.mark_gone(&name, &key);
                    }
                }
                // The API server answers: whatever waited for it is tried now.
                for app in self.apps.values_mut() {
                    app.not_before = None;
                }
                if !self.given.wanting.is_empty() {
                    self.hasten_variables();
                }
            }
            Seen::Lost { kind, fault } => {
                if matches!(fault, ClusterFault::UnknownKind(_)) {
                    // A kind that is not served has no objects.
                    for (name, key) in self.owned_of(&kind) {
                        self.mark_gone(&name, &key);
                    }
                }
                self.sight.lost(kind, &fault);
            }
        }
    }

    fn see_present(&mut self, sighting: &Sighting) {
        let key = &sighting.key;
        let Some(entry) = self.entry(&sighting.app, key) else {
            // The label says that it is another app's now, or nobody's.
            for name in self.owners(key) {
                self.mark_drifted(&name, key);
            }
            return;
        };
        if sighting.deleting {
            return;
        }
        let same = entry.fields == sighting.fields && entry.uid.as_ref() == Some(&sighting.uid);
        self.view(&sighting.app).gone.remove(key);
        if same {
            self.view(&sighting.app).settled(key);
        } else if entry.applied.is_some() {
            self.view(&sighting.app).drifted.insert(key.clone());
        }
        self.mark_dirty(&sighting.app, key);
    }

    fn owners(&self, key: &ObjectKey) -> Vec<AppName> {
        let owns = |(name, entries): (&AppName, &BTreeMap<ObjectKey, InventoryEntry>)| {
            entries.contains_key(key).then(|| name.clone())
        };
        self.inventory.iter().filter_map(owns).collect()
    }

    fn owned_of(&self, kind: &Kind) -> Vec<(AppName, ObjectKey)> {
        let mut owned = Vec::new();
        for (name, entries) in &self.inventory {
            let keys = entries.keys().filter(|key| key.kind() == *kind);
            owned.extend(keys.map(|key| (name.clone(), key.clone())));
        }
        owned
    }

    fn mark_drifted(&mut self, name: &AppName, key: &ObjectKey) {
        if self.entry(name, key).is_some_and(|entry| entry.applied.is_some()) {
            self.view(name).drifted.insert(key.clone());
        }
        self.mark_dirty(name, key);
    }

    fn mark_gone(&mut self, name: &AppName, key: &ObjectKey) {
        self.mark_drifted(name, key);
        let view = self.view(name);
        if view.drifted.contains(key) {
            view.gone.insert(key.clone());
        }
    }

    fn mark_dirty(&mut self, name: &AppName, key: &ObjectKey) {
        if !watches_health(&key.kind()) {
            return;
        }
        let settle = if self.is_at_work(name) { SETTLE_AT_WORK } else { SETTLE_AT_REST };
        let soon = self.clock.uptime() + settle;
        let view = self.view(name);
        view.dirty.insert(key.clone());
        view.look_at = Some(view.look_at.map_or(soon, |at| at.min(soon)));
    }

    fn is_at_work(&self, name: &AppName) -> bool {
        self.apps.get(name).is_some_and(|app| {
            matches!(app.record.phase, Phase::Probation { .. } | Phase::Applying { .. })
        })
    }

    pub(super) fn is_time_to_look(&mut self, name: &AppName) -> bool {
        let now = self.clock.uptime();
        self.view(name).release_held_back(now);
        self.next_look(name).is_some_and(|at| at <= now)
    }

    /// When to look at an app's objects without any event.
    pub(super) fn next_look(&self, name: &AppName) -> Option<Uptime> {
        // While a plan is carried out its gates look for themselves.
        let applying = self.apps.get(name).is_some_and(|app| {
            matches!(app.record.phase, Phase::Applying { .. } | Phase::RollingBack { .. })
        });
        self.views.get(name).filter(|_| !applying)?.look_at
    }

    /// Looks at what changed and at what is not healthy, and sums it up.
    pub(super) async fn observe(&mut self, name: &AppName) -> AppEvent {
        let at_work = self.is_at_work(name);
        let now = self.clock.uptime();
        let again = now + if at_work { AGAIN_AT_WORK } else { AGAIN_AT_REST };
        let view = self.view(name);
        let mut keys = std::mem::take(&mut view.dirty);
        keys.extend(
            view.health
                .iter()
                .filter(|(_, health)| !is_well(health))
                .map(|(key, _)| key.clone())
                .take(POD_QUERIES * 2),
        );
        view.look_at = None;
        match self.look(name, &keys).await {
            Ok(found) => {
                let entries = self.inventory.get(name);
                let owned = |key: &ObjectKey| entries.is_some_and(|all| all.contains_key(key));
                let found: Vec<_> = found.into_iter().filter(|(key, _)| owned(key)).collect();
                self.view(name).health.extend(found);
            }
            Err(fault) => {
                let view = self.view(name);
                view.dirty.extend(keys);
                view.look_at = Some(now + AGAIN_AT_WORK);
                return AppEvent::Obstacle { message: fault.to_string() };
            }
        }
        let view = self.view(name);
        if view.health.values().any(|health| !is_well(health)) {
            view.look_at = Some(view.look_at.map_or(again, |at| at.min(again)));
        }
        let mut sum = roll_up(view.health.iter());
        let failed = view.health.values().any(|health| health.verdict == Verdict::Failed);
        self.hide_unknown(name, &mut sum.faults);
        AppEvent::Observed(AppHealth { name: sum.health, failed, faults: sum.faults })
    }

    async fn look(
        &self,
        name: &AppName,
        keys: &BTreeSet<ObjectKey>,
    ) -> Result<Vec<(ObjectKey, Health)>, ClusterFault> {
        let mut by_kind: BTreeMap<KindVersion, Vec<ObjectKey>> = BTreeMap::new();
        for key in keys {
            let Some(entry) = self.entry(name, key) else { continue };
            let kind = KindVersion { kind: key.kind(), version: entry.version };
            by_kind.entry(kind).or_default().push(key.clone());
        }
        let candidate = self.apps.get(name).and_then(|app| match &app.record.phase {
            Phase::Applying { target } | Phase::Probation { target } => Some(target.commit),
            _ => None,
        });
        let assess = |live: &Value, pods: &[Value]| match &candidate {
            Some(commit) => assess_candidate(live, pods, commit),
            None => assess(live, pods),
        };
        let mut verdicts = Vec::new();
        let mut pods_wanted = Vec::new();
        for (kind, keys) in by_kind {
            let judge = |key: ObjectKey, live: Option<Value>| {
                let health = live.as_ref().map_or_else(Health::missing, |live| assess(live, &[]));
                match live.as_ref().filter(|_| !is_well(&health)).and_then(needs_pods) {
                    Some(query) if pods_wanted.len() < POD_QUERIES => {
                        pods_wanted.push((key, live, query));
                    }
                    _ => verdicts.push((key, health)),
                }
            };
            self.read(name, &kind, keys, judge).await?;
        }
        for (key, live, PodQuery { namespace, selector }) in pods_wanted {
            let kind = KindVersion { kind: Kind::new("", "Pod"), version: "v1".to_owned() };
            let mut pods = Vec::new();
            self.cluster.list(&kind, &namespace, &selector, |pod| pods.push(pod)).await?;
            let live = live.unwrap_or(Value::Null);
            self.unblock(name, &live, &pods).await;
            verdicts.push((key, assess(&live, &pods)));
        }
        Ok(verdicts)
    }

    /// Hands over each of these objects as it is, `None` for one that is not there.
    async fn read(
        &self,
        name: &AppName,
        kind: &KindVersion,
        keys: Vec<ObjectKey>,
        mut each: impl FnMut(ObjectKey, Option<Value>),
    ) -> Result<(), ClusterFault> {
        if keys.len() >= LIST_FROM {
            let selector = format!("{APP_LABEL}={name}");
            let mut missing: BTreeSet<ObjectKey> = keys.into_iter().collect();
            let found = |object: Value| {
                if let Some(key) = ObjectKey::of(&object).and_then(|key| missing.take(&key)) {
                    each(key, Some(object));
                }
            };
            self.cluster.list(kind, "", &selector, found).await?;
            for key in missing {
                each(key, None);
            }
            return Ok(());
        }
        let mut answers = stream::iter(keys)
            .map(async |key| {
                let live = self.cluster.get(&key, &kind.version).await;
                (key, live)
            })
            .buffer_unordered(IN_FLIGHT);
        while let Some((key, live)) = answers.next().await {
            each(key, live?);
        }
        Ok(())
    }
}

fn is_well(health: &Health) -> bool {
    matches!(health.verdict, Verdict::Healthy | Verdict::Suspended)
}

/// The inventory entry of an object that carries our label and our field
/// manager, though our store knows nothing of it.
pub(super) fn adopted(object: &Value, version: &str) -> Option<(ObjectKey, InventoryEntry)> {
    let fields = owned_digest(object)?;
    let uid = object["metadata"]["uid"].as_str().map(str::to_owned);
    let entry = InventoryEntry {
        version: version.to_owned(),
        applied: None,
        fields: Some(fields),
        uid,
        wave: 0,
        keep: false,
    };
    Some((ObjectKey::of(object)?, entry))
}
