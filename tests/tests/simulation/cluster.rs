//! A cluster that fails, hangs and lies.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use leeward::edge::{ApplyMode, Cluster};
use leeward_core::{
    model::{
        APP_LABEL, Applied, ClusterFault, Kind, KindVersion, Manifest, ObjectKey,
        REVISION_ANNOTATION, Scope, Seen, Trace, owned_digest,
    },
    report::Event,
};
use serde_json::Value;

use super::{
    live::{Behaviour, LiveObject, fields_of},
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

/// How long a request hangs before it fails.
pub(crate) const HANG: Duration = Duration::from_secs(10);

/// The app whose namespace an object is, or lives in.
fn app_of(key: &ObjectKey) -> Option<&str> {
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
        let (hangs, late) = self.handle.with(|world| {
            let (hangs, late) = (world.weather.api_hangs, world.weather.api_late);
            let stuck = app.is_some() && world.hanging.as_deref() == app;
            let hangs = stuck || world.dice.percent(hangs);
            let late = world.dice.percent(late).then(|| 1 + world.dice.below(9));
            (hangs, late)
        });
        if hangs {
            self.handle.hangs.notify_one();
            tokio::time::sleep(HANG).await;
            return Err(unreachable("no answer within 10 s"));
        }
        if let Some(seconds) = late {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
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

    async fn call<T>(
        &self,
        app: Option<&str>,
        act: impl FnOnce(&mut World) -> Result<T, ClusterFault>,
    ) -> Result<T, ClusterFault> {
        match self.fate(app).await? {
            Fate::Works => self.handle.with(act),
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
        self.call(None, |_| {
            Ok(kinds
                .iter()
                .map(|version| {
                    let cluster = version.kind.kind == "Namespace";
                    (version.kind.clone(), if cluster { Scope::Cluster } else { Scope::Namespaced })
                })
                .collect())
        })
        .await
    }

    async fn apply(&self, manifest: &Manifest, mode: ApplyMode) -> Result<Applied, ClusterFault> {
        self.call(app_of(&manifest.key), |world| apply(world, manifest, mode)).await
    }

    async fn get(&self, key: &ObjectKey, _version: &str) -> Result<Option<Value>, ClusterFault> {
        self.call(app_of(key), |world| Ok(world.objects.get(key).map(LiveObject::answer))).await
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
        self.call(app, |world| {
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
        self.call(app_of(key), |world| {
            let Some(object) = world.objects.get(key) else { return Ok(()) };
            if object.uid != uid {
                return Err(ClusterFault::Conflict { message: "the uid differs".to_owned() });
            }
            if !object.is_ours() {
                world.violate(format!("deleted {key}, which is not ours"));
            } else if let Some(app) = object.app()
                && world.git.always_declares(&app, key)
            {
                world.violate(format!("deleted {key}, which Git declared all along"));
            }
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
    world.send(Seen::Listed { kind: kind.clone(), keys });
}

/// Every watch connects anew.
pub(crate) fn relist(world: &mut World) {
    for kind in world.watched.clone() {
        list_kind(world, &kind.kind);
    }
}

pub(crate) fn seen(world: &mut World, key: &ObjectKey) {
    let watched = world.watched.iter().any(|kind| kind.kind == key.kind());
    if !watched || world.weather.api_down {
        return;
    }
    let news = match world.objects.get(key) {
        Some(object) => object.sighting(key).map(Seen::Present),
        None => Some(Seen::Gone { key: key.clone(), uid: None, trace: Trace::Nothing }),
    };
    if let Some(news) = news {
        world.send(news);
    }
}

/// Deletes an object; a namespace takes what lives in it along.
pub(crate) fn remove(world: &mut World, key: &ObjectKey) {
    world.objects.remove(key);
    seen(world, key);
    if key.is("", "Namespace") {
        let inside: Vec<ObjectKey> =
            world.objects.keys().filter(|other| other.namespace == key.name).cloned().collect();
        for other in inside {
            world.objects.remove(&other);
            seen(world, &other);
        }
    }
}

fn apply(world: &mut World, manifest: &Manifest, mode: ApplyMode) -> Result<Applied, ClusterFault> {
    let key = &manifest.key;
    if !key.namespace.is_empty() {
        let home = ObjectKey {
            group: String::new(),
            kind: "Namespace".to_owned(),
            namespace: String::new(),
            name: key.namespace.clone(),
        };
        if !world.objects.contains_key(&home) {
            let message = format!("namespaces \"{}\" not found", key.namespace);
            return Err(ClusterFault::NotFound { message });
        }
    }
    match Behaviour::of(&manifest.body) {
        Behaviour::Invalid => {
            return Err(ClusterFault::Invalid { message: "spec is invalid".to_owned() });
        }
        Behaviour::SurprisesAtApply if mode == ApplyMode::Force => {
            return Err(ClusterFault::Invalid { message: "a quota is exceeded".to_owned() });
        }
        _ => {}
    }
    let before = world.objects.get(key).cloned();
    let created = before.is_none();
    let changed = before.as_ref().is_none_or(|before| before.body != manifest.body);
    let uid = match &before {
        Some(before) => before.uid.clone(),
        None if mode == ApplyMode::DryRun => "dry".to_owned(),
        None => world.uid(),
    };
    let object = LiveObject {
        uid: uid.clone(),
        generation: before.as_ref().map_or(1, |before| before.generation + u64::from(changed)),
        body: manifest.body.clone(),
        owned: Some(fields_of(&manifest.body)),
        edited: None,
        changed_at: match &before {
            Some(before) if !changed => before.changed_at,
            _ => tokio::time::Instant::now(),
        },
    };
    let fields = owned_digest(&object.answer()).expect("our manager has just applied");
    if mode == ApplyMode::Force {
        check_not_bad(world, manifest);
        world.note(&format!("applied {key}"));
        world.objects.insert(key.clone(), object);
        seen(world, key);
    }
    Ok(Applied { uid, fields, created, handed_over: false, left_alone: false })
}

/// Content that is durably known to be bad must never be sent again.
fn check_not_bad(world: &mut World, manifest: &Manifest) {
    let (Some(app), Some(commit)) = (
        manifest.body["metadata"]["labels"][APP_LABEL].as_str(),
        manifest.annotation(REVISION_ANNOTATION),
    ) else {
        world.violate(format!("{} was sent without our marks", manifest.key));
        return;
    };
    let Some(tree) = world.git.tree(app, commit) else {
        world.violate(format!(
            "{} was sent for commit {commit}, which does not have the app",
            manifest.key
        ));
        return;
    };
    if world.known_bad.contains(&(app.to_owned(), tree)) {
        let what = manifest.key.clone();
        world.violate(format!(
            "bad content {tree} of {app} was sent again: {what}, commit {commit}"
        ));
    }
}
