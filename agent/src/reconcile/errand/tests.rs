//! Errands on a small cluster in memory: what each finds out, and what it leaves alone.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use camino::Utf8PathBuf;
use jiff::Timestamp;
use leeward_core::{
    model::{
        APP_LABEL, AppSpec, Applied, ClusterFault, FIELD_MANAGER, GitId, InventoryEntry, Kind,
        KindVersion, Manifest, ObjectKey, Origin, Scope, owned_digest,
    },
    plan::{
        desired::{Desired, Surroundings},
        judges::Judges,
        marks::leaves_alone,
        order::{Apply, PlanInput, plan},
    },
    report::Event,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        budget::{Budget, Class, IN_FLIGHT},
        outside::Outside,
    },
    delete::{Deletion, delete},
    free::free,
    look::{Look, look},
    preflight::dry_run,
    send::{Consignment, send},
};
use crate::{
    clock::Clock,
    edge::{ApplyMode, Cluster},
    offload::Offload,
    store::Store,
};

pub(super) fn spec(name: &str) -> AppSpec {
    serde_json::from_value(json!({
        "name": name, "path": "", "depends_on": [], "heal": "always",
        "timeout": { "secs": 1, "nanos": 0 }, "soak": { "secs": 1, "nanos": 0 },
        "prune": { "max_objects": 1, "max_share": 1.0 }, "ignore_differences": [],
    }))
    .unwrap()
}

/// Objects by key. One with `immutable` cannot be changed, one with finalizers
/// does not go, one that says `invalid` is refused, and one that says `hangs`
/// never has an answer.
#[derive(Debug, Default)]
struct SmallCluster {
    objects: RefCell<BTreeMap<ObjectKey, Value>>,
    /// What was asked, in order.
    asked: RefCell<Vec<String>>,
}

impl SmallCluster {
    fn put(&self, object: Value) -> ObjectKey {
        let key = ObjectKey::of(&object).unwrap();
        self.objects.borrow_mut().insert(key.clone(), object);
        key
    }

    fn note(&self, what: &str, key: &ObjectKey) {
        self.asked.borrow_mut().push(format!("{what} {}", key.name));
    }
}

impl Cluster for SmallCluster {
    async fn scopes(
        &self,
        kinds: &BTreeSet<KindVersion>,
    ) -> Result<BTreeMap<Kind, Scope>, ClusterFault> {
        Ok(kinds.iter().map(|kind| (kind.kind.clone(), Scope::Namespaced)).collect())
    }

    async fn apply(&self, manifest: &Manifest, mode: ApplyMode) -> Result<Applied, ClusterFault> {
        let key = &manifest.key;
        self.note(if mode == ApplyMode::DryRun { "try" } else { "apply" }, key);
        if manifest.body["data"]["value"] == "hangs" {
            std::future::pending::<()>().await;
        }
        let before = self.objects.borrow().get(key).cloned();
        if manifest.body["data"]["value"] == "invalid" {
            return Err(ClusterFault::Invalid { message: "is invalid".to_owned() });
        }
        if before.as_ref().is_some_and(|live| live["immutable"] == true) {
            return Err(ClusterFault::Immutable { message: "field is immutable".to_owned() });
        }
        let mut after = manifest.body.clone();
        let kept = before.as_ref().map_or(&Value::Null, |live| &live["metadata"]["annotations"]);
        for (name, value) in kept.as_object().into_iter().flatten() {
            after["metadata"]["annotations"][name] = value.clone();
        }
        after["metadata"]["uid"] = json!("u");
        let left_alone = leaves_alone(&after).is_some();
        after["metadata"]["managedFields"] = ours();
        let fields = owned_digest(&after).unwrap();
        if mode != ApplyMode::DryRun {
            self.put(after);
        }
        let (uid, created) = ("u".to_owned(), before.is_none());
        Ok(Applied { uid, fields, created, handed_over: false, left_alone, version: None })
    }

    async fn get(&self, key: &ObjectKey, _version: &str) -> Result<Option<Value>, ClusterFault> {
        self.note("get", key);
        Ok(self.objects.borrow().get(key).cloned())
    }

