//! Tries the room against a real API server: the one that
//! `$LEEWARD_TEST_KUBECONFIG` names, which must be disposable. Without it these
//! tests say that they were skipped.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use leeward_core::{
    model::{APP_LABEL, ClusterFault, Kind, KindVersion, Manifest, ObjectKey, Origin, Seen},
    report::{Event, EventKind},
};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{Kubernetes, LeaseHolder, LeaseLost};
use crate::{
    config::ClusterConfig,
    edge::{ApplyMode, Cluster},
};

/// For anything to happen; a loaded machine takes its time.
const PATIENCE: Duration = Duration::from_secs(30);

struct World {
    cluster: Kubernetes,
    seen: mpsc::Receiver<Seen>,
    namespace: String,
}

#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
async fn world() -> Option<World> {
    static NAMESPACES: AtomicU32 = AtomicU32::new(0);
    let Ok(kubeconfig) = std::env::var("LEEWARD_TEST_KUBECONFIG") else {
        eprintln!("skipped: LEEWARD_TEST_KUBECONFIG names no disposable cluster");
        return None;
    };
    drop(rustls::crypto::ring::default_provider().install_default());
    let (sender, seen) = mpsc::channel(16);
    let cluster = connect(kubeconfig.into(), sender).await;
    let number = NAMESPACES.fetch_add(1, Ordering::Relaxed);
    let namespace = format!("live-{}-{number}", std::process::id());
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    cluster.apply(&manifest(body), ApplyMode::Force).await.unwrap();
    Some(World { cluster, seen, namespace })
}

async fn connect(kubeconfig: camino::Utf8PathBuf, sightings: mpsc::Sender<Seen>) -> Kubernetes {
    let config = ClusterConfig {
        name: "test".into(),
        labels: BTreeMap::new(),
        kubeconfig: Some(kubeconfig),
    };
    Kubernetes::connect(&config, sightings).await.unwrap()
}

impl World {
    fn config_map(&self, name: &str, value: &str) -> Manifest {
        manifest(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"key": value},
            "metadata": {"name": name, "namespace": self.namespace, "labels": {APP_LABEL: "shop"}}}))
    }

    async fn force(&self, body: Value) -> Result<(), ClusterFault> {
        self.cluster.apply(&manifest(body), ApplyMode::Force).await.map(drop)
    }

    async fn get(&self, manifest: &Manifest) -> Option<Value> {
        self.cluster.get(&manifest.key, &manifest.version).await.unwrap()
    }

    /// The next thing seen of `key`, or of its kind as a whole.
    async fn next_of(&mut self, key: &ObjectKey) -> Seen {
        let wanted = |seen: &Seen| match seen {
            Seen::Present(sighting) => sighting.key == *key,
            Seen::Gone { key: gone, .. } => gone == key,
            Seen::Listed { kind, .. } | Seen::Lost { kind, .. } => *kind == key.kind(),
        };
        let next = async {
            loop {
                let seen = self.seen.recv().await.unwrap();
                if wanted(&seen) {
                    return seen;
                }
            }
        };
        timeout(PATIENCE, next).await.unwrap()
    }
}

fn manifest(body: Value) -> Manifest {
    Manifest::new(body, Origin::default()).unwrap()
}

fn kind(group: &str, kind: &str, version: &str) -> KindVersion {
    KindVersion { kind: Kind::new(group, kind), version: version.into() }
}

fn deployment(namespace: &str, label: &str, extra: &Value) -> Value {
    let mut body = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": label}},
            "template": {"metadata": {"labels": {"app": label}},
                "spec": {"containers": [{"name": "web", "image": "web"}]}}}});
    if let Some(extra) = extra.as_object() {
        for (name, value) in extra {
            body["spec"][name] = value.clone();
        }
    }
    body
}

#[tokio::test]
async fn an_object_lives_from_dry_run_to_delete() {
    let Some(world) = world().await else { return };
    let one = world.config_map("one", "a");

    let tried = world.cluster.apply(&one, ApplyMode::DryRun).await.unwrap();
    assert!(tried.created);
    assert_eq!(world.get(&one).await, None);

    let created = world.cluster.apply(&one, ApplyMode::Force).await.unwrap();
    assert!(created.created);
    assert_eq!(created.fields, tried.fields);
    let again = world.cluster.apply(&one, ApplyMode::Force).await.unwrap();
    assert_eq!((again.created, again.fields, &again.uid), (false, created.fields, &created.uid));

    let maps = kind("", "ConfigMap", "v1");
    let mut keys = Vec::new();
    let note = |listed| keys.extend(ObjectKey::of(&listed));
    world.cluster.list(&maps, &world.namespace, APP_LABEL, note).await.unwrap();
    assert_eq!(keys, std::slice::from_ref(&one.key));

    let other = world.cluster.delete(&one.key, "v1", "another-uid").await;
    assert!(matches!(other, Err(ClusterFault::Conflict { .. })), "{other:?}");
    assert!(world.get(&one).await.is_some());
    world.cluster.delete(&one.key, "v1", &created.uid).await.unwrap();
    world.cluster.delete(&one.key, "v1", &created.uid).await.unwrap();
}

