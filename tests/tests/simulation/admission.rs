//! What the simulated API server takes, and what it refuses in which words.

use std::time::Duration;

use leeward::edge::ApplyMode;
use leeward_core::model::{
    APP_LABEL, Applied, ClusterFault, Kind, KindVersion, Manifest, ObjectKey, REVISION_ANNOTATION,
    owned_digest,
};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    cluster::{list_kind, seen},
    content::{HOME_OF_WANDERERS, level},
    live::{Behaviour, LiveObject, fields_of},
    world::World,
};

pub(crate) fn apply(
    world: &mut World,
    manifest: &Manifest,
    mode: ApplyMode,
) -> Result<Applied, ClusterFault> {
    let key = &manifest.key;
    if let Some(fault) = refusal(world, key, &manifest.body, mode) {
        return Err(fault);
    }
    let before = world.objects.get(key).cloned();
    let created = before.is_none();
    let changed = before.as_ref().is_none_or(|before| before.body != manifest.body);
    let uid = match &before {
        Some(before) => before.uid.clone(),
        None if mode == ApplyMode::DryRun => "dry".to_owned(),
        None => world.uid(),
    };
    let now = Instant::now();
    let owner = &manifest.body["metadata"]["labels"][APP_LABEL];
    let moves = |before: &LiveObject| before.body["metadata"]["labels"][APP_LABEL] != *owner;
    let object = LiveObject {
        has_moved: before.as_ref().is_some_and(|before| before.has_moved || moves(before)),
        uid: uid.clone(),
        generation: before.as_ref().map_or(1, |before| before.generation + u64::from(changed)),
        body: manifest.body.clone(),
        owned: Some(fields_of(&manifest.body)),
        edited: None,
        changed_at: before.as_ref().filter(|_| !changed).map_or(now, |before| before.changed_at),
        created_at: before.as_ref().map_or(now, |before| before.created_at),
        pulled_at: pulled_at(world, key, &manifest.body, mode),
    };
    let fields = owned_digest(&object.answer()).expect("our manager has just applied");
    if mode == ApplyMode::Force {
        check_not_bad(world, manifest);
        world.note(&format!("applied {key}"));
        if created {
            world.created(key, &uid);
        }
        world.objects.insert(key.clone(), object);
        world.writes += 1;
        seen(world, key);
        if created {
            relist_kind_of(world, key);
        }
    }
    let version = Some(world.writes);
    Ok(Applied { uid, fields, created, handed_over: false, left_alone: false, version })
}

/// The watch of a kind begins once its definition is there.
fn relist_kind_of(world: &mut World, key: &ObjectKey) {
    let group = key.name.strip_prefix("widgets.").unwrap_or_default();
    let kinds = world.watched.iter().map(|version| version.kind.clone());
    let kinds: Vec<Kind> =
        kinds.filter(|kind| kind.group == group && kind.kind == "Widget").collect();
    for kind in &kinds {
        list_kind(world, kind);
    }
}

/// An image begins to come when it is first asked for, and is there from then on.
fn pulled_at(world: &mut World, key: &ObjectKey, body: &Value, mode: ApplyMode) -> Option<Instant> {
    let seconds = Behaviour::of(body).pulls().filter(|_| mode == ApplyMode::Force)?;
    let arrives = Instant::now() + Duration::from_secs(seconds);
    Some(*world.images.entry(format!("{key} {seconds}")).or_insert(arrives))
}

/// Why the API server does not take an object, as things are now.
pub(crate) fn refusal(
    world: &World,
    key: &ObjectKey,
    body: &Value,
    mode: ApplyMode,
) -> Option<ClusterFault> {
    let invalid = |message: String| Some(ClusterFault::Invalid { message });
    if !has_namespace(world, &key.namespace) {
        let message = format!("namespaces \"{}\" not found", key.namespace);
        return Some(ClusterFault::NotFound { message });
    }
    if let Some(unknown) = unknown_kind(world, &key.kind()) {
        return Some(unknown);
    }
    match Behaviour::of(body) {
        Behaviour::Invalid => return invalid("spec is invalid".to_owned()),
        Behaviour::SurprisesAtApply if mode == ApplyMode::Force => {
            return invalid("a quota is exceeded".to_owned());
        }
        _ => {}
    }
    let (name, wants) = (&key.name, body["spec"]["size"].as_u64().unwrap_or(0));
    if let Some(hard) = quota(world, &key.namespace).filter(|hard| wants > *hard) {
        return invalid(format!(
            "deployments.apps \"{name}\" is forbidden: exceeded quota: quota, requested: size={wants}, limited: size={hard}"
        ));
    }
    let field = body["spec"]["field"].as_u64().unwrap_or(0);
    if field > definition(world, &key.kind()).and_then(|one| level(&one.body)).unwrap_or(field) {
        return invalid(format!(
            "failed to create typed patch object ({name}): .spec.field{field}: field not declared in schema"
        ));
    }
    let live = world.objects.get(key).and_then(|live| level(&live.body))?;
    if level(body).is_none_or(|wanted| wanted >= live) {
        return None;
    }
    invalid(if key.kind == "PersistentVolumeClaim" {
        "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
            .to_owned()
    } else {
        format!(
            "status.storedVersions[{}]: Invalid value: \"v{live}\": missing from spec.versions; v{live} was previously a storage version",
            live - 1
        )
    })
}

fn has_namespace(world: &World, name: &str) -> bool {
    let is = |key: &&ObjectKey| key.is("", "Namespace") && key.name == name;
    name.is_empty() || name == HOME_OF_WANDERERS || world.objects.keys().any(|key| is(&key))
}

fn quota(world: &World, namespace: &str) -> Option<u64> {
    let is = |key: &ObjectKey| key.is("", "ResourceQuota") && key.namespace == namespace;
    let (_, quota) = world.objects.iter().find(|(key, _)| is(key))?;
    quota.body["spec"]["hard"]["size"].as_u64()
}

/// The live definition of a kind that Kubernetes does not bring.
fn definition<'a>(world: &'a World, kind: &Kind) -> Option<&'a LiveObject> {
    let name = format!("widgets.{}", kind.group);
    let found = world.objects.iter().find(|(key, _)| key.name == name);
    found.filter(|_| kind.kind == "Widget").map(|(_, object)| object)
}

/// A kind is served once its definition is in.
pub(crate) fn unknown_kind(world: &World, kind: &Kind) -> Option<ClusterFault> {
    let is_unknown = kind.kind == "Widget" && definition(world, kind).is_none();
    let version = KindVersion { kind: kind.clone(), version: "v1".to_owned() };
    is_unknown.then_some(ClusterFault::UnknownKind(version))
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
