//! A cluster that fails, hangs and lies.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use leeward::edge::{ApplyMode, Cluster};
use leeward_core::{
    model::{
        APP_LABEL, Applied, ClusterFault, Kind, KindVersion, Manifest, ObjectKey, Scope, Seen,
        Trace,
    },
    report::Event,
};
use serde_json::Value;

use super::{
    admission::{apply, unknown_kind},
    content,
    live::LiveObject,
    sabotage::Sabotage,
    world::{Handle, World},
};

#[derive(Debug)]
pub(crate) struct SimCluster {
    pub(crate) handle: Handle,
}

/// What becomes of one call.
enum Fate {
    Works,
    Fails,
    /// It is done, and the answer is lost.
    Lies,
}

/// How often controllers of the cluster look at what they own.
const TURN_OF_CONTROLLERS: Duration = Duration::from_millis(500);
/// How long a request hangs before it fails.
pub(crate) const HANG: Duration = Duration::from_secs(10);

/// The slot whose namespace an object is, or lives in.
fn slot_of(key: &ObjectKey) -> Option<&str> {
    let namespace = if key.namespace.is_empty() { &key.name } else { &key.namespace };
    namespace.strip_prefix("ns-")
}

fn unreachable(message: &str) -> ClusterFault {
    ClusterFault::Unreachable { message: message.to_owned() }
}

impl SimCluster {
    /// `app` is whose objects the call is about, as far as it says.
    async fn fate(&self, app: Option<&str>) -> Result<Fate, ClusterFault> {
        self.handle.point().await;
        let hangs = self.handle.with(|world| {
            let stuck = app.is_some() && world.hanging.as_deref() == app;
            stuck || world.dice.percent(world.weather.api_hangs)
        });
        if hangs {
            self.handle.hangs.notify_one();
            tokio::time::sleep(HANG).await;
            return Err(unreachable("no answer within 10 s"));
        }
        self.late().await;
        self.handle.with(|world| {
            if world.weather.api_down {
                return Err(unreachable("connection refused"));
            }
            let (fails, lies) = (world.weather.api_fails, world.weather.api_lies);
            Ok(if world.dice.percent(fails) {
                Fate::Fails
            } else if world.dice.percent(lies) {
                Fate::Lies
            } else {
                Fate::Works
            })
        })
    }

    /// A request or its answer may take seconds.
    async fn late(&self) {
        let late = self.handle.with(|world| {
            let is_late = world.dice.percent(world.weather.api_late);
            is_late.then(|| Duration::from_secs(1 + world.dice.below(9)))
        });
        if let Some(late) = late {
            tokio::time::sleep(late).await;
        }
    }

    async fn call<T>(
        &self,
        app: Option<&str>,
        act: impl FnOnce(&mut World) -> Result<T, ClusterFault>,
    ) -> Result<T, ClusterFault> {
        match self.fate(app).await? {
            Fate::Works => {
                let answer = self.handle.with(act);
                // The world goes on while an answer is on its way.
                self.late().await;
                self.handle.point().await;
                answer
            }
            Fate::Fails => Err(ClusterFault::Unavailable { message: "status 500".to_owned() }),
            Fate::Lies => {
                // Whatever came of it, nobody here learns it.
                drop(self.handle.with(act));
                Err(unreachable("the answer was lost"))
            }
        }
    }
}

impl Cluster for SimCluster {
    async fn scopes(
        &self,
        kinds: &BTreeSet<KindVersion>,
    ) -> Result<BTreeMap<Kind, Scope>, ClusterFault> {
        self.call(None, |world| {
            let served =
                kinds.iter().filter(|version| unknown_kind(world, &version.kind).is_none());
            let scope = |kind: &str| match kind {
                "Namespace" | "CustomResourceDefinition" => Scope::Cluster,
                _ => Scope::Namespaced,
            };
            Ok(served.map(|one| (one.kind.clone(), scope(&one.kind.kind))).collect())
        })
        .await
    }

    async fn apply(&self, manifest: &Manifest, mode: ApplyMode) -> Result<Applied, ClusterFault> {
        let applied = self.call(slot_of(&manifest.key), |world| apply(world, manifest, mode)).await;
        self.handle.with(|world| {
            if applied.is_ok() && mode == ApplyMode::Force {
                world.answered(&manifest.key);
            }
            match applied {
                Err(ClusterFault::Invalid { message })
                    if world.git.sabotage == Sabotage::PutsNothingOff
                        && world.goes_back(manifest) =>
                {
                    Err(ClusterFault::Unavailable { message })
                }
                applied => applied,
            }
        })
    }

    async fn get(&self, key: &ObjectKey, _version: &str) -> Result<Option<Value>, ClusterFault> {
        self.call(slot_of(key), |world| match unknown_kind(world, &key.kind()) {
            Some(unknown) => Err(unknown),
            None => Ok(world.objects.get(key).map(LiveObject::answer)),
        })
        .await
    }

