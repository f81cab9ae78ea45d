//! Killed while objects are applied and pruned.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use leeward_core::model::{APP_LABEL, ObjectKey};
use leeward_tests::{
    Seed,
    agent::AgentOptions,
    scenario::{
        MEDDLER, Scenario,
        objects::{
            GOOD_IMAGE, annotated, config_map, deployment, documents, namespace, service, uid,
        },
    },
    weather::{inventory, owned, say},
};
use serde_json::{Value, json};

/// For the full run: `LEEWARD_KILLS=200`.
const KILLS: u64 = 15;
const SEED: u64 = 4;
/// Objects of each kind in each content, of which every third is in both.
const OBJECTS: usize = 24;
const WAVES: usize = 3;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// The content number `version`: objects come, go and change from one to the
/// next, in three waves; Deployments stay, since nothing is to wait for them long.
fn content(namespace: &str, version: u64) -> Vec<Value> {
    let side = if version.is_multiple_of(2) { "even" } else { "odd" };
    let value = version.to_string();
    let mut all = Vec::new();
    for index in 0..OBJECTS {
        let name = if index % 3 == 0 { format!("both-{index}") } else { format!("{side}-{index}") };
        let wave = (index % WAVES).to_string();
        let map = config_map(namespace, &name, &value);
        all.push(annotated(map, "leeward.dev/wave", &wave));
        if index % 4 == 0 {
            let port = 8000 + u32::try_from(version % 1000).unwrap();
            all.push(annotated(service(namespace, &name, port), "leeward.dev/wave", &wave));
        }
    }
    let mut web = deployment(namespace, "web", GOOD_IMAGE);
    web["spec"]["template"]["metadata"]["annotations"] = json!({ "version": value });
    all.push(web);
    all.push(deployment(namespace, &format!("web-{side}"), GOOD_IMAGE));
    all
}

/// What only the first content has, and may not be deleted.
fn kept(namespace: &str) -> Value {
    annotated(config_map(namespace, "kept", "1"), "leeward.dev/prune", "disabled")
}

fn commit(scenario: &Scenario, version: u64) -> String {
    let name = scenario.name();
    let mut all = content(name, version);
    if version == 0 {
        all.push(kept(name));
    }
    // Two files whose objects wander from the one to the other.
    let (left, right) = all.split_at(usize::try_from(version % 7).unwrap() + 3);
    scenario.commit(&[("left.yaml", documents(left)), ("right.yaml", documents(right))]).unwrap()
}

fn lists(namespace: &str) -> Vec<String> {
    let path = |base: &str, plural: &str| format!("{base}/namespaces/{namespace}/{plural}");
    vec![
        path("/api/v1", "configmaps"),
        path("/api/v1", "services"),
        path("/apis/apps/v1", "deployments"),
    ]
}

/// Objects that look like ours, or are nobody's; none may go.
fn foreign(namespace: &str) -> Vec<Value> {
    let plain = config_map(namespace, "foreign", "1");
    // As when somebody copies a manifest of ours from the cluster.
    let mut copied = config_map(namespace, "odd-copied", "1");
    copied["metadata"]["labels"] = json!({ APP_LABEL: namespace });
    vec![plain, copied]
}

fn options(options: AgentOptions) -> AgentOptions {
    options.set("apply.prune_max_objects", 10_000).set("apply.prune_max_share", 1.0)
}

#[tokio::test]
async fn killed_at_any_instant_it_converges_to_git_and_leaves_nothing_behind() {
    let name = "crash-apply";
    let prepared = Scenario::prepare(name, &[], options).await.unwrap();
    let Some(mut scenario) = prepared else { return };
    scenario.api.apply(&namespace(name), MEDDLER).await.unwrap();
    let mut untouched = Vec::new();
    for manifest in foreign(name) {
        untouched.push((uid(&scenario.api.apply(&manifest, MEDDLER).await.unwrap()), manifest));
    }
    let first = commit(&scenario, 0);
    scenario.agent.start_again().unwrap();
    scenario.good_at(&first).await.unwrap();
    untouched.push((uid(&scenario.live(&kept(name)).await.unwrap().unwrap()), kept(name)));

    // How long one change takes from a start to its last prune, undisturbed.
    scenario.agent.kill();
    let second = commit(&scenario, 1);
    let started = Instant::now();
    scenario.agent.start_again().unwrap();
    let gone = content(name, 0).into_iter().find(|one| !is_in(one, &content(name, 1)));
    scenario.wait_gone(&gone.unwrap()).await.unwrap();
    let window = started.elapsed() * 3 / 2;
    scenario.good_at(&second).await.unwrap();
    scenario.agent.kill();

    let kills = from_environment("LEEWARD_KILLS", KILLS);
    let seed = from_environment("LEEWARD_SEED", SEED);
    say(&format!("{kills} kills within {window:?} of a start each, LEEWARD_SEED={seed}"));
    let mut seed = Seed::new(seed);
    let mut version = 1;
    for _ in 0..kills {
        // Every other start finds what the last one left undone, and nothing new.
        if seed.chance(60) {
            version += 1;
            commit(&scenario, version);
        }
        scenario.agent.start_again().unwrap();
        let micros = u64::try_from(window.as_micros()).unwrap();
        tokio::time::sleep(Duration::from_micros(seed.below(micros))).await;
        scenario.agent.kill();
    }
    let last = scenario.repository.head().unwrap().unwrap();
    scenario.agent.start_again().unwrap();
    let status = scenario.good_at(&last).await.unwrap();
    assert_eq!(status.apps[0].bad.len(), 0, "{status:#?}");

    let desired = content(name, version);
    let expected: BTreeSet<ObjectKey> =
        desired.iter().map(|one| ObjectKey::of(one).unwrap()).collect();
    let kept_key = ObjectKey::of(&kept(name)).unwrap();
    let mut found = owned(&scenario.api, &lists(name), name).await.unwrap();
    assert!(found.remove(&kept_key), "{kept_key} is gone");
    assert_eq!(found, expected, "in the cluster, and in Git");
    for manifest in &desired {
        let live = scenario.live(manifest).await.unwrap().unwrap();
        assert_eq!(live["data"], manifest["data"]);
        let pointer = "/spec/template/metadata/annotations/version";
        assert_eq!(live.pointer(pointer), manifest.pointer(pointer));
    }
    for (uid_before, manifest) in &untouched {
        let live = scenario.live(manifest).await.unwrap().unwrap();
        assert_eq!(&uid(&live), uid_before);
    }
    scenario.agent.kill();
    let inventory = inventory(&scenario.agent).unwrap();
    let mut believed: BTreeSet<ObjectKey> = inventory[name].keys().cloned().collect();
    believed.remove(&kept_key);
    assert_eq!(believed, expected, "in the inventory, and in the cluster");
}

fn is_in(manifest: &Value, all: &[Value]) -> bool {
    all.iter().any(|one| ObjectKey::of(one) == ObjectKey::of(manifest))
}
