//! Several apps in one repository: who waits for whom, and who owns what.

use leeward_core::model::{AppStatus, HealthName, PhaseName};
use leeward_tests::scenario::{
    Scenario, is_good_at,
    objects::{
        apps, config_map, custom, definition, deployment, documents, is_condition, text, written_at,
    },
};

#[tokio::test]
async fn app_waits_until_what_it_depends_on_is_good() {
    let name = "several-order";
    let (db, shop) = ("several-order-db", "several-order-a-shop");
    let slow = deployment(name, "db", "slow4:1");
    let front = config_map(name, "front", "1");
    let files = [
        ("leeward.yaml", apps(&[(shop, &format!("  dependsOn: [{db}]\n")), (db, "")])),
        ("several-order-db/db.yaml", documents(&[slow.clone()])),
        ("several-order-a-shop/front.yaml", documents(&[front.clone()])),
    ];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let held = scenario.wait_app(shop, |app| app.phase == PhaseName::Held).await.unwrap();
    let held = held.held.unwrap();
    assert_eq!(held.reason, "dependency");
    assert!(held.detail.contains(db), "{}", held.detail);
    assert!(scenario.live(&front).await.unwrap().is_none());
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    let db_live = scenario.live(&slow).await.unwrap().unwrap();
    assert!(is_condition(&db_live, "Available"));
    assert!(written_at(&scenario.live(&front).await.unwrap().unwrap()) > written_at(&db_live));

    // While the one is broken, a new revision of the other waits; what runs, runs.
    let bad = scenario
        .commit(&[
            ("several-order-db/db.yaml", documents(&[deployment(name, "db", "crash:1")])),
            ("several-order-a-shop/front.yaml", documents(&[config_map(name, "front", "2")])),
        ])
        .unwrap();
    scenario
        .wait_app(db, |app| app.bad.iter().any(|one| one.commit.to_string() == bad))
        .await
        .unwrap();
    scenario
        .wait_app(shop, |app| app.phase == PhaseName::Held && app.health == HealthName::Healthy)
        .await
        .unwrap();
    assert_eq!(text(&scenario.live(&front).await.unwrap().unwrap(), "/data/key"), "1");
    let fixed = scenario
        .commit(&[("several-order-db/db.yaml", documents(&[deployment(name, "db", "app:2")]))])
        .unwrap();
    scenario.good_at(&fixed).await.unwrap();
    assert_eq!(text(&scenario.live(&front).await.unwrap().unwrap(), "/data/key"), "2");
}

#[tokio::test]
async fn second_app_that_claims_an_object_is_held_and_the_first_one_keeps_it() {
    let name = "several-claim";
    let (first, second) = ("several-claim-a", "several-claim-b");
    let shared = config_map(name, "shared", "first");
    let claimed = documents(&[config_map(name, "shared", "second"), config_map(name, "own", "1")]);
    let files = [
        ("leeward.yaml", apps(&[(first, ""), (second, "")])),
        ("several-claim-a/a.yaml", documents(&[shared.clone()])),
        ("several-claim-b/b.yaml", documents(&[config_map(name, "own", "1")])),
    ];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    let next = scenario.commit(&[("several-claim-b/b.yaml", claimed)]).unwrap();
    let app = scenario.wait_app(second, |app| app.phase == PhaseName::Held).await.unwrap();
    let held = app.held.unwrap();
    assert_eq!((held.reason.as_str(), app.bad.len()), ("owner", 0));
    let reason = &held.detail;
    for part in ["ConfigMap several-claim/shared", "b.yaml", first] {
        assert!(reason.contains(part), "no {part}: {reason}");
    }
    scenario.wait_app(first, |app| is_good_at(app, &next)).await.unwrap();
    let live = scenario.live(&shared).await.unwrap().unwrap();
    assert_eq!(text(&live, "/data/key"), "first");
    assert_eq!(text(&live, "/metadata/labels/leeward.dev~1app"), first);
}

#[tokio::test]
async fn two_apps_that_claim_an_object_from_the_start_do_not_both_get_it() {
    let name = "several-race";
    let (first, second) = ("several-race-a", "several-race-b");
    let files = [
        ("leeward.yaml", apps(&[(first, ""), (second, "")])),
        ("several-race-a/a.yaml", documents(&[config_map(name, "shared", "first")])),
        ("several-race-b/b.yaml", documents(&[config_map(name, "shared", "second")])),
    ];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    let status = scenario
        .wait(|status| {
            let count = |is: fn(&&AppStatus) -> bool| status.apps.iter().filter(is).count();
            count(|app| app.phase == PhaseName::Good) == 1
                && count(|app| app.message.contains("belongs to another app")) == 1
        })
        .await
        .unwrap();
    let winner = status.apps.iter().find(|app| app.phase == PhaseName::Good).unwrap();
    let live = scenario.live(&config_map(name, "shared", "")).await.unwrap().unwrap();
    assert_eq!(text(&live, "/metadata/labels/leeward.dev~1app"), winner.name);
}

#[tokio::test]
async fn app_whose_kind_another_app_brings_waits_for_it() {
    let name = "several-kind";
    let group = "several-kind.example.com";
    let (brings, uses) = ("several-kind-z-brings", "several-kind-a-uses");
    let gadget = custom(group, "Gadget", name, "one");
    let files = [
        ("leeward.yaml", apps(&[(uses, "  timeout: 5m\n"), (brings, "")])),
        ("several-kind-a-uses/gadget.yaml", documents(&[gadget.clone()])),
        ("several-kind-z-brings/note.yaml", documents(&[config_map(name, "note", "1")])),
    ];
    let Some(mut scenario) = Scenario::start(name, &files, |options| options).await.unwrap() else {
        return;
    };
    scenario.wait_app(brings, |app| app.phase == PhaseName::Good).await.unwrap();
    scenario
        .wait_app(uses, |app| {
            app.phase == PhaseName::Preflight
                && app.message.contains("Gadget")
                && app.message.contains("gadget.yaml")
        })
        .await
        .unwrap();
    let commit = scenario
        .commit(&[("several-kind-z-brings/crd.yaml", documents(&[definition(group, "Gadget")]))])
        .unwrap();
    scenario.good_at(&commit).await.unwrap();
    assert!(scenario.live(&gadget).await.unwrap().is_some());
}

#[tokio::test]
async fn kind_that_nobody_brings_is_waited_for_and_the_file_is_named() {
    let name = "several-unknown";
    let gadget = custom("nobody.example.com", "Gizmo", name, "one");
    let files = [("all.yaml", documents(&[config_map(name, "map", "1"), gadget]))];
    let options = |options: leeward_tests::agent::AgentOptions| options.set("apply.timeout", "3s");
    let Some(mut scenario) = Scenario::start(name, &files, options).await.unwrap() else {
        return;
    };
    let app = scenario.wait_app(name, |app| app.phase == PhaseName::Held).await.unwrap();
    let held = app.held.unwrap();
    assert_eq!((held.reason.as_str(), app.bad.len()), ("missing", 0));
    for part in ["Gizmo.nobody.example.com", "all.yaml:"] {
        assert!(held.detail.contains(part), "no {part}: {}", held.detail);
    }
    assert!(scenario.live(&config_map(name, "map", "")).await.unwrap().is_none());
}
