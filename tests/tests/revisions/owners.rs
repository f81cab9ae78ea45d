//! Objects that change hands between apps: nothing is deleted, nothing restarts.

use leeward_core::model::{PhaseName, StatusDocument};
use leeward_tests::scenario::{
    Scenario, is_good_at,
    objects::{
        apps, claim, config_map, deployment, documents, is_rolled_out, namespace, text, uid,
    },
};
use serde_json::Value;

const OWNER: &str = "/metadata/labels/leeward.dev~1app";

/// What must stay the very same objects.
async fn uids(scenario: &Scenario, manifests: &[Value]) -> Vec<String> {
    let mut uids = Vec::new();
    for manifest in manifests {
        uids.push(uid(&scenario.live(manifest).await.unwrap().unwrap()));
    }
    uids.extend(scenario.pods().await.unwrap());
    uids
}

async fn owner(scenario: &Scenario, manifest: &Value) -> String {
    text(&scenario.live(manifest).await.unwrap().unwrap(), OWNER)
}

fn names(status: &StatusDocument) -> Vec<String> {
    status.apps.iter().map(|app| app.name.clone()).collect()
}

/// A database, its data and its settings.
fn shop(name: &str) -> Vec<Value> {
    vec![claim(name, "data"), config_map(name, "settings", "1"), deployment(name, "db", "app:1")]
}

#[tokio::test]
async fn renamed_app_keeps_its_objects_and_its_pods() {
    let name = "owners-rename";
    let all = shop(name);
    let files =
        [("leeward.yaml", apps(&[("owners-shop", "")])), ("owners-shop/all.yaml", documents(&all))];
    let Some(mut scenario) = Scenario::started(name, &files, |options| options).await.unwrap()
    else {
        return;
    };
    let before = uids(&scenario, &all).await;
    let renamed = [
        ("leeward.yaml", apps(&[("owners-store", "")])),
        ("owners-store/all.yaml", documents(&all)),
    ];
    let commit = scenario.rearrange(&["owners-shop"], &renamed).unwrap();
    let status = scenario
        .wait(|status| names(status) == ["owners-store"] && is_good_at(&status.apps[0], &commit))
        .await
        .unwrap();
    assert_eq!((status.apps[0].objects, status.apps[0].bad.len()), (3, 0));
    assert_eq!(uids(&scenario, &all).await, before);
    for one in &all {
        assert_eq!(owner(&scenario, one).await, "owners-store");
    }
    // And back, by a revert, across a restart in the middle of it.
    let reverted = scenario.repository.revert().unwrap();
    scenario.agent.kill();
    scenario.agent.start_again().unwrap();
    scenario
        .wait(|status| names(status) == ["owners-shop"] && is_good_at(&status.apps[0], &reverted))
        .await
        .unwrap();
    assert_eq!(uids(&scenario, &all).await, before);
}

#[tokio::test]
async fn what_was_handed_over_comes_back_when_git_goes_back_before_the_owner_has_gone() {
    let (name, old, new) = ("owners-undone", "owners-undone-a", "owners-undone-b");
    let all = shop(name);
    let files =
        [("leeward.yaml", apps(&[(old, "")])), ("owners-undone-a/all.yaml", documents(&all))];
    let Some(mut scenario) = Scenario::started(name, &files, |options| options).await.unwrap()
    else {
        return;
    };
    let before = uids(&scenario, &all).await;
    // The new app takes one object; what becomes of the rest a person is asked.
    let moved = config_map(name, "settings", "new");
    let renamed = [
        ("leeward.yaml", apps(&[(new, "")])),
        ("owners-undone-b/all.yaml", documents(std::slice::from_ref(&moved))),
    ];
    scenario.rearrange(&[old], &renamed).unwrap();
    scenario
        .wait_app(old, |app| app.held.as_ref().is_some_and(|held| held.reason == "prune_guard"))
        .await
        .unwrap();
    scenario.wait_live(&moved, |live| text(live, "/data/key") == "new").await.unwrap();
    let reverted = scenario.repository.revert().unwrap();
    scenario
        .wait(|status| names(status) == [old] && is_good_at(&status.apps[0], &reverted))
        .await
        .unwrap();
    assert_eq!(uids(&scenario, &all).await, before);
    for one in &all {
        assert_eq!(owner(&scenario, one).await, old);
    }
    let live = scenario.live(&moved).await.unwrap().unwrap();
    assert_eq!(live["data"], all.iter().find(|one| one["kind"] == "ConfigMap").unwrap()["data"]);
}

