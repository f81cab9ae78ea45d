//! Claims about fields that are handed over.

use super::*;
use crate::{
    model::{FIELD_MANAGER, IgnoreRule, Origin},
    plan::ignore,
};

fn desired(replicas: u64, containers: Value) -> Manifest {
    let body = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": containers}}}});
    Manifest::new(body, Origin::default()).unwrap()
}

fn app() -> Value {
    json!([{"name": "app", "image": "web:1", "args": ["-v"],
        "resources": {"limits": {"memory": "1Gi"}}}])
}

/// A live object in which managers own fields, given as FieldsV1 of `spec`.
fn live(replicas: u64, containers: &Value, owners: &[(&str, Value)]) -> Value {
    let entries: Vec<Value> = owners
        .iter()
        .map(|(manager, spec)| {
            json!({"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": spec}})
        })
        .collect();
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "uid": "u-1",
            "managedFields": entries},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": containers}}}})
}

fn container_fields(name: &str, fields: &Value) -> Value {
    json!({"f:template": {"f:spec": {"f:containers": {
        format!("k:{{\"name\":\"{name}\"}}"): fields}}}})
}

fn ours_of_app() -> Value {
    let mut fields = container_fields(
        "app",
        &json!({".": {}, "f:name": {}, "f:image": {}, "f:args": {},
            "f:resources": {"f:limits": {"f:memory": {}}}}),
    );
    fields["f:replicas"] = json!({});
    fields
}

fn rules(manifest: &Manifest, pointers: &[&str], managers: &[&str]) -> Option<IgnoredFields> {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    let rule = IgnoreRule {
        kind: "Deployment".to_owned(),
        json_pointers: owned(pointers),
        managed_fields_managers: owned(managers),
        ..IgnoreRule::default()
    };
    ignore::ignored(std::slice::from_ref(manifest), &[rule], &[]).unwrap().remove(&manifest.key)
}

fn released(live: &Value, pointers: &[&str], managers: &[&str]) -> Released {
    let manifest = desired(2, app());
    release(&manifest, live, rules(&manifest, pointers, managers).as_ref())
}

