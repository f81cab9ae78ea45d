//! Claims about the order of a plan.

use serde_json::{Value, json};

use super::*;
use crate::{
    model::{IgnoreRule, Origin},
    plan::{desired::tests::prepared, stamp::applied_digest},
};

fn object(api_version: &str, kind: &str, name: &str, annotations: Value) -> Manifest {
    let mut body = json!({"apiVersion": api_version, "kind": kind,
        "metadata": {"name": name, "annotations": annotations}});
    let cluster_scoped = ["Namespace", "CustomResourceDefinition", "ClusterRole"];
    if !cluster_scoped.contains(&kind) && !kind.ends_with("Configuration") {
        body["metadata"]["namespace"] = "shop".into();
    }
    Manifest::new(body, Origin::default()).unwrap()
}

fn plain(api_version: &str, kind: &str, name: &str) -> Manifest {
    object(api_version, kind, name, json!({}))
}

fn entry(manifest: Option<&Manifest>, wave: i32, keep: bool) -> InventoryEntry {
    InventoryEntry {
        version: "v1".to_owned(),
        applied: manifest.map(|manifest| applied_digest(manifest, None)),
        fields: None,
        uid: None,
        wave,
        keep,
        replace: false,
        run: None,
        leaving: false,
        from: None,
    }
}

fn applied(manifests: &[Manifest]) -> BTreeMap<ObjectKey, InventoryEntry> {
    manifests.iter().map(|m| (m.key.clone(), entry(Some(m), 0, false))).collect()
}

fn planned(
    desired: &[Manifest],
    inventory: &BTreeMap<ObjectKey, InventoryEntry>,
    drifted: &[&Manifest],
) -> Plan {
    let keys = |of: &[&Manifest]| of.iter().map(|manifest| manifest.key.clone()).collect();
    plan(&PlanInput {
        desired: &prepared(desired, &[]),
        inventory,
        drifted: &keys(drifted),
        left_alone: &BTreeSet::new(),
    })
}