#[tokio::test]
async fn renamed_app_that_says_so_can_be_rolled_back() {
    let name = "owners-formerly";
    let all = shop(name);
    let files =
        [("leeward.yaml", apps(&[("owners-was", "")])), ("owners-was/all.yaml", documents(&all))];
    let Some(mut scenario) = Scenario::started(name, &files, |options| options).await.unwrap()
    else {
        return;
    };
    let before = uids(&scenario, &all).await;
    // The same commit breaks it.
    let crash = [&all[..2], &[deployment(name, "db", "crash:1")]].concat();
    let renamed = [
        ("leeward.yaml", apps(&[("owners-is", "  formerly: [owners-was]\n")])),
        ("owners-is/all.yaml", documents(&crash)),
    ];
    let bad = scenario.rearrange(&["owners-was"], &renamed).unwrap();
    let status = scenario
        .wait(|status| {
            let app = &status.apps[0];
            names(status) == ["owners-is"]
                && app.phase == PhaseName::Good
                && app.bad.iter().any(|one| one.commit.to_string() == bad)
        })
        .await
        .unwrap();
    assert_eq!(status.apps[0].objects, 3);
    scenario
        .wait_live(&all[2], |live| text(live, OWNER) == "owners-is" && is_rolled_out(live))
        .await
        .unwrap();
    let kept: Vec<String> = uids(&scenario, &all).await.into_iter().take(3).collect();
    assert_eq!(kept, before[..3]);
    let fixed = scenario.commit(&[("owners-is/all.yaml", documents(&all))]).unwrap();
    scenario.good_at(&fixed).await.unwrap();
    for one in &all {
        assert_eq!(owner(&scenario, one).await, "owners-is");
    }
}

#[tokio::test]
async fn app_that_is_split_and_merged_again_asks_nobody() {
    let name = "owners-split";
    let all = shop(name);
    let (whole, web, data) = ("owners-b-whole", "owners-a-web", "owners-c-data");
    let files =
        [("leeward.yaml", apps(&[(whole, "")])), ("owners-b-whole/all.yaml", documents(&all))];
    let Some(mut scenario) = Scenario::started(name, &files, |options| options).await.unwrap()
    else {
        return;
    };
    let before = uids(&scenario, &all).await;
    let depends = format!("  dependsOn: [{data}]\n");
    let split = [
        ("leeward.yaml", apps(&[(whole, &depends), (web, &depends), (data, "")])),
        ("owners-b-whole/all.yaml", documents(&all[1..2])),
        ("owners-a-web/web.yaml", documents(&all[2..])),
        ("owners-c-data/data.yaml", documents(&all[..1])),
    ];
    let commit = scenario.commit(&split).unwrap();
    scenario.good_at(&commit).await.unwrap();
    assert_eq!(uids(&scenario, &all).await, before);
    for (one, app) in all.iter().zip([data, whole, web]) {
        assert_eq!(owner(&scenario, one).await, app);
    }
    let merged = scenario.rearrange(&["owners-a-web", "owners-c-data"], &files).unwrap();
    let status = scenario
        .wait(|status| names(status) == [whole] && is_good_at(&status.apps[0], &merged))
        .await
        .unwrap();
    assert_eq!(status.apps[0].objects, 3);
    assert_eq!(uids(&scenario, &all).await, before);
    let history = scenario.tell(&["history"]).await.unwrap();
    assert!(!history.contains("prune"), "{history}");
}