#[test]
fn a_field_that_we_alone_own_is_handed_over_with_its_live_value() {
    let live = live(5, &app(), &[(FIELD_MANAGER, ours_of_app())]);
    let released = released(&live, &["/spec/replicas"], &[]);
    assert_eq!(released.manifest.body["spec"].get("replicas"), None);
    insta::assert_snapshot!(released.hand_over.unwrap(), @r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop","uid":"u-1"},"spec":{"replicas":5}}"#);
}

#[test]
fn a_field_that_the_autoscaler_owns_already_is_only_left_out() {
    let mut ours = ours_of_app();
    ours.as_object_mut().unwrap().remove("f:replicas");
    let owners = [(FIELD_MANAGER, ours), ("autoscaler", json!({"f:replicas": {}}))];
    let released = released(&live(5, &app(), &owners), &["/spec/replicas"], &[]);
    assert_eq!(released.manifest.body["spec"].get("replicas"), None);
    assert_eq!(released.hand_over, None);
}

#[test]
fn what_was_handed_over_before_is_not_handed_over_again() {
    let mut ours = ours_of_app();
    ours.as_object_mut().unwrap().remove("f:replicas");
    let owners = [(FIELD_MANAGER, ours), (HANDOVER_MANAGER, json!({"f:replicas": {}}))];
    let released = released(&live(5, &app(), &owners), &["/spec/replicas"], &[]);
    assert_eq!(released.manifest.body["spec"].get("replicas"), None);
    assert_eq!(released.hand_over, None);
}

#[test]
fn a_part_of_a_container_is_handed_over_with_the_key_of_its_container() {
    let mut containers = app();
    containers.as_array_mut().unwrap().insert(0, json!({"name": "mesh", "image": "m"}));
    let live = live(2, &containers, &[(FIELD_MANAGER, ours_of_app())]);
    let released = released(&live, &["/spec/template/spec/containers/*/resources"], &[]);
    insta::assert_snapshot!(released.hand_over.unwrap()["spec"], @r#"{"template":{"spec":{"containers":[{"name":"app","resources":{"limits":{"memory":"1Gi"}}}]}}}"#);
    insta::assert_snapshot!(released.manifest.body["spec"], @r#"{"replicas":2,"template":{"spec":{"containers":[{"args":["-v"],"image":"web:1","name":"app"}]}}}"#);
}

#[test]
fn a_part_of_an_atomic_list_takes_the_whole_list_along() {
    let live = live(2, &app(), &[(FIELD_MANAGER, ours_of_app())]);
    let released = released(&live, &["/spec/template/spec/containers/0/args/0"], &[]);
    let hand_over = released.hand_over.unwrap();
    assert_eq!(
        hand_over["spec"]["template"]["spec"]["containers"],
        json!([{"name": "app", "args": ["-v"]}])
    );
    assert_eq!(
        released.manifest.body["spec"]["template"]["spec"]["containers"][0].get("args"),
        None
    );
}

#[test]
fn a_container_that_is_new_keeps_all_of_its_fields_once() {
    let old = json!([{"name": "old", "image": "old"}]);
    let live = live(2, &old, &[(FIELD_MANAGER, container_fields("old", &json!({".": {}})))]);
    let released = released(&live, &["/spec/template/spec/containers/*/resources"], &[]);
    assert_eq!(released.manifest.body, desired(2, app()).body);
    assert_eq!(released.hand_over, None);
}

#[test]
fn fields_that_a_named_manager_owns_are_left_out() {
    let image = container_fields("app", &json!({"f:image": {}}));
    let owners = [(FIELD_MANAGER, json!({"f:replicas": {}})), ("updater", image)];
    let released = released(&live(2, &app(), &owners), &[], &["updater"]);
    assert_eq!(
        released.manifest.body["spec"]["template"]["spec"]["containers"][0].get("image"),
        None
    );
    assert_eq!(released.manifest.body["spec"]["replicas"], 2);
    assert_eq!(released.hand_over, None);
}

#[test]
fn what_git_removed_is_released_by_the_second_manager() {
    let mesh = container_fields("mesh", &json!({".": {}, "f:name": {}, "f:resources": {}}));
    let owners = [(FIELD_MANAGER, ours_of_app()), (HANDOVER_MANAGER, mesh)];
    let containers = json!([{"name": "app", "image": "web:1"}, {"name": "mesh", "image": "m"}]);
    let released = released(&live(2, &containers, &owners), &[], &[]);
    insta::assert_snapshot!(released.hand_over.unwrap(), @r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop","uid":"u-1"}}"#);
}

#[test]
fn a_field_that_git_decides_again_stays_with_the_second_manager_until_it_is_taken() {
    let mut ours = ours_of_app();
    ours.as_object_mut().unwrap().remove("f:replicas");
    let owners = [(FIELD_MANAGER, ours), (HANDOVER_MANAGER, json!({"f:replicas": {}}))];
    let released = released(&live(5, &app(), &owners), &[], &[]);
    assert_eq!(released.manifest.body["spec"]["replicas"], 2);
    assert_eq!(released.hand_over, None);
}

#[test]
fn what_stays_with_the_second_manager_is_said_again_when_something_else_is_released() {
    let mut handed = container_fields("mesh", &json!({".": {}, "f:name": {}}));
    handed["f:replicas"] = json!({});
    let mut ours = ours_of_app();
    ours.as_object_mut().unwrap().remove("f:replicas");
    let containers = json!([{"name": "app", "image": "web:1"}, {"name": "mesh", "image": "m"}]);
    let owners = [(FIELD_MANAGER, ours), (HANDOVER_MANAGER, handed)];
    let released = released(&live(5, &containers, &owners), &[], &[]);
    assert_eq!(released.hand_over.unwrap()["spec"], json!({"replicas": 5}));
}

#[test]
fn every_item_that_a_star_means_is_left_out() {
    let three = json!([{"name": "a"}, {"name": "b"}, {"name": "c"}]);
    let manifest = desired(2, three.clone());
    let owners = [(FIELD_MANAGER, container_fields("a", &json!({".": {}, "f:name": {}})))];
    let rules = rules(&manifest, &["/spec/template/spec/containers/*"], &[]);
    let released = release(&manifest, &live(2, &three, &owners), rules.as_ref());
    let left = &released.manifest.body["spec"]["template"]["spec"]["containers"];
    assert_eq!(*left, json!([]));
}

#[test]
fn an_object_without_ignored_fields_is_sent_as_it_is() {
    let live = live(5, &app(), &[(FIELD_MANAGER, ours_of_app())]);
    let released = released(&live, &[], &[]);
    assert_eq!((released.manifest, released.hand_over), (desired(2, app()), None));
}

fn without_replicas() -> Manifest {
    let mut bare = desired(1, app());
    bare.body["spec"].as_object_mut().unwrap().remove("replicas");
    bare
}

fn scaled(manifest: &Manifest) -> Option<IgnoredFields> {
    let hpa = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}});
    ignore::ignored(std::slice::from_ref(manifest), &[], &[hpa]).unwrap().remove(&manifest.key)
}

#[test]
fn replicas_that_git_drops_for_an_autoscaler_keep_their_live_value() {
    let bare = without_replicas();
    let fields = scaled(&bare);
    let owned = live(4, &app(), &[(FIELD_MANAGER, ours_of_app())]);
    let released = release(&bare, &owned, fields.as_ref());
    assert_eq!(released.manifest.body["spec"].get("replicas"), None);
    assert_eq!(released.hand_over.unwrap()["spec"], json!({"replicas": 4}));
    // Once they are handed over there is nothing more to do, also without the autoscaler.
    let mut ours = ours_of_app();
    ours.as_object_mut().unwrap().remove("f:replicas");
    let owners = [(FIELD_MANAGER, ours), (HANDOVER_MANAGER, json!({"f:replicas": {}}))];
    let handed = live(4, &app(), &owners);
    for fields in [fields.as_ref(), None] {
        let released = release(&bare, &handed, fields);
        assert_eq!(
            (released.hand_over, released.manifest.body["spec"].get("replicas")),
            (None, None)
        );
    }
}

#[test]
fn replicas_that_git_drops_without_an_autoscaler_are_let_go() {
    let owned = live(4, &app(), &[(FIELD_MANAGER, ours_of_app())]);
    assert_eq!(release(&without_replicas(), &owned, None).hand_over, None);
}
