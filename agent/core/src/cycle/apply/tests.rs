use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::{
    health::Health,
    model::{Manifest, Origin},
    plan::{
        desired::tests::prepared,
        order::{PlanInput, plan},
    },
};

fn manifest(api_version: &str, kind: &str, name: &str, wave: &str) -> Manifest {
    let mut metadata = json!({"name": name, "annotations": {"leeward.dev/wave": wave}});
    if kind == "Namespace" {
        metadata = json!({"name": name});
    } else {
        metadata["namespace"] = json!("shop");
    }
    let body = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
    Manifest::new(body, Origin::default()).unwrap()
}

fn entry(digest: Option<crate::model::Digest>, wave: i32) -> InventoryEntry {
    let version = "v1".to_owned();
    InventoryEntry { version, applied: digest, wave, ..InventoryEntry::default() }
}

/// A namespace, a Deployment in wave 0 and a ConfigMap in wave 1.
fn desired() -> Desired {
    prepared(
        &[
            manifest("v1", "Namespace", "shop", "0"),
            manifest("apps/v1", "Deployment", "web", "0"),
            manifest("v1", "ConfigMap", "late", "1"),
        ],
        &[],
    )
}

fn step(view: &View, applied: &[&str], now: u64) -> String {
    step_of(&desired(), view, &inventory(&desired(), applied), false, now)
}

fn inventory(desired: &Desired, applied: &[&str]) -> BTreeMap<ObjectKey, InventoryEntry> {
    let entries = desired.objects.iter().map(|one| {
        let digest = applied.contains(&one.key().name.as_str()).then_some(one.digest);
        (one.key().clone(), entry(digest, one.marks.wave()))
    });
    entries.collect()
}

fn step_of(
    desired: &Desired,
    view: &View,
    inventory: &BTreeMap<ObjectKey, InventoryEntry>,
    rolling_back: bool,
    now: u64,
) -> String {
    let nothing = BTreeSet::new();
    let input = PlanInput { desired, inventory, drifted: &nothing, left_alone: &nothing };
    let plan = plan(&input);
    let applying =
        Applying { desired, plan: &plan, view, inventory, rolling_back, prunes_first: true };
    let list =
        |keys: &[ObjectKey]| keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match applying.next_step(Uptime::from_secs(now)) {
        ApplyStep::Send(stage, applies) => {
            let keys: Vec<ObjectKey> = applies.into_iter().map(|one| one.key).collect();
            format!("send {stage}: {}", list(&keys))
        }
        ApplyStep::AwaitFoundations(keys) => format!("await {}", list(&keys)),
        ApplyStep::LookBefore(stage, keys) => format!("before {stage} look at {}", list(&keys)),
        ApplyStep::Know(AppEvent::Obstacle { message }) => message,
        other => format!("{other:?}"),
    }
}