#[tokio::test]
async fn object_moves_to_an_app_that_its_owner_depends_on_and_back() {
    let name = "owners-depends";
    let (above, below) = ("owners-above", "owners-below");
    let (moving, other) = (config_map(name, "moving", "1"), deployment(name, "web", "app:1"));
    let list = apps(&[(above, &format!("  dependsOn: [{below}]\n")), (below, "")]);
    let files = |above: &[Value], below: &[Value]| {
        [
            ("leeward.yaml", list.clone()),
            ("owners-above/all.yaml", documents(above)),
            ("owners-below/all.yaml", documents(below)),
        ]
    };
    let (web, both) = (vec![other.clone()], vec![other, moving.clone()]);
    let own = vec![config_map(name, "own", "1")];
    let with = vec![own[0].clone(), moving.clone()];
    let first = files(&both, &own);
    let Some(mut scenario) = Scenario::started(name, &first, |options| options).await.unwrap()
    else {
        return;
    };
    let before = uids(&scenario, &[moving.clone()]).await;
    for (to, above, below) in [("owners-below", &web, &with), ("owners-above", &both, &own)] {
        let commit = scenario.commit(&files(above, below)).unwrap();
        scenario.good_at(&commit).await.unwrap();
        assert_eq!(owner(&scenario, &moving).await, to);
        assert_eq!(uids(&scenario, &[moving.clone()]).await, before);
    }
}

#[tokio::test]
async fn new_owner_that_fails_deletes_nothing_of_what_it_was_left() {
    let name = "owners-bad-new";
    let (old, new) = ("owners-bn-old", "owners-bn-new");
    let moving = deployment(name, "web", "app:1");
    let stays = config_map(name, "stays", "1");
    let own = config_map(name, "own", "1");
    let list = apps(&[(old, ""), (new, "")]);
    let files = [
        ("leeward.yaml", list),
        ("owners-bn-old/all.yaml", documents(&[stays.clone(), moving.clone()])),
        ("owners-bn-new/all.yaml", documents(&[own.clone()])),
    ];
    let Some(mut scenario) = Scenario::started(name, &files, |options| options).await.unwrap()
    else {
        return;
    };
    let before = uids(&scenario, &[moving.clone()]).await;
    let crash = deployment(name, "more", "crash:1");
    let bad = scenario
        .commit(&[
            ("owners-bn-old/all.yaml", documents(&[stays.clone()])),
            ("owners-bn-new/all.yaml", documents(&[own.clone(), moving.clone(), crash.clone()])),
        ])
        .unwrap();
    scenario
        .wait_app(new, |app| {
            app.phase == PhaseName::Good && app.bad.iter().any(|one| one.commit.to_string() == bad)
        })
        .await
        .unwrap();
    scenario.wait_gone(&crash).await.unwrap();
    scenario.wait_app(old, |app| is_good_at(app, &bad)).await.unwrap();
    assert_eq!(uids(&scenario, &[moving.clone()]).await, before);
    // It is mended, and has the object for good.
    let fixed = [("owners-bn-new/all.yaml", documents(&[own, moving.clone()]))];
    let commit = scenario.commit(&fixed).unwrap();
    scenario.good_at(&commit).await.unwrap();
    assert_eq!(uids(&scenario, &[moving.clone()]).await, before);
    assert_eq!(owner(&scenario, &moving).await, new);
}

#[tokio::test]
async fn after_a_move_that_fails_on_both_sides_everything_is_where_it_was() {
    let name = "owners-bad-both";
    let (old, new) = ("owners-bb-old", "owners-bb-new");
    let moving = deployment(name, "web", "app:1");
    let own = config_map(name, "own", "1");
    let files = [
        ("leeward.yaml", apps(&[(old, ""), (new, "")])),
        ("owners-bb-old/all.yaml", documents(&[moving.clone()])),
        ("owners-bb-new/all.yaml", documents(&[own.clone()])),
    ];
    let Some(mut scenario) = Scenario::started(name, &files, |options| options).await.unwrap()
    else {
        return;
    };
    let before = uids(&scenario, &[moving.clone()]).await;
    let crash = |one: &str| deployment(name, one, "crash:1");
    let bad = scenario
        .commit(&[
            ("owners-bb-old/all.yaml", documents(&[crash("one")])),
            ("owners-bb-new/all.yaml", documents(&[own, moving.clone(), crash("two")])),
        ])
        .unwrap();
    for app in [old, new] {
        scenario
            .wait_app(app, |app| {
                app.phase == PhaseName::Good
                    && app.stuck.is_empty()
                    && app.bad.iter().any(|one| one.commit.to_string() == bad)
            })
            .await
            .unwrap();
    }
    scenario.wait_live(&moving, |live| text(live, OWNER) == old).await.unwrap();
    scenario.wait_gone(&crash("one")).await.unwrap();
    scenario.wait_gone(&crash("two")).await.unwrap();
    assert_eq!(uids(&scenario, &[moving.clone()]).await, before);
}

