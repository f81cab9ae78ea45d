//! Killed in the middle of a fetch over a slow link.

use std::time::{Duration, Instant};

use leeward_tests::{
    Seed,
    faultproxy::Policy,
    scenario::{MEDDLER, SOON, Scenario, objects::namespace},
    weather::{Link, say},
};
use serde_json::json;

const FILES: u32 = 96;
/// Of each file, before base64; nothing in it can be compressed.
const FILE_BYTES: usize = 9 * 1024;
/// The store keeps what arrived at least this often, so a kill costs at most so
/// much; the same again for the objects under way and what is asked anew.
const COST_OF_A_KILL: u64 = 2 * 64 * 1024;
/// KB a second: the whole takes some seconds.
const SLOW: u64 = 128;
const KILLS: u64 = 3;

fn files(name: &str) -> Vec<(String, String)> {
    let mut seed = Seed::new(3);
    (0..FILES)
        .map(|index| {
            use base64::Engine as _;
            let noise = base64::engine::general_purpose::STANDARD.encode(seed.bytes(FILE_BYTES));
            let map = json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": { "name": format!("noise-{index}"), "namespace": name },
                "data": { "noise": noise },
            });
            (format!("noise-{index}.yaml"), format!("{map:#}\n"))
        })
        .collect()
}

/// An agent on a link of its own, before its first start.
async fn prepared(name: &str) -> Option<(Scenario, Link)> {
    let files = files(name);
    let files: Vec<(&str, String)> =
        files.iter().map(|(path, content)| (path.as_str(), content.clone())).collect();
    let mut scenario = Scenario::prepare(name, &files, |options| options).await.unwrap()?;
    scenario.api.apply(&namespace(name), MEDDLER).await.unwrap();
    let link = Link::lay(&mut scenario, None).unwrap();
    Some((scenario, link))
}

/// Waits until so many bytes have come down since the start of the link.
async fn received(link: &Link, bytes: u64) {
    let started = Instant::now();
    while link.counts().traffic.down < bytes {
        assert!(started.elapsed() < SOON, "{:?}", link.counts());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn next_start_asks_only_for_what_is_missing() {
    let Some((mut whole, link)) = prepared("crash-whole").await else { return };
    whole.agent.start_again().unwrap();
    whole.wait(|status| status.source.commit.is_some()).await.unwrap();
    let at_once = link.counts().traffic.down;
    drop(whole);

    let Some((mut scenario, link)) = prepared("crash-pieces").await else { return };
    link.set_policy(Policy::slow(SLOW, Duration::from_millis(40)));
    for kill in 1..=KILLS {
        scenario.agent.start_again().unwrap();
        received(&link, at_once * kill / (KILLS + 1)).await;
        scenario.agent.kill();
    }
    link.set_policy(Policy::default());
    let before = link.counts();
    scenario.agent.start_again().unwrap();
    scenario.wait(|status| status.source.commit.is_some()).await.unwrap();
    let last = link.counts().since(before).traffic.down;
    let in_pieces = link.counts().traffic.down;
    say(&format!(
        "at once {at_once} bytes; in {} pieces {in_pieces}, of which {last} after the last kill",
        KILLS + 1
    ));
    assert!(in_pieces < at_once + KILLS * COST_OF_A_KILL, "{in_pieces} for {at_once}");
    let commit = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&commit).await.unwrap();
}
