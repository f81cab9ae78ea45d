//! How far kustomizations may reach: `source.allowed_roots`, and budgets.

use leeward_core::model::PhaseName;
use leeward_tests::{
    fleet::Change,
    scenario::{
        Scenario,
        objects::{config_map, text},
    },
    weather::Link,
};
use serde_json::Value;

const OVERLAY: &str = "namePrefix: till-\nresources:\n- ../../base/shop\n";

fn base(namespace: &str, value: &str) -> Vec<Change> {
    let map = config_map(namespace, "settings", value);
    vec![
        Change::write("base/shop/kustomization.yaml", "resources: [shop.yaml]\n"),
        Change::write("base/shop/shop.yaml", map.to_string()),
        Change::write("base/shop/large.bin", noise(300_000)),
    ]
}

/// Bytes that nothing compresses.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn roots(roots: &[&str]) -> toml::Value {
    toml::Value::Array(roots.iter().map(|root| (*root).into()).collect())
}

fn settings(namespace: &str) -> Value {
    config_map(namespace, "till-settings", "")
}

#[tokio::test]
async fn what_is_beyond_the_allowed_roots_is_neither_fetched_nor_used_and_the_fault_says_why() {
    let name = "roots";
    let files = [("kustomization.yaml", OVERLAY.to_owned())];
    let only = roots(&["components", "bases/{cluster}"]);
    let options = |options: leeward_tests::agent::AgentOptions| {
        options.set("source.allowed_roots", only.clone())
    };
    let Some(mut scenario) = Scenario::prepare(name, &files, options).await.unwrap() else {
        return;
    };
    let link = Link::lay(&mut scenario, None).unwrap();
    let namespace = leeward_tests::scenario::objects::namespace(name);
    scenario.api.apply(&namespace, leeward_tests::scenario::MEDDLER).await.unwrap();
    scenario.repository.commit("A base", &base(name, "1")).unwrap();
    scenario.agent.start_again().unwrap();
    let app = scenario.wait_app(name, |app| app.phase == PhaseName::Failed).await.unwrap();
    for part in [
        "kustomization.yaml:3",
        "base/shop",
        "source.allowed_roots",
        "components, bases/roots",
        "clusters/roots",
    ] {
        assert!(app.message.contains(part), "{part}: {}", app.message);
    }
    let received = link.counts().traffic.down;
    assert!(received < 20_000, "{received} bytes: the base was fetched");

    // Allowed, it is fetched at the next start, without a new commit.
    let allow = |agent: &mut leeward_tests::agent::Agent, list: &[&str]| {
        agent.configure(|options| options.set("source.allowed_roots", roots(list))).unwrap();
    };
    scenario.agent.kill();
    allow(&mut scenario.agent, &["base"]);
    scenario.agent.start_again().unwrap();
    scenario.wait_live(&settings(name), |live| text(live, "/data/key") == "1").await.unwrap();
    let is_good = |app: &leeward_core::model::AppStatus| app.phase == PhaseName::Good;
    scenario.wait_app(name, is_good).await.unwrap();

    // Forbidden again, what is in the store is not used; what runs stays.
    scenario.agent.kill();
    allow(&mut scenario.agent, &[]);
    scenario.agent.start_again().unwrap();
    let why = scenario
        .wait(|status| status.apps.iter().any(|app| app.message.contains("source.allowed_roots")));
    why.await.unwrap();
    let live = scenario.live(&settings(name)).await.unwrap().unwrap();
    assert_eq!(text(&live, "/data/key"), "1");
}

#[tokio::test]
async fn folder_beyond_a_budget_is_its_apps_fault_and_no_others() {
    let name = "root-budget";
    let deep: Vec<&str> = std::iter::repeat_n("deep", 70).collect();
    let deep = format!("base/shop/{}/a.txt", deep.join("/"));
    let leeward = "apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps:\n\
        - { name: root-budget-shop, path: shop }\n- { name: root-budget-other, path: other }\n";
    let overlay = "resources: [../../../base/shop]\n";
    let files = [
        ("leeward.yaml", leeward.to_owned()),
        ("shop/kustomization.yaml", overlay.to_owned()),
        ("other/map.yaml", config_map(name, "other", "1").to_string()),
    ];
    let prepared = Scenario::prepare(name, &files, |options| options).await.unwrap();
    let Some(mut scenario) = prepared else { return };
    let namespace = leeward_tests::scenario::objects::namespace(name);
    scenario.api.apply(&namespace, leeward_tests::scenario::MEDDLER).await.unwrap();
    let mut changes = base(name, "1");
    changes.push(Change::write(deep.clone(), "x"));
    scenario.repository.commit("A deep base", &changes).unwrap();
    scenario.agent.start_again().unwrap();
    let other = "root-budget-other";
    scenario.wait_app(other, |app| app.phase == PhaseName::Good).await.unwrap();
    let shop = "root-budget-shop";
    let app = scenario.wait_app(shop, |app| app.phase == PhaseName::Failed).await.unwrap();
    assert!(app.message.contains("base/shop"), "{}", app.message);
    assert!(app.message.contains("deeper than 64"), "{}", app.message);

    let next = scenario.repository.commit("Flat again", &[Change::delete(deep)]).unwrap();
    scenario.good_at(&next).await.unwrap();
}

#[tokio::test]
async fn more_folders_than_one_source_may_refer_to_are_left_out_by_name() {
    let name = "root-many";
    let folders = 0..65;
    let resources = folders.clone().map(|number| format!("- ../../many/f{number}\n"));
    let overlay = format!("resources:\n{}", resources.collect::<String>());
    let files = [("kustomization.yaml", overlay)];
    let prepared = Scenario::prepare(name, &files, |options| options).await.unwrap();
    let Some(mut scenario) = prepared else { return };
    let changes = folders.flat_map(|number| {
        let map = config_map(name, &format!("map-{number}"), "1").to_string();
        let folder = format!("many/f{number}");
        [
            Change::write(format!("{folder}/kustomization.yaml"), "resources: [map.yaml]\n"),
            Change::write(format!("{folder}/map.yaml"), map),
        ]
    });
    scenario.repository.commit("Many", &changes.collect::<Vec<_>>()).unwrap();
    scenario.agent.start_again().unwrap();
    let app = scenario.wait_app(name, |app| app.phase == PhaseName::Failed).await.unwrap();
    assert!(app.message.contains("many/f"), "{}", app.message);
    assert!(app.message.contains("more than 64 other folders"), "{}", app.message);
}