#[tokio::test]
async fn typing_error_of_the_new_owner_costs_no_object() {
    let name = "owners-typo";
    let (old, new) = ("owners-typo-old", "owners-typo-new");
    let data = claim(name, "data");
    let stays = config_map(name, "stays", "1");
    let files = [
        ("leeward.yaml", apps(&[(old, ""), (new, "")])),
        ("owners-typo-old/all.yaml", documents(&[stays.clone(), data.clone()])),
        ("owners-typo-new/all.yaml", documents(&[config_map(name, "own", "1")])),
    ];
    // So that nobody is asked: a map moves, not a claim.
    let map = config_map(name, "moving", "1");
    let with = documents(&[stays.clone(), data.clone(), map.clone()]);
    let files = [files[0].clone(), ("owners-typo-old/all.yaml", with), files[2].clone()];
    let Some(mut scenario) = Scenario::started(name, &files, |options| options).await.unwrap()
    else {
        return;
    };
    let before = uids(&scenario, &[map.clone()]).await;
    let typo = scenario
        .commit(&[
            ("owners-typo-old/all.yaml", documents(&[stays, data])),
            ("owners-typo-new/all.yaml", "kind: ConfigMap\n  apiVersion: v1\n".to_owned()),
        ])
        .unwrap();
    let app = scenario
        .wait_app(old, |app| is_good_at(app, &typo) && !app.stuck.is_empty())
        .await
        .unwrap();
    assert!(app.stuck[0].message.contains(new), "{:?}", app.stuck);
    let both = documents(&[config_map(name, "own", "1"), map.clone()]);
    let commit = scenario.commit(&[("owners-typo-new/all.yaml", both)]).unwrap();
    let status = scenario.good_at(&commit).await.unwrap();
    assert!(status.apps.iter().all(|app| app.stuck.is_empty()), "{:?}", status.apps);
    assert_eq!(uids(&scenario, &[map.clone()]).await, before);
    assert_eq!(owner(&scenario, &map).await, new);
}

#[tokio::test]
async fn namespace_in_which_another_app_has_objects_stays() {
    let name = "owners-namespace";
    let (old, new) = ("owners-ns-old", "owners-ns-new");
    let mut place = namespace("owners-ns-place");
    place["metadata"]["annotations"] = serde_json::json!({"leeward.dev/prune": "confirmed"});
    let guest = config_map("owners-ns-place", "guest", "1");
    let stays = config_map(name, "stays", "1");
    let files = [
        ("leeward.yaml", apps(&[(old, ""), (new, &format!("  dependsOn: [{old}]\n"))])),
        ("owners-ns-old/all.yaml", documents(&[stays.clone(), place.clone()])),
        ("owners-ns-new/all.yaml", documents(&[guest.clone()])),
    ];
    let Some(mut scenario) = Scenario::started(name, &files, |options| options).await.unwrap()
    else {
        return;
    };
    let before = uids(&scenario, &[guest.clone()]).await;
    let commit = scenario.commit(&[("owners-ns-old/all.yaml", documents(&[stays]))]).unwrap();
    let app = scenario
        .wait_app(old, |app| is_good_at(app, &commit) && !app.stuck.is_empty())
        .await
        .unwrap();
    assert!(app.stuck[0].message.contains("objects of app owners-ns-new"), "{:?}", app.stuck);
    assert_eq!(uids(&scenario, &[guest.clone()]).await, before);
}