    async fn list(
        &self,
        kind: &KindVersion,
        _namespace: &str,
        _selector: &str,
        each: impl FnMut(Value),
    ) -> Result<(), ClusterFault> {
        self.asked.borrow_mut().push(format!("list {}", kind.kind.kind));
        let objects = self.objects.borrow();
        let found = objects.iter().filter(|(key, _)| key.kind() == kind.kind);
        found.map(|(_, object)| object.clone()).for_each(each);
        Ok(())
    }

    async fn delete(
        &self,
        key: &ObjectKey,
        _version: &str,
        _uid: &str,
    ) -> Result<(), ClusterFault> {
        self.note("delete", key);
        let mut objects = self.objects.borrow_mut();
        let Some(live) = objects.get_mut(key) else { return Ok(()) };
        if live["metadata"]["finalizers"].is_array() {
            live["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        } else {
            objects.remove(key);
        }
        Ok(())
    }

    fn watch(&self, _kinds: BTreeSet<KindVersion>) {}

    fn announce(&self, _event: &Event) {}
}

fn ours() -> Value {
    json!([{"manager": FIELD_MANAGER, "operation": "Apply", "apiVersion": "v1",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {}}}])
}

fn map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"value": value},
        "metadata": {"name": name, "namespace": "shop"}})
}

/// A live object of ours, with more in its metadata.
fn live(name: &str, more: &Value) -> Value {
    let mut object = map(name, "1");
    object["metadata"]["uid"] = json!("u");
    object["metadata"]["labels"] = json!({APP_LABEL: "shop"});
    object["metadata"]["managedFields"] = ours();
    for (name, value) in more.as_object().unwrap() {
        object["metadata"][name] = value.clone();
    }
    object
}

fn desired(objects: &[Value]) -> Arc<Desired> {
    let manifests: Vec<Manifest> = objects
        .iter()
        .map(|object| Manifest::new(object.clone(), Origin::default()).unwrap())
        .collect();
    let scopes = manifests.iter().map(|one| (one.key.kind(), Scope::Namespaced)).collect();
    let surroundings = Surroundings { scopes, autoscalers: Vec::new() };
    Arc::new(Desired::prepare(manifests, &surroundings, &spec("shop"), GitId::NULL).unwrap())
}

fn applies(desired: &Desired) -> Vec<Vec<Apply>> {
    let (inventory, nothing) = (BTreeMap::new(), BTreeSet::new());
    let input =
        PlanInput { desired, inventory: &inventory, drifted: &nothing, left_alone: &nothing };
    plan(&input).stages.into_iter().map(|stage| stage.applies).collect()
}

fn outside(cluster: SmallCluster) -> (tempfile::TempDir, Outside<SmallCluster>) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
    let store = Arc::new(Store::open(&path.join("store"), 16 << 20).unwrap().store);
    let clock = Clock::simulated(Timestamp::UNIX_EPOCH);
    let (offload, budget) = (Offload::inline(), Budget::default());
    (folder, Outside { cluster, store, clock, offload, budget })
}

fn consignment(desired: &Arc<Desired>) -> Consignment {
    let groups = applies(desired);
    Consignment::new(Arc::clone(desired), groups, &BTreeMap::new(), BTreeSet::new())
}

fn waved(mut object: Value, wave: &str) -> Value {
    object["metadata"]["annotations"]["leeward.dev/wave"] = json!(wave);
    object
}

#[tokio::test]
async fn a_group_with_a_fault_is_sent_whole_and_the_next_one_not_at_all() {
    let (_folder, outside) = outside(SmallCluster::default());
    let means = outside.means(Class::Short, CancellationToken::new());
    let objects = [map("a", "1"), map("b", "invalid"), map("c", "1"), waved(map("late", "1"), "1")];
    let sent = send(&means, &consignment(&desired(&objects))).await;
    let mut names: Vec<_> = sent.applied.iter().map(|(one, _)| one.key.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "c"]);
    assert_eq!(sent.verdicts.refused.len(), 1);
}

