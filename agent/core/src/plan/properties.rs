//! What must hold for every plan, whatever the objects.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{
    desired::tests::prepared, drift, ignore, marks, order, ownership, pointer::Pointer, release,
    stamp,
};
use crate::model::{IgnoreRule, InventoryEntry, Manifest, ObjectKey, Origin};

type Inventory = BTreeMap<ObjectKey, InventoryEntry>;

const KINDS: [(&str, &str); 6] = [
    ("v1", "ConfigMap"),
    ("v1", "Namespace"),
    ("v1", "PersistentVolumeClaim"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("acme.io/v1", "Till"),
];

fn manifest() -> impl Strategy<Value = Manifest> {
    (0..KINDS.len(), 0..12_u8, -2..3_i32, 0..4_u8, prop::option::of(0..3_u8)).prop_map(
        |(kind, name, wave, data, mark)| {
            let (api_version, kind) = KINDS[kind];
            let mark = match mark {
                None => ("example.com/none", "x"),
                Some(0) => ("leeward.dev/prune", "disabled"),
                Some(1) => ("argocd.argoproj.io/hook", "PreSync"),
                Some(_) => ("kustomize.toolkit.fluxcd.io/ssa", "IfNotPresent"),
            };
            let body = json!({"apiVersion": api_version, "kind": kind, "spec": {"data": data},
                "metadata": {"name": format!("n{name}"), "namespace": "shop",
                    "annotations": {"leeward.dev/wave": wave.to_string(), mark.0: mark.1}}});
            Manifest::new(body, Origin::default()).unwrap()
        },
    )
}

/// A revision: manifests with unique keys, in any order.
fn revision() -> impl Strategy<Value = Vec<Manifest>> {
    prop::collection::vec(manifest(), 0..40).prop_map(|mut all| {
        let mut seen = BTreeSet::new();
        all.retain(|manifest| seen.insert(manifest.key.clone()));
        all
    })
}

fn json_value() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "metadata",
        "spec",
        "status",
        "name",
        "data",
        "containers",
        "managedFields",
        "fieldsV1",
        "manager",
        "leeward",
        "f:spec",
        "k:{\"name\":\"a\"}",
        "v:1",
        "i:0",
        ".",
        "k:",
        "conditions",
        "replicas",
        "*",
        "0",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..6).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    })
}

fn planned(desired: &[Manifest], inventory: &Inventory) -> order::Plan {
    order::plan(&order::PlanInput {
        desired: &prepared(desired, &[]),
        inventory,
        drifted: &BTreeSet::new(),
        left_alone: &BTreeSet::new(),
    })
}

/// What the inventory says once every step of a plan has been carried out.
fn carried_out(plan: &order::Plan, mut inventory: Inventory) -> Inventory {
    for apply in plan.stages.iter().flat_map(|stage| &stage.applies) {
        inventory.insert(
            apply.key.clone(),
            InventoryEntry {
                version: "v1".to_owned(),
                applied: Some(apply.digest),
                fields: None,
                uid: None,
                wave: apply.wave,
                keep: apply.keep,
                replace: false,
                run: None,
                leaving: false,
                from: None,
            },
        );
    }
    for key in plan.prunes.iter().chain(&plan.kept) {
        inventory.remove(key);
    }
    inventory
}

proptest! {
    #[test]
    fn planning_twice_plans_nothing(first in revision(), second in revision()) {
        let inventory = carried_out(&planned(&first, &Inventory::new()), Inventory::new());
        let inventory = carried_out(&planned(&second, &inventory), inventory);
        prop_assert!(planned(&second, &inventory).is_empty());
    }

    #[test]
    fn a_plan_mentions_every_object_exactly_once(first in revision(), second in revision()) {
        let inventory = carried_out(&planned(&first, &Inventory::new()), Inventory::new());
        let plan = planned(&second, &inventory);
        let applies = plan.stages.iter().map(|stage| stage.applies.len()).sum::<usize>();
        prop_assert_eq!(applies + plan.unchanged + plan.left_alone.len(), second.len());
        let desired: BTreeSet<_> = second.iter().map(|manifest| manifest.key.clone()).collect();
        let gone: BTreeSet<_> = plan.prunes.iter().chain(&plan.kept).cloned().collect();
        prop_assert_eq!(gone.len(), plan.prunes.len() + plan.kept.len());
        prop_assert!(gone.is_disjoint(&desired));
        prop_assert!(gone.iter().all(|key| inventory.contains_key(key)));
    }

    #[test]
    fn a_plan_never_prunes_what_is_marked_to_stay(first in revision()) {
        let inventory = carried_out(&planned(&first, &Inventory::new()), Inventory::new());
        let plan = planned(&[], &inventory);
        prop_assert!(plan.prunes.iter().all(|key| !inventory[key].keep));
    }

    #[test]
    fn a_plan_does_not_depend_on_the_order_of_files(mut all in revision()) {
        let steps = |desired: &[Manifest]| planned(desired, &Inventory::new()).to_string();
        let first = steps(&all);
        all.reverse();
        prop_assert_eq!(steps(&all), first);
    }

    #[test]
    fn no_live_object_makes_anything_panic(live in json_value(), body in json_value()) {
        let mut body = Map::from_iter([("x".to_owned(), body)]);
        body.insert("apiVersion".to_owned(), "v1".into());
        body.insert("kind".to_owned(), "Till".into());
        let spec = body["x"].clone();
        body.insert("spec".to_owned(), spec);
        body.insert("metadata".to_owned(), json!({"name": "a"}));
        let mut live_object = json!({"metadata": {"name": "a", "uid": "u"}, "spec": live});
        live_object["metadata"]["managedFields"] =
            json!([{"manager": "leeward", "fieldsV1": live}, {"manager": "keda", "fieldsV1": live}]);
        let manifest = Manifest::new(Value::Object(body), Origin::default()).unwrap();
        let rule = IgnoreRule {
            kind: "Till".to_owned(),
            json_pointers: vec!["/spec/*/0/name".to_owned(), "/x/spec/data".to_owned()],
            managed_fields_managers: vec!["keda".to_owned()],
            ..IgnoreRule::default()
        };
        for live in [&live, &live_object] {
            let all = ignore::ignored(
                std::slice::from_ref(&manifest), std::slice::from_ref(&rule), std::slice::from_ref(live));
            let ignored = all.unwrap().remove(&manifest.key);
            let _lost = drift::lost(&manifest, Some(live));
            let _differs = drift::differs(&manifest, Some(live), ignored.as_ref());
            let _released = release::release(&manifest, live, ignored.as_ref());
            let _owned = (ownership::may_delete(live, "a", None), ownership::may_take(live, "a"));
            let _marks = marks::Marks::of(&manifest);
            let _digest = stamp::applied_digest(&manifest, ignored.as_ref());
        }
    }

    #[test]
    fn every_text_is_a_pointer_or_an_error(text in ".{0,20}") {
        if let Ok(pointer) = Pointer::parse(&text) {
            prop_assert_eq!(pointer.to_string(), text);
        }
    }

    #[test]
    fn an_object_never_differs_from_itself(body in json_value()) {
        let body = json!({"apiVersion": "v1", "kind": "Till", "metadata": {"name": "a"}, "spec": body});
        let manifest = Manifest::new(body.clone(), Origin::default()).unwrap();
        prop_assert_eq!(drift::differs(&manifest, Some(&body), None), vec![]);
    }
}
