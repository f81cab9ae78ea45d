//! What Git does not declare any more: what goes, what stays, and what waits
//! for a person.

use leeward_core::model::{AppStatus, PhaseName};
use leeward_tests::scenario::{
    MEDDLER, Scenario,
    objects::{annotated, config_map, documents, namespace, text, uid},
};
use leeward_tests::webhook::{Call, Webhook, hooked};
use serde_json::{Value, json};

fn maps(namespace: &str, count: usize) -> Vec<Value> {
    (0..count).map(|index| config_map(namespace, &format!("map-{index}"), "1")).collect()
}

async fn started(name: &str, files: &[(&str, String)]) -> Option<Scenario> {
    let mut scenario = Scenario::start(name, files, |options| options).await.unwrap()?;
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    Some(scenario)
}

fn is_held(app: &AppStatus) -> bool {
    app.phase == PhaseName::Held
        && app.held.as_ref().is_some_and(|held| held.reason == "prune_guard")
}

/// Waits until the guard holds, checks that all is still there, lets it go.
async fn held_until_approved(scenario: &mut Scenario, app: &str, going: &[Value]) -> AppStatus {
    let held = scenario.wait_app(app, is_held).await.unwrap();
    assert_eq!(scenario.versions(going).await.unwrap().len(), going.len());
    let why = scenario.wait_why(|why| why[0]["blocker"] == "prune_guard").await.unwrap();
    let hint = why[0]["hint"].as_str().unwrap();
    assert!(hint.contains(&format!("leeward approve {app}")), "{hint}");
    let mut approve = vec!["approve", app];
    let loses =
        |one: &Value| matches!(one["kind"].as_str(), Some("Namespace" | "PersistentVolumeClaim"));
    if going.iter().any(loses) {
        let refused = scenario.run(&approve).await.unwrap();
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && told.contains("--yes"), "{told}");
        approve.push("--yes");
    }
    let said = scenario.tell(&approve).await.unwrap();
    assert!(said.contains("approved"), "{said}");
    for manifest in going {
        scenario.wait_gone(manifest).await.unwrap();
    }
    held
}

#[tokio::test]
async fn removed_objects_go_unless_they_are_marked_or_no_longer_ours() {
    let name = "prune-owners";
    let keep = annotated(config_map(name, "keep", "1"), "leeward.dev/prune", "disabled");
    let [gone, unlabelled, renamed, copied] =
        ["gone", "unlabelled", "renamed", "copied"].map(|one| config_map(name, one, "1"));
    let stays = maps(name, 12);
    let all: Vec<Value> =
        [&stays[..], &[gone.clone(), keep.clone(), unlabelled.clone(), renamed.clone()]].concat();
    let files = [
        // Drift is left alone, so that what others do to the objects stays.
        (
            "leeward.yaml",
            format!(
                "apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps:\n- name: {name}\n  path: all\n  heal: report\n"
            ),
        ),
        ("all/stays.yaml", documents(&stays)),
        ("all/going.yaml", documents(&[all[12..].to_vec(), vec![copied.clone()]].concat())),
    ];
    let Some(mut scenario) = started(name, &files).await else { return };
    scenario
        .meddle(&unlabelled, &json!({ "metadata": { "labels": { "leeward.dev/app": null } } }))
        .await
        .unwrap();
    scenario
        .meddle(&renamed, &json!({ "metadata": { "labels": { "leeward.dev/app": "somebody" } } }))
        .await
        .unwrap();
    // Deleted, and made anew from a copy that carries our label.
    scenario.remove(&copied).await.unwrap();
    let mut copy = copied.clone();
    copy["metadata"]["labels"] = json!({ "leeward.dev/app": name });
    scenario.api.apply(&copy, MEDDLER).await.unwrap();

    let commit = scenario.delete(&["all/going.yaml"]).unwrap();
    // Four of seventeen: more than three objects, and less than 30 %.
    let status = scenario.good_at(&commit).await.unwrap();
    scenario.wait_gone(&gone).await.unwrap();
    let left = [keep, unlabelled, renamed, copied];
    assert_eq!(scenario.versions(&left).await.unwrap().len(), left.len());
    assert_eq!(status.apps[0].bad, []);
}

#[tokio::test]
async fn mass_deletion_waits_for_approval() {
    let name = "prune-mass";
    let all = maps(name, 10);
    let files = [("a.yaml", documents(&all[..4])), ("b.yaml", documents(&all[4..]))];
    let Some(mut scenario) = started(name, &files).await else { return };
    let refused = scenario.run(&["approve", name]).await.unwrap();
    assert!(!refused.status.success());
    let commit = scenario.delete(&["b.yaml"]).unwrap();
    let held = held_until_approved(&mut scenario, name, &all[4..]).await;
    let detail = held.held.unwrap().detail;
    assert!(detail.starts_with("would delete 6 of 10 objects"), "{detail}");
    let status = scenario.good_at(&commit).await.unwrap();
    assert_eq!(status.apps[0].objects, 4);
    assert_eq!(scenario.versions(&all[..4]).await.unwrap().len(), 4);
}