#[tokio::test]
async fn an_errand_that_is_told_to_stop_makes_no_new_request() {
    let (_folder, outside) = outside(SmallCluster::default());
    let stop = CancellationToken::new();
    stop.cancel();
    let means = outside.means(Class::Short, stop);
    let sent = send(&means, &consignment(&desired(&[map("a", "1")]))).await;
    assert!(sent.applied.is_empty() && sent.verdicts.is_clean());
    assert!(outside.cluster.asked.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_that_hangs_is_called_off_and_meanwhile_keeps_nobody_out() {
    let (_folder, outside) = outside(SmallCluster::default());
    let stop = CancellationToken::new();
    let maps: Vec<Value> = (0..IN_FLIGHT).map(|at| map(&format!("m{at}"), "hangs")).collect();
    let desired = desired(&maps);
    let keys: Vec<ObjectKey> = desired.objects.iter().map(|one| one.key().clone()).collect();
    let (one, two) = keys.split_at(IN_FLIGHT / 2);
    let nothing = BTreeMap::new();
    let try_out = |keys| {
        let (outside, stop, desired, nothing) = (&outside, stop.clone(), &desired, &nothing);
        async move {
            let judges = Judges::default();
            dry_run(&outside.means(Class::Short, stop), desired, nothing, keys, &judges).await
        }
    };
    let others = async {
        let means = outside.means(Class::Short, CancellationToken::new());
        let answer = means.get(&keys[0], "v1").await;
        stop.cancel();
        answer
    };
    let (one, two, answer) = tokio::join!(try_out(one), try_out(two), others);
    assert_eq!(answer, Ok(None));
    for verdicts in [one, two] {
        assert!(verdicts.obstacle.unwrap().ends_with("the dry-run was called off"));
    }
}

#[tokio::test]
async fn what_is_free_again_is_what_nobody_asks_to_leave_alone() {
    let cluster = SmallCluster::default();
    let asks = json!({"annotations": {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}});
    cluster.put(live("asks", &asks));
    cluster.put(live("free", &json!({})));
    let (_folder, outside) = outside(cluster);
    let means = outside.means(Class::Short, CancellationToken::new());
    let version = |name| (ObjectKey::of(&map(name, "1")).unwrap(), "v1".to_owned());
    let mut found = free(&means, ["asks", "free", "gone"].map(version).to_vec()).await;
    found.sort();
    assert_eq!(found, ["free", "gone"].map(version));
}

#[tokio::test]
async fn an_object_that_is_to_be_replaced_is_awaited_with_what_keeps_it_and_then_made_anew() {
    let cluster = SmallCluster::default();
    let mut fixed = live("fixed", &json!({"finalizers": ["example.com/hold"]}));
    fixed["immutable"] = json!(true);
    let key = cluster.put(fixed);
    let (_folder, outside) = outside(cluster);
    let means = outside.means(Class::Short, CancellationToken::new());
    let mut object = map("fixed", "2");
    object["metadata"]["annotations"]["leeward.dev/replace"] = json!("true");
    let desired = desired(&[object]);
    let first = send(&means, &consignment(&desired)).await;
    assert!(first.applied.is_empty() && first.verdicts.is_clean());
    let why = "it waits for its finalizers example.com/hold".to_owned();
    assert_eq!(first.replacing, [(key.clone(), why)]);

    let replacing = BTreeSet::from([key.clone()]);
    let groups = applies(&desired);
    let again = Consignment::new(Arc::clone(&desired), groups, &BTreeMap::new(), replacing);
    assert_eq!(send(&means, &again).await.replacing.len(), 1);
    outside.cluster.objects.borrow_mut().remove(&key);
    assert_eq!(send(&means, &again).await.applied.len(), 1);
    let deletions =
        outside.cluster.asked.borrow().iter().filter(|one| *one == "delete fixed").count();
    assert_eq!(deletions, 1);
}

#[tokio::test]
async fn a_dry_run_finds_the_objects_whose_live_annotation_asks_to_be_left_alone() {
    let cluster = SmallCluster::default();
    let asks = json!({"annotations": {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}});
    let key = cluster.put(live("theirs", &asks));
    let (_folder, outside) = outside(cluster);
    let means = outside.means(Class::Short, CancellationToken::new());
    let desired = desired(&[map("theirs", "2"), map("ours", "2"), map("bad", "invalid")]);
    let keys: Vec<ObjectKey> = desired.objects.iter().map(|one| one.key().clone()).collect();
    let verdicts = dry_run(&means, &desired, &BTreeMap::new(), &keys, &Judges::default()).await;
    assert_eq!(verdicts.left_alone, BTreeSet::from([key]));
    assert_eq!((verdicts.refused.len(), verdicts.obstacle), (1, None));
}

#[tokio::test]
async fn a_dry_run_that_was_stopped_half_way_clears_nothing() {
    let (_folder, outside) = outside(SmallCluster::default());
    let stop = CancellationToken::new();
    stop.cancel();
    let means = outside.means(Class::Short, stop);
    let desired = desired(&[map("a", "1")]);
    let keys = [desired.objects[0].key().clone()];
    let verdicts = dry_run(&means, &desired, &BTreeMap::new(), &keys, &Judges::default()).await;
    let obstacle = verdicts.obstacle.unwrap();
    insta::assert_snapshot!(obstacle, @"the dry-run came to 0 of 1 objects in its time");
}

#[tokio::test]
async fn only_what_is_ours_is_deleted_and_what_is_going_is_only_looked_at() {
    let cluster = SmallCluster::default();
    let ours = cluster.put(live("ours", &json!({})));
    let theirs = cluster.put(live("theirs", &json!({"labels": {}})));
    let going = cluster.put(live("going", &json!({"deletionTimestamp": "2026-01-01T00:00:00Z"})));
    let gone = ObjectKey { name: "gone".to_owned(), ..ours.clone() };
    let (_folder, outside) = outside(cluster);
    let means = outside.means(Class::Short, CancellationToken::new());
    let due = [&ours, &theirs, &going, &gone].map(|key| (key.clone(), "v1".to_owned()));
    let mut deletions = delete(&means, "shop", due.into(), Default::default()).await;
    deletions.sort_by(|(a, _), (b, _)| a.cmp(b));
    let told: Vec<String> = deletions
        .iter()
        .map(|(key, deletion)| match deletion {
            Deletion::NotOurs(_) => format!("{}: not ours", key.name),
            Deletion::UnderWay(_) => format!("{}: under way", key.name),
            other => format!("{}: {other:?}", key.name),
        })
        .collect();
    assert_eq!(told, ["going: under way", "gone: Gone", "ours: under way", "theirs: not ours"]);
    let asked = outside.cluster.asked.borrow();
    assert_eq!(asked.iter().filter(|one| one.starts_with("delete")).count(), 1);
}

#[tokio::test]
async fn many_objects_of_a_kind_are_listed_and_what_is_missing_is_not_healthy() {
    let cluster = SmallCluster::default();
    let mut keys: Vec<(ObjectKey, String)> = Vec::new();
    for index in 0..9 {
        let mut claim = live(&format!("claim-{index}"), &json!({}));
        claim["kind"] = json!("PersistentVolumeClaim");
        claim["status"] = json!({"phase": "Bound"});
        keys.push((cluster.put(claim), "v1".to_owned()));
    }
    cluster.objects.borrow_mut().remove(&keys[4].0);
    let (_folder, outside) = outside(cluster);
    let means = outside.means(Class::Short, CancellationToken::new());
    let order = Look { app: "shop".to_owned(), keys, candidate: None, unblock: None };
    let found = look(&means, &order).await.unwrap();
    let unwell: Vec<_> =
        found.verdicts.iter().filter(|(_, health)| !leeward_core::cycle::is_well(health)).collect();
    assert_eq!((found.verdicts.len(), unwell.len()), (9, 1));
    assert_eq!(unwell[0].0.name, "claim-4");
    assert_eq!(*outside.cluster.asked.borrow(), ["list PersistentVolumeClaim"]);
}

#[test]
fn an_object_that_has_been_there_keeps_its_ignored_fields() {
    let desired = desired(&[map("old", "1"), map("new", "1")]);
    let known = InventoryEntry {
        version: "v1".to_owned(),
        applied: None,
        fields: None,
        uid: Some("u".to_owned()),
        wave: 0,
        keep: false,
        replace: false,
        run: None,
        leaving: false,
        from: None,
    };
    let key = desired.objects[0].key().clone();
    let inventory = BTreeMap::from([(key.clone(), known)]);
    let groups = applies(&desired);
    let consignment = Consignment::new(Arc::clone(&desired), groups, &inventory, BTreeSet::new());
    assert_eq!(consignment.known, BTreeSet::from([key]));
}