#[tokio::test]
async fn a_field_that_is_handed_over_keeps_its_value_when_we_drop_it() {
    let Some(world) = world().await else { return };
    let both = world.config_map("one", "a");
    world.cluster.apply(&both, ApplyMode::Force).await.unwrap();
    world.cluster.apply(&both, ApplyMode::HandOver).await.unwrap();
    let mut fewer = both.clone();
    fewer.body["data"] = json!({});
    world.cluster.apply(&fewer, ApplyMode::Force).await.unwrap();
    let live = world.get(&both).await.unwrap();
    assert_eq!(live.pointer("/data/key"), Some(&json!("a")));
}

#[tokio::test]
async fn refusals_say_whose_fault_it_is() {
    let Some(world) = world().await else { return };
    let namespace = world.namespace.as_str();
    world.force(deployment(namespace, "a", &json!({}))).await.unwrap();
    let secret = |field: &str, value: Value| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": namespace},
            field: value})
    };
    let mut elsewhere = world.config_map("one", "a").body;
    elsewhere["metadata"]["namespace"] = json!("nowhere");
    let bodies = [
        deployment(namespace, "b", &json!({})),
        deployment(namespace, "a", &json!({"replicas": -1})),
        deployment(namespace, "a", &json!({"replcas": 1})),
        deployment(namespace, "a", &json!({"replicas": "two"})),
        elsewhere,
        json!({"apiVersion": "example.com/v1", "kind": "Nothing", "metadata": {"name": "x"}}),
        secret("stringData", json!({"password": 5})),
        secret("data", json!({"password": "hunter2!"})),
    ];
    let mut said = Vec::new();
    for body in bodies {
        said.push(match world.force(body).await.unwrap_err() {
            ClusterFault::Immutable { message } => format!("immutable: {message}"),
            ClusterFault::NotFound { message } => format!("not found: {message}"),
            ClusterFault::Invalid { message } => format!("invalid: {message}"),
            fault => fault.to_string(),
        });
    }
    insta::assert_snapshot!(said.join("\n"), @r#"
        immutable: spec.selector: Invalid value: {"matchLabels":{"app":"b"}}: field is immutable
        invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0
        invalid: .spec.replcas: field not declared in schema
        invalid: .spec.replicas: expected numeric (int or float), got string
        not found: namespaces "nowhere" not found
        the API server does not know the kind Nothing.example.com in version v1
        invalid: .stringData.password: expected string
        invalid: illegal base64 in `data`
        "#);
}

#[tokio::test]
async fn a_watch_sees_what_was_there_what_changes_and_what_goes() {
    let Some(mut world) = world().await else { return };
    let one = world.config_map("one", "a");
    let ours = world.cluster.apply(&one, ApplyMode::Force).await.unwrap();
    let run = world.cluster.run();
    let watched = async {
        world.cluster.watch(BTreeSet::from([kind("", "ConfigMap", "v1")]));

        let Seen::Present(first) = world.next_of(&one.key).await else { panic!("not present") };
        assert_eq!(first.fields, Some(ours.fields));
        assert_eq!((first.app.as_str(), &first.uid), ("shop", &ours.uid));
        let Seen::Listed { keys, .. } = world.next_of(&one.key).await else { panic!("no list") };
        assert!(keys.contains(&one.key));

        // Somebody else takes the field.
        let mut theirs = one.clone();
        theirs.body["data"]["key"] = json!("b");
        world.cluster.apply(&theirs, ApplyMode::HandOver).await.unwrap();
        let Seen::Present(drifted) = world.next_of(&one.key).await else { panic!("no change") };
        assert_ne!(drifted.fields, Some(ours.fields));

        world.cluster.delete(&one.key, "v1", &ours.uid).await.unwrap();
        loop {
            match world.next_of(&one.key).await {
                Seen::Gone { .. } => break,
                Seen::Present(sighting) => assert!(sighting.deleting),
                seen => panic!("{seen:?}"),
            }
        }
    };
    tokio::select! { () = run => panic!("ended"), () = watched => {} }
}