#[tokio::test]
async fn held_deletion_outlives_a_restart_and_a_revert_ends_it() {
    let name = "prune-revert";
    let all = maps(name, 8);
    let files = [("a.yaml", documents(&all[..2])), ("b.yaml", documents(&all[2..]))];
    let Some(mut scenario) = started(name, &files).await else { return };
    let before = scenario.versions(&all).await.unwrap();
    scenario.delete(&["b.yaml"]).unwrap();
    scenario.wait_app(name, is_held).await.unwrap();
    scenario.agent.kill();
    scenario.agent.start_again().unwrap();
    scenario.wait(|status| status.agent.boot == 2 && is_held(&status.apps[0])).await.unwrap();
    let reverted = scenario.repository.revert().unwrap();
    let status = scenario.good_at(&reverted).await.unwrap();
    assert_eq!(status.why, []);
    assert_eq!(scenario.versions(&all).await.unwrap(), before);
}

#[tokio::test]
async fn namespace_is_deleted_only_with_approval() {
    let name = "prune-space";
    let extra = namespace("prune-space-extra");
    let inside = config_map("prune-space-extra", "inside", "1");
    let stays = maps(name, 8);
    let files = [
        ("stays.yaml", documents(&stays)),
        ("space.yaml", documents(&[extra.clone(), inside.clone()])),
    ];
    let Some(mut scenario) = started(name, &files).await else { return };
    let commit = scenario.delete(&["space.yaml"]).unwrap();
    let held = held_until_approved(&mut scenario, name, &[inside, extra]).await;
    let detail = held.held.unwrap().detail;
    assert!(detail.contains("Namespace prune-space-extra"), "{detail}");
    scenario.good_at(&commit).await.unwrap();
}

#[tokio::test]
async fn app_that_left_leeward_yaml_goes_only_with_approval() {
    let name = "prune-app";
    let apps = |names: &[&str]| {
        let lines: String =
            names.iter().map(|one| format!("- name: {name}-{one}\n  path: {one}\n")).collect();
        format!("apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps:\n{lines}")
    };
    let (stays, goes) = (config_map(name, "stays", "1"), config_map(name, "goes", "1"));
    let files = [
        ("leeward.yaml", apps(&["stays", "goes"])),
        ("stays/a.yaml", documents(std::slice::from_ref(&stays))),
        ("goes/a.yaml", documents(std::slice::from_ref(&goes))),
    ];
    let Some(mut scenario) = started(name, &files).await else { return };
    let before = uid(&scenario.live(&stays).await.unwrap().unwrap());
    let commit = scenario.commit(&[("leeward.yaml", apps(&["stays"]))]).unwrap();
    held_until_approved(&mut scenario, &format!("{name}-goes"), &[goes]).await;
    // It is forgotten when its objects are gone.
    let status = scenario.good_at(&commit).await.unwrap();
    assert_eq!(status.apps.len(), 1);
    assert_eq!(uid(&scenario.live(&stays).await.unwrap().unwrap()), before);
}

#[tokio::test]
async fn empty_render_goes_only_with_approval() {
    let name = "prune-empty";
    let only = config_map(name, "only", "1");
    let files = [
        ("README.md", "Nothing to apply.\n".to_owned()),
        ("a.yaml", documents(std::slice::from_ref(&only))),
    ];
    let Some(mut scenario) = started(name, &files).await else { return };
    let commit = scenario.delete(&["a.yaml"]).unwrap();
    held_until_approved(&mut scenario, name, &[only]).await;
    let status = scenario.good_at(&commit).await.unwrap();
    assert_eq!(status.apps[0].objects, 0);
}

#[tokio::test]
async fn approval_is_for_the_deletions_that_were_shown_and_no_others() {
    let name = "prune-set";
    let all = maps(name, 10);
    let last = |value: &str| documents(&[hooked(config_map(name, "last", value), name)]);
    let files = [
        ("a.yaml", documents(&all[..4])),
        ("b.yaml", documents(&all[4..])),
        ("last.yaml", last("1")),
    ];
    let Some(mut scenario) = started(name, &files).await else { return };
    // What is approved cannot be examined, and so not be applied, before the next commit.
    let hangs = |call: &Call| call.dry_run && text(&call.object, "/data/key") == "2";
    let mut webhook = Webhook::start(&scenario.api, name, hangs).await.unwrap();
    scenario.delete(&["b.yaml"]).unwrap();
    let first = scenario.commit(&[("last.yaml", last("2"))]).unwrap();
    let is_held_at = |commit: &str| {
        let commit = commit.to_owned();
        move |app: &AppStatus| {
            is_held(app)
                && app.candidate.as_ref().is_some_and(|one| one.commit.to_string() == commit)
        }
    };
    let held = scenario.wait_app(name, is_held_at(&first)).await.unwrap();
    assert!(held.held.unwrap().detail.contains("would delete 6 of 11"));
    scenario.tell(&["approve", name]).await.unwrap();
    webhook.wait_calls(|calls| !calls.is_empty()).await.unwrap();
    let second = scenario.commit(&[("a.yaml", documents(&all[..1]))]).unwrap();
    let held = scenario.wait_app(name, is_held_at(&second)).await.unwrap();
    assert!(held.held.unwrap().detail.contains("would delete 9 of 11"));
    webhook.open();
    assert_eq!(scenario.versions(&all).await.unwrap().len(), all.len());
    held_until_approved(&mut scenario, name, &all[1..]).await;
    scenario.good_at(&second).await.unwrap();
}