    async fn list(
        &self,
        kind: &KindVersion,
        namespace: &str,
        selector: &str,
        each: impl FnMut(Value),
    ) -> Result<(), ClusterFault> {
        let prefix = format!("{APP_LABEL}=");
        let app = selector.strip_prefix(&prefix);
        self.call(app.map(content::slot_of), |world| {
            if let Some(unknown) = unknown_kind(world, &kind.kind) {
                return Err(unknown);
            }
            if let Some(name) = selector.strip_prefix("run=") {
                let pods = world.objects.values().filter_map(LiveObject::pod);
                let is_its = |pod: &Value| {
                    let metadata = &pod["metadata"];
                    metadata["namespace"] == namespace && metadata["labels"]["run"] == name
                };
                pods.filter(is_its).for_each(each);
                return Ok(());
            }
            world
                .objects
                .iter()
                .filter(|(key, _)| key.kind() == kind.kind)
                .filter(|(key, _)| namespace.is_empty() || key.namespace == namespace)
                .filter(|(_, object)| app.is_none() || object.app().as_deref() == app)
                .map(|(_, object)| object.answer())
                .for_each(each);
            Ok(())
        })
        .await
    }

    async fn delete(&self, key: &ObjectKey, _version: &str, uid: &str) -> Result<(), ClusterFault> {
        self.call(slot_of(key), |world| {
            let Some(object) = world.objects.get(key) else { return Ok(()) };
            if object.uid != uid {
                return Err(ClusterFault::Conflict { message: "the uid differs".to_owned() });
            }
            let object = object.clone();
            world.check_deletion(key, &object);
            world.note(&format!("deleted {key}"));
            remove(world, key);
            Ok(())
        })
        .await
    }

    fn watch(&self, kinds: BTreeSet<KindVersion>) {
        self.handle.with(|world| {
            let new: Vec<KindVersion> = kinds.difference(&world.watched).cloned().collect();
            world.watched = kinds;
            for kind in new {
                list_kind(world, &kind.kind);
            }
        });
    }

    fn announce(&self, _event: &Event) {}
}

/// Tells the watch of a kind all that there is, as after a (re)connect.
pub(crate) fn list_kind(world: &mut World, kind: &Kind) {
    if world.weather.api_down {
        world.send(Seen::Lost { kind: kind.clone(), fault: unreachable("connection refused") });
        return;
    }
    if let Some(fault) = unknown_kind(world, kind) {
        world.send(Seen::Lost { kind: kind.clone(), fault });
        return;
    }
    let found: Vec<_> = world
        .objects
        .iter()
        .filter(|(key, _)| key.kind() == *kind)
        .filter_map(|(key, object)| object.sighting(key))
        .collect();
    let keys = found.iter().map(|sighting| sighting.key.clone()).collect();
    for sighting in found {
        world.send(Seen::Present(sighting));
    }
    world.send(Seen::Listed { kind: kind.clone(), keys, version: Some(world.writes) });
}

/// Every watch connects anew.
pub(crate) fn relist(world: &mut World) {
    for kind in world.watched.clone() {
        list_kind(world, &kind.kind);
    }
}

pub(crate) fn seen(world: &mut World, key: &ObjectKey) {
    let sighting = world.objects.get(key).and_then(|object| object.sighting(key));
    if let Some(sighting) = sighting.filter(|_| is_watched(world, key)) {
        world.send(Seen::Present(sighting));
    }
}

fn is_watched(world: &World, key: &ObjectKey) -> bool {
    !world.weather.api_down && world.watched.iter().any(|kind| kind.kind == key.kind())
}

/// Deletes an object; a namespace takes what lives in it along, and a definition
/// all objects of its kind.
pub(crate) fn remove(world: &mut World, key: &ObjectKey) {
    let Some(object) = world.objects.remove(key) else { return };
    world.writes += 1;
    world.removed(key, &object);
    if is_watched(world, key) {
        let is_forgetful = world.git.sabotage == Sabotage::ForgetsRuns;
        let trace = match object.trace(key) {
            Trace::Ended(_) if is_forgetful => Trace::Unfinished,
            trace => trace,
        };
        world.send(Seen::Gone { key: key.clone(), uid: Some(object.uid), trace });
    }
    let takes = |other: &&ObjectKey| match key.kind.as_str() {
        "Namespace" => other.namespace == key.name,
        "CustomResourceDefinition" => key.name == format!("widgets.{}", other.group),
        _ => false,
    };
    let inside: Vec<ObjectKey> = world.objects.keys().filter(takes).cloned().collect();
    for other in inside {
        remove(world, &other);
    }
}

/// Finished Jobs go by themselves when their time is over.
pub(crate) async fn remove_expired(handle: Handle) {
    loop {
        tokio::time::sleep(TURN_OF_CONTROLLERS).await;
        handle.with(|world| {
            let expired = world.objects.iter().filter(|(_, object)| object.has_expired());
            let expired: Vec<ObjectKey> = expired.map(|(key, _)| key.clone()).collect();
            for key in expired {
                world.note(&format!("{key} is over, and goes"));
                remove(world, &key);
            }
        });
    }
}