#[test]
fn what_is_needed_comes_before_what_needs_it() {
    let desired = [
        plain("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "gate"),
        plain("networking.k8s.io/v1", "Ingress", "web"),
        plain("acme.io/v1", "Till", "till"),
        plain("apps/v1", "Deployment", "web"),
        plain("v1", "Service", "web"),
        plain("v1", "PersistentVolumeClaim", "data"),
        plain("v1", "Secret", "key"),
        plain("v1", "ConfigMap", "b"),
        plain("v1", "ConfigMap", "a"),
        plain("rbac.authorization.k8s.io/v1", "ClusterRole", "web"),
        plain("v1", "ServiceAccount", "web"),
        plain("v1", "Namespace", "shop"),
        plain("apiextensions.k8s.io/v1", "CustomResourceDefinition", "tills.acme.io"),
    ];
    insta::assert_snapshot!(planned(&desired, &BTreeMap::new(), &[]), @"
    foundations:
      apply CustomResourceDefinition.apiextensions.k8s.io tills.acme.io (new)
      apply Namespace shop (new)
    wave 0:
      apply ServiceAccount shop/web (new)
      apply ClusterRole.rbac.authorization.k8s.io web (new)
      apply ConfigMap shop/a (new)
      apply ConfigMap shop/b (new)
      apply Secret shop/key (new)
      apply PersistentVolumeClaim shop/data (new)
      apply Service shop/web (new)
      apply Deployment.apps shop/web (new)
      apply Till.acme.io shop/till (new)
      apply Ingress.networking.k8s.io shop/web (new)
      apply ValidatingWebhookConfiguration.admissionregistration.k8s.io gate (new)
    unchanged: 0
    ");
}

#[test]
fn waves_and_hooks_are_stages_of_their_own() {
    let with =
        |kind, name, key: &str, value: &str| object("batch/v1", kind, name, json!({key: value}));
    let desired = [
        with("Job", "late", "leeward.dev/wave", "5"),
        with("Job", "early", "argocd.argoproj.io/sync-wave", "-1"),
        with("Job", "migrate", "argocd.argoproj.io/hook", "PreSync"),
        with("Job", "smoke", "argocd.argoproj.io/hook", "PostSync"),
        with("Job", "alarm", "argocd.argoproj.io/hook", "SyncFail"),
        with("Job", "theirs", "kustomize.toolkit.fluxcd.io/reconcile", "disabled"),
        with("Job", "once", "kustomize.toolkit.fluxcd.io/ssa", "IfNotPresent"),
    ];
    insta::assert_snapshot!(planned(&desired, &BTreeMap::new(), &[]), @"
    hooks before:
      apply Job.batch shop/migrate (new), replace if need be
    wave -1:
      apply Job.batch shop/early (new)
    wave 0:
      apply Job.batch shop/once (new), only if absent
    wave 5:
      apply Job.batch shop/late (new)
    hooks after:
      apply Job.batch shop/smoke (new), replace if need be
    leave Job.batch shop/alarm alone
    leave Job.batch shop/theirs alone
    unchanged: 0
    ");
}

#[test]
fn a_namespace_keeps_its_explicit_wave_only_if_all_that_is_in_it_comes_later() {
    let namespace = object("v1", "Namespace", "shop", json!({"leeward.dev/wave": "-5"}));
    let early = object("v1", "ConfigMap", "a", json!({"leeward.dev/wave": "-9"}));
    let first = |desired: &[Manifest]| planned(desired, &BTreeMap::new(), &[]).stages[0].name;
    let late = plain("v1", "ConfigMap", "a");
    assert_eq!(first(&[namespace.clone(), late]), StageName::Wave(-5));
    assert_eq!(first(&[namespace, early]), StageName::Foundations);
}

#[test]
fn a_crd_in_the_wave_of_its_first_object_moves_to_the_foundations() {
    let mut crd = object(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "tills.acme.io",
        json!({"argocd.argoproj.io/sync-wave": "0"}),
    );
    crd.body["spec"] =
        json!({"group": "acme.io", "names": {"kind": "Till"}, "scope": "Namespaced"});
    let desired = [plain("acme.io/v1", "Till", "till"), crd];
    let plan = planned(&desired, &BTreeMap::new(), &[]);
    assert_eq!(plan.stages[0].name, StageName::Foundations);
}

#[test]
fn only_what_changed_or_drifted_is_sent() {
    let same = plain("v1", "ConfigMap", "same");
    let drifted = plain("v1", "ConfigMap", "drifted");
    let mut changed = plain("v1", "ConfigMap", "changed");
    let inventory = applied(&[same.clone(), drifted.clone(), changed.clone()]);
    changed.body["data"] = json!({"k": "v"});
    let desired = [same, drifted.clone(), changed];
    insta::assert_snapshot!(planned(&desired, &inventory, &[&drifted]), @"
    wave 0:
      apply ConfigMap shop/changed (changed)
      apply ConfigMap shop/drifted (drifted)
    unchanged: 1
    ");
}

#[test]
fn an_object_whose_apply_was_never_confirmed_is_sent_again() {
    let map = plain("v1", "ConfigMap", "a");
    let inventory = BTreeMap::from([(map.key.clone(), entry(None, 0, false))]);
    assert_eq!(planned(&[map], &inventory, &[]).stages[0].applies[0].why, Why::Changed);
}

#[test]
fn an_object_that_asks_not_to_be_healed_is_left_drifted() {
    let map = object("v1", "ConfigMap", "a", json!({"leeward.dev/heal": "disabled"}));
    let inventory = applied(std::slice::from_ref(&map));
    assert!(planned(std::slice::from_ref(&map), &inventory, &[&map]).is_empty());
}

#[test]
fn a_rule_that_comes_later_has_the_object_sent_again() {
    let map = plain("v1", "ConfigMap", "a");
    let inventory = applied(std::slice::from_ref(&map));
    let rule = IgnoreRule {
        kind: "ConfigMap".to_owned(),
        managed_fields_managers: vec!["keda".to_owned()],
        ..IgnoreRule::default()
    };
    let plan = plan(&PlanInput {
        desired: &prepared(std::slice::from_ref(&map), &[rule]),
        inventory: &inventory,
        drifted: &BTreeSet::new(),
        left_alone: &BTreeSet::new(),
    });
    assert_eq!(plan.stages[0].applies[0].why, Why::Changed);
}

#[test]
fn an_object_whose_live_annotation_asks_to_be_left_alone_is_not_sent() {
    let map = plain("v1", "ConfigMap", "a");
    let plan = plan(&PlanInput {
        desired: &prepared(std::slice::from_ref(&map), &[]),
        inventory: &BTreeMap::new(),
        drifted: &BTreeSet::new(),
        left_alone: &BTreeSet::from([map.key.clone()]),
    });
    assert_eq!((plan.is_empty(), plan.left_alone), (true, vec![map.key]));
}

#[test]
fn prunes_run_in_reverse_of_the_applies() {
    let mut inventory = applied(&[
        plain("v1", "Namespace", "shop"),
        plain("v1", "ConfigMap", "a"),
        plain("v1", "ConfigMap", "b"),
        plain("apps/v1", "Deployment", "web"),
    ]);
    let late = plain("v1", "ServiceAccount", "late");
    inventory.insert(late.key.clone(), entry(Some(&late), 5, false));
    let mine = plain("v1", "Secret", "mine");
    inventory.insert(mine.key.clone(), entry(Some(&mine), 0, true));
    insta::assert_snapshot!(planned(&[], &inventory, &[]), @"
    prune ServiceAccount shop/late
    prune Deployment.apps shop/web
    prune ConfigMap shop/b
    prune ConfigMap shop/a
    prune Namespace shop
    keep Secret shop/mine
    unchanged: 0
    ");
}

#[test]
fn an_object_that_became_unmanaged_is_not_pruned() {
    let theirs = object(
        "v1",
        "ConfigMap",
        "a",
        json!({"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}),
    );
    let inventory = applied(std::slice::from_ref(&theirs));
    assert!(planned(&[theirs], &inventory, &[]).is_empty());
}