#[test]
fn stage_follows_stage_and_each_waits_for_what_came_before() {
    let mut view = View::default();
    let mut story = vec![step(&view, &[], 0)];
    let namespace = desired().objects[0].key().clone();
    view.progress.foundations.insert(namespace.clone(), Awaited::from(Uptime::default()));
    story.push(step(&view, &["shop"], 1));
    view.progress.foundations.clear();
    story.push(step(&view, &["shop"], 1));
    story.push(step(&view, &["shop", "web"], 2));
    view.progress.passed = Some(StageName::Wave(1));
    story.push(step(&view, &["shop", "web"], 3));
    view.progress.look_again = Some(Uptime::from_secs(9));
    story.push(step(&view, &["shop", "web"], 4));
    story.push(step(&view, &["shop", "web", "late"], 10));
    insta::assert_snapshot!(story.join("\n"), @r#"
    send foundations: Namespace shop
    await Namespace shop
    send wave 0: Deployment.apps shop/web
    before wave 1 look at Deployment.apps shop/web
    send wave 1: ConfigMap shop/late
    Wait(Uptime(9s))
    Know(ApplyDone { counts: ApplyCounts { created: 0, changed: 0, pruned: 0, unchanged: 3 }, stuck: [], leaving: false })
    "#);
}

#[test]
fn an_admission_configuration_is_sent_after_the_rest_of_its_stage() {
    let policy = "ValidatingAdmissionPolicy";
    let desired = prepared(
        &[
            manifest("admissionregistration.k8s.io/v1", policy, "p", "0"),
            manifest("v1", "ConfigMap", "map", "0"),
        ],
        &[],
    );
    let step = |applied: &[&str]| {
        step_of(&desired, &View::default(), &inventory(&desired, applied), false, 0)
    };
    assert_eq!(step(&[]), "send wave 0: ConfigMap shop/map");
    assert!(step(&["map"]).starts_with("send wave 0: ValidatingAdmissionPolicy"));
}

#[test]
fn what_takes_too_long_is_named_with_its_reason() {
    let mut view = View::default();
    let namespace = desired().objects[0].key().clone();
    let awaited = Awaited { since: Uptime::default(), reason: "is Terminating".to_owned() };
    view.progress.foundations.insert(namespace, awaited);
    assert_eq!(step(&view, &["shop"], 30), "Namespace shop is not ready: is Terminating");
    let web = desired().objects[1].key().clone();
    let reason = "finalizers x keep it".to_owned();
    view.progress.replacing.insert(web, Awaited { since: Uptime::default(), reason });
    insta::assert_snapshot!(step(&view, &["shop"], 30), @"Deployment.apps shop/web is to be replaced, but its deletion does not end: finalizers x keep it");
}

#[test]
fn a_deletion_that_hangs_is_waited_for_a_minute_and_a_rollback_keeps_volumes() {
    let mut inventory = inventory(&desired(), &["shop", "web", "late"]);
    let mut insert = |kind: &str| {
        let key = manifest("v1", kind, "old", "0").key;
        inventory.insert(key.clone(), entry(None, 0));
        key
    };
    let (map, claim) = (insert("ConfigMap"), insert("PersistentVolumeClaim"));
    let mut view = View::default();
    let step =
        |view: &View, rolling_back, now| step_of(&desired(), view, &inventory, rolling_back, now);
    assert!(step(&view, false, 0).contains("PersistentVolumeClaim"));
    assert!(!step(&view, true, 0).contains("PersistentVolumeClaim"));
    view.progress.deleting.insert(map, Awaited::from(Uptime::default()));
    view.progress.deleting.insert(claim, Awaited::from(Uptime::default()));
    assert!(step(&view, false, 59).starts_with("Delete"));
    assert!(step(&view, false, 60).starts_with("Know(ApplyDone {"));
}

/// What is decided about two objects that Git does not declare any more.
fn leaving(going: [(&str, &str); 2], view: &View) -> (String, String) {
    let desired = desired();
    let mut inventory = inventory(&desired, &["shop", "web", "late"]);
    for (api_version, kind) in going {
        let name = if kind == "CustomResourceDefinition" { "as.acme.io" } else { "old" };
        inventory.insert(manifest(api_version, kind, name, "0").key, entry(None, 0));
    }
    let (drifted, left_alone) = (BTreeSet::new(), BTreeSet::new());
    let plan = plan(&PlanInput {
        desired: &desired,
        inventory: &inventory,
        drifted: &drifted,
        left_alone: &left_alone,
    });
    let (rolling_back, prunes_first) = (false, false);
    let applying = Applying {
        desired: &desired,
        plan: &plan,
        view,
        inventory: &inventory,
        rolling_back,
        prunes_first,
    };
    let told = |step| match step {
        ApplyStep::Delete(due) => {
            let keys: Vec<String> = due.iter().map(|(key, _)| key.kind.clone()).collect();
            format!("delete {}", keys.join(", "))
        }
        ApplyStep::Know(AppEvent::ApplyDone { leaving, .. }) => format!("leaving: {leaving}"),
        other => format!("{other:?}"),
    };
    let now = Uptime::from_secs(100);
    (told(applying.next_step(now)), told(applying.leave(now)))
}

#[test]
fn what_goes_waits_until_the_revision_is_proven_but_not_what_stands_in_its_way() {
    let old = [("apps/v1", "Deployment"), ("v1", "ConfigMap")];
    let mut view = View::default();
    let told = ("leaving: true".to_owned(), "delete Deployment, ConfigMap".to_owned());
    assert_eq!(leaving(old, &view), told);
    let quota = [("v1", "ResourceQuota"), ("v1", "ConfigMap")];
    assert_eq!(leaving(quota, &view).0, "delete ResourceQuota");
    // There is no room for both.
    let web = desired().objects[1].key().clone();
    let crowded = Health { cause: Cause::Room, ..Health::new(Verdict::Progressing, "") };
    view.health.insert(web, crowded);
    assert_eq!(leaving(old, &view).0, "delete Deployment, ConfigMap");
}

#[test]
fn a_custom_resource_goes_before_whoever_serves_it_and_is_waited_for() {
    let mut view = View::default();
    let operator = [("acme.io/v1", "Gadget"), ("apps/v1", "Deployment")];
    assert_eq!(leaving(operator, &view).1, "delete Gadget");
    let gadget = manifest("acme.io/v1", "Gadget", "old", "0").key;
    view.progress.deleting.insert(gadget, Awaited::from(Uptime::default()));
    // A minute later the rest goes, too; but never the definition.
    assert_eq!(leaving(operator, &view).1, "delete Deployment");
    let crd = "CustomResourceDefinition";
    let both = [("acme.io/v1", "Gadget"), ("apiextensions.k8s.io/v1", crd)];
    let told = leaving(both, &view).1;
    assert!(
        told.starts_with("Know(Pruned") && told.contains("waits for the deletion of Gadget"),
        "{told}"
    );
}

#[test]
fn a_gate_opens_when_everything_before_it_is_healthy_and_fails_with_the_first_failure() {
    let keys: Vec<ObjectKey> =
        ["a", "b"].map(|name| manifest("apps/v1", "Deployment", name, "0").key).into();
    let mut view = View::default();
    assert_eq!(gate(&view, &keys), Gate::Shut);
    view.health.insert(keys[0].clone(), Health::new(Verdict::Healthy, ""));
    view.health.insert(keys[1].clone(), Health::new(Verdict::Progressing, "rolls out"));
    assert_eq!(gate(&view, &keys), Gate::Shut);
    view.health.insert(keys[1].clone(), Health::new(Verdict::Suspended, ""));
    assert_eq!(gate(&view, &keys), Gate::Open);
    view.health.insert(keys[0].clone(), Health::new(Verdict::Failed, "crash loop"));
    assert!(matches!(gate(&view, &keys), Gate::Failed(faults) if faults.len() == 1));
}
