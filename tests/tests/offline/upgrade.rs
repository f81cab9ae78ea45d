//! A store outlives the agent that wrote it: each version that was shipped has
//! left one here, and every later agent goes on with it, without a link.

use std::{
    fs,
    path::{Path, PathBuf},
};

use leeward_core::model::LinkState;
use leeward_tests::{
    scenario::{
        SOON, Scenario,
        objects::{config_map, documents},
    },
    weather::{Link, say},
};
use serde_json::{Value, json};

const NAME: &str = "offline-upgrade";
/// Never to be changed: the stores know the commit that it makes.
const FILES: &str = "\
apiVersion: v1
kind: Namespace
metadata:
  name: offline-upgrade
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  namespace: offline-upgrade
data:
  greeting: hello
---
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: offline-upgrade
spec:
  selector:
    app: web
  ports:
  - name: http
    port: 80
";
/// Of one store, in bytes: git keeps it for ever.
const FIXTURE_MAX: usize = 64 * 1024;
/// Of a store as it was, in bytes.
const STORE_MAX: usize = 256 * 1024 * 1024;
/// Of zstd, which takes a moment for it once in the life of a version.
const LEVEL: i32 = 19;

fn stores() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/stores")
}

fn own() -> PathBuf {
    stores().join(format!("{}.redb.zst", env!("CARGO_PKG_VERSION")))
}

fn objects() -> [Value; 2] {
    ["ConfigMap/settings", "Service/web"].map(|object| {
        let (kind, name) = object.split_once('/').unwrap();
        json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": name, "namespace": NAME } })
    })
}

async fn prepared() -> Option<(Scenario, Link)> {
    let files = [("all.yaml", FILES.to_owned())];
    // One poll at the start, and none that would be counted later.
    let once = |options: leeward_tests::agent::AgentOptions| options.set("source.interval", "1h");
    let mut scenario = Scenario::prepare(NAME, &files, once).await.unwrap()?;
    let link = Link::lay(&mut scenario, None).unwrap();
    Some((scenario, link))
}

/// What an agent of this version leaves behind, as its successors will find it.
async fn leave_a_store() {
    let Some((mut scenario, _link)) = prepared().await else { return };
    scenario.agent.start_again().unwrap();
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
    scenario.agent.stop(SOON).await.unwrap();
    let store = fs::read(scenario.agent.store_path().join("leeward.redb")).unwrap();
    let small = zstd::bulk::compress(&store, LEVEL).unwrap();
    assert!(small.len() <= FIXTURE_MAX, "{} bytes", small.len());
    fs::create_dir_all(stores()).unwrap();
    fs::write(own(), small).unwrap();
    for object in objects() {
        scenario.remove(&object).await.unwrap();
        scenario.wait_gone(&object).await.unwrap();
    }
}

#[tokio::test]
async fn store_of_every_version_is_taken_over_without_a_link_and_nothing_is_fetched_again() {
    if std::env::var_os("LEEWARD_BLESS").is_some() {
        leave_a_store().await;
    }
    let own = own();
    assert!(own.exists(), "a new version leaves its store: LEEWARD_BLESS=1 writes {own:?}");
    let mut all: Vec<PathBuf> =
        fs::read_dir(stores()).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    for store in all {
        let Some((mut scenario, link)) = prepared().await else { return };
        is_taken_over(&mut scenario, &link, &store).await;
    }
}

async fn is_taken_over(scenario: &mut Scenario, link: &Link, store: &Path) {
    let name = store.file_name().unwrap().display().to_string();
    let small = fs::read(store).unwrap();
    let folder = scenario.agent.store_path();
    fs::create_dir(&folder).unwrap();
    let content = zstd::bulk::decompress(&small, STORE_MAX).unwrap();
    fs::write(folder.join("leeward.redb"), content).unwrap();
    let commit = scenario.repository.head().unwrap().unwrap();

    // Before any agent of this version has touched it.
    let found = scenario.agent.status().await.unwrap();
    assert!(!found.agent.running, "{name}");
    assert_eq!(found.source.commit.map(|id| id.to_string()).as_ref(), Some(&commit), "{name}");
    assert_eq!(found.apps.len(), 1, "{name}");

    link.cut().await;
    scenario.agent.start_again().unwrap();
    for object in objects() {
        scenario.wait_live(&object, |_| true).await.unwrap();
    }
    let status = scenario.good_at(&commit).await.unwrap();
    assert_eq!(status.agent.boot, found.agent.boot + 1, "{name}");
    scenario.wait(|status| status.link.state == LinkState::Down).await.unwrap();
    let aside: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|file| file.contains("corrupt"))
        .collect();
    assert_eq!(aside, Vec::<String>::new(), "{name}");
    let history = scenario.tell(&["history"]).await.unwrap();
    assert!(history.contains(&commit[..7]), "{name}: {history}");

    link.restore().await.unwrap();
    scenario.tell(&["sync"]).await.unwrap();
    scenario.wait(|status| status.link.state == LinkState::Up).await.unwrap();
    // Capabilities, then the ref: who asks for objects asks a third time.
    let asked = scenario.server.requests();
    assert!(asked.len() == 2 && asked[0].starts_with("GET"), "{name}: {asked:?}");
    say(&format!("the store of {name}, {} bytes, was taken over", small.len()));

    rolls_back_to_what_the_store_knew(scenario, &commit).await;
    scenario.agent.stop(SOON).await.unwrap();
    for object in objects() {
        scenario.remove(&object).await.unwrap();
        scenario.wait_gone(&object).await.unwrap();
    }
}

/// The good revision of the older agent is one to go back to, once there is a newer one.
async fn rolls_back_to_what_the_store_knew(scenario: &mut Scenario, commit: &str) {
    let more = config_map(NAME, "more", "1");
    let next = scenario.commit(&[("more.yaml", documents(std::slice::from_ref(&more)))]).unwrap();
    scenario.tell(&["sync"]).await.unwrap();
    scenario.good_at(&next).await.unwrap();
    scenario.tell(&["rollback", NAME]).await.unwrap();
    let status = scenario.good_at(commit).await.unwrap();
    let pinned = status.apps[0].pinned.as_ref().map(|pinned| pinned.commit.to_string());
    assert_eq!(pinned.as_deref(), Some(commit));
    scenario.wait_gone(&more).await.unwrap();
}