#[tokio::test]
async fn a_kind_that_a_definition_brings_is_known_soon_after() {
    let Some(world) = world().await else { return };
    let group = format!("{}.example.com", world.namespace);
    let shops = BTreeSet::from([kind(&group, "Shop", "v1")]);
    assert!(world.cluster.scopes(&shops).await.unwrap().is_empty());
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object",
        "properties": {"size": {"type": "integer"}}}}});
    world
        .force(json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("shops.{group}")},
        "spec": {"group": group, "scope": "Namespaced",
            "names": {"plural": "shops", "singular": "shop", "kind": "Shop", "listKind": "ShopList"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema}}]}}))
        .await
        .unwrap();
    let known = async {
        while world.cluster.scopes(&shops).await.unwrap().is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, known).await.unwrap();
    let shop = |spec: Value| {
        json!({"apiVersion": format!("{group}/v1"), "kind": "Shop", "spec": spec,
            "metadata": {"name": "one", "namespace": world.namespace}})
    };
    world.force(shop(json!({"size": 1}))).await.unwrap();
    let unknown = world.force(shop(json!({"sise": 1}))).await;
    assert!(
        matches!(&unknown, Err(ClusterFault::Invalid { message }) if message.contains("sise")),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn one_of_two_leads_and_the_other_follows_when_it_lets_go() {
    let Some(world) = world().await else { return };
    let mut one = LeaseHolder::named(&world.cluster, "one");
    let mut two = LeaseHolder::named(&world.cluster, "two");
    timeout(PATIENCE, one.acquire()).await.unwrap();
    assert!(timeout(Duration::from_secs(3), two.acquire()).await.is_err());
    one.release().await;
    assert_eq!(one.hold().await, LeaseLost::NotHeld);
    timeout(PATIENCE, two.acquire()).await.unwrap();
    two.release().await;
}

#[tokio::test]
async fn credentials_that_are_replaced_in_their_file_are_used_at_once() {
    let Some(world) = world().await else { return };
    let original = std::fs::read_to_string(std::env::var("LEEWARD_TEST_KUBECONFIG").unwrap());
    let original = original.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = camino::Utf8PathBuf::from_path_buf(folder.path().join("config")).unwrap();
    std::fs::write(&file, original.replace("users:", "nobody:")).unwrap();
    let (sender, _seen) = mpsc::channel(1);
    let cluster = connect(file.clone(), sender).await;
    let one = world.config_map("one", "a");
    let refused = cluster.apply(&one, ApplyMode::DryRun).await;
    assert!(matches!(refused, Err(ClusterFault::Forbidden { .. })), "{refused:?}");

    std::fs::write(&file, original).unwrap();
    let accepted = async {
        while cluster.apply(&one, ApplyMode::DryRun).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, accepted).await.unwrap();
}

#[tokio::test]
async fn a_probe_names_version_and_permissions() {
    let Some(world) = world().await else { return };
    let kinds = BTreeSet::from([kind("apps", "Deployment", "v1"), kind("x.y", "Nothing", "v1")]);
    let probe = world.cluster.probe(&kinds).await.unwrap();
    assert!(probe.version.starts_with("v1."), "{probe:?}");
    assert_eq!(probe.unknown, [kind("x.y", "Nothing", "v1")]);
    let allowed: Vec<_> =
        probe.permissions.iter().filter(|it| it.allowed).map(|it| it.what.as_str()).collect();
    assert_eq!(
        allowed.join(", "),
        "get deployments.apps, list deployments.apps, watch deployments.apps, create deployments.apps, patch deployments.apps, delete deployments.apps"
    );
}

#[tokio::test]
async fn what_is_announced_becomes_an_event() {
    let Some(world) = world().await else { return };
    let reason = format!("not healthy in {}", world.namespace);
    let event = Event {
        kind: EventKind::AppRolledBack,
        subject: Some("shop".into()),
        data: json!({"reason": reason}),
    };
    world.cluster.announce(&event);
    let events = kind("", "Event", "v1");
    let written = async {
        loop {
            let mut found = Vec::new();
            let note = |event| found.push(event);
            world.cluster.list(&events, "default", "", note).await.unwrap();
            let ours = found.into_iter().find(|event| {
                event["message"].as_str().is_some_and(|message| message.contains(&reason))
            });
            if let Some(event) = ours {
                return event;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let event = tokio::select! {
        () = world.cluster.run() => panic!("ended"),
        event = timeout(PATIENCE, written) => event.unwrap(),
    };
    assert_eq!((&event["reason"], &event["type"]), (&json!("RolledBack"), &json!("Warning")));
    assert!(event["lastTimestamp"].is_string(), "{event}");
}
