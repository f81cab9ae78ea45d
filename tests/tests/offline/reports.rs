//! What happened without a link is told when it returns.

use std::collections::{BTreeMap, BTreeSet};

use leeward_core::{model::LinkState, report::Entry};
use leeward_tests::{
    receiver::{Event, Misbehaviour, Receiver, ReceiverOptions},
    scenario::{
        MEDDLER, SOON, Scenario,
        objects::{config_map, documents, namespace, uid},
    },
    weather::{Link, outbox, say},
};
use serde_json::Value;

const RESTARTS: u64 = 3;
const STATE: &str = "dev.leeward.state.v1";

fn ids(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| format!("{}-{}", entry.stamp.boot, entry.sequence)).collect()
}

fn count(events: &[Event], kind: &str) -> usize {
    events.iter().filter(|event| event.kind.ends_with(kind)).count()
}

/// Deletes the object under the running agent, and waits until it is back.
async fn heal_once(scenario: &Scenario, manifest: &Value) {
    let before = uid(&scenario.live(manifest).await.unwrap().unwrap());
    scenario.remove(manifest).await.unwrap();
    scenario.wait_live(manifest, |live| uid(live) != before).await.unwrap();
}

/// Link cut, three lives with one drift each, link back, one more kill while
/// reports flow. The stores of the dead agents say what was to be told.
async fn everything_is_told(name: &str, misbehaviour: Misbehaviour) {
    let receiver =
        Receiver::start(ReceiverOptions { seed: 7, misbehaviour, ..ReceiverOptions::default() });
    let receiver = receiver.unwrap();
    let map = config_map(name, "one", "1");
    let files = [("all.yaml", documents(std::slice::from_ref(&map)))];
    let prepared = Scenario::prepare(name, &files, |options| options).await.unwrap();
    let Some(mut scenario) = prepared else { return };
    scenario.api.apply(&namespace(name), MEDDLER).await.unwrap();
    let link = Link::lay(&mut scenario, Some(&receiver)).unwrap();
    scenario.agent.start_again().unwrap();
    let first = scenario.repository.head().unwrap().unwrap();
    scenario.good_at(&first).await.unwrap();

    link.cut().await;
    let mut to_tell = BTreeSet::new();
    for restart in 1..=RESTARTS {
        scenario.wait(|status| status.link.state == LinkState::Down).await.unwrap();
        heal_once(&scenario, &map).await;
        scenario.wait(|status| status.apps[0].drift.healed >= restart).await.unwrap();
        scenario.agent.kill();
        to_tell.extend(ids(&outbox(&scenario.agent).unwrap()));
        scenario.agent.start_again().unwrap();
    }
    link.restore().await.unwrap();
    let second = scenario.commit(&[("more.yaml", documents(&[config_map(name, "more", "1")]))]);
    let second = second.unwrap();
    scenario.good_at(&second).await.unwrap();
    scenario.agent.kill();
    to_tell.extend(ids(&outbox(&scenario.agent).unwrap()));
    scenario.agent.start_again().unwrap();

    let is_told = |events: &[Event]| {
        let newest = events.iter().filter(|event| event.kind == STATE).max_by_key(|e| e.sequence);
        newest.is_some_and(|state| {
            let app = &state.data["apps"][0];
            state.boot == RESTARTS + 2
                && app["phase"] == "good"
                && app["good"]["commit"] == second.as_str()
                && state.data["link"]["state"] == "up"
        })
    };
    let status = scenario
        .agent
        .wait_status(2 * SOON, |status| {
            status.agent.running && status.outbox.pending == 0 && is_told(&receiver.events())
        })
        .await
        .unwrap();
    assert_eq!((status.outbox.folded, status.outbox.dropped, status.outbox.refused), (0, 0, 0));

    let told = receiver.events();
    assert_eq!(receiver.violations(), Vec::<String>::new());
    let ids: BTreeSet<String> = told.iter().map(|event| event.id.clone()).collect();
    assert_eq!(to_tell.difference(&ids).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(ids.len(), told.len());
    let kinds: BTreeMap<&str, usize> = told.iter().fold(BTreeMap::new(), |mut kinds, event| {
        *kinds.entry(event.kind.as_str()).or_default() += 1;
        kinds
    });
    say(&format!("{} batches for {kinds:?}", receiver.batches().len()));
    assert_eq!(count(&told, "agent.started.v1") as u64, RESTARTS + 2);
    assert_eq!(count(&told, "drift.healed.v1") as u64, RESTARTS);
    assert_eq!(count(&told, "app.good.v1"), 2, "{kinds:?}");
}

#[tokio::test]
async fn receiver_has_every_event_once_and_in_order_and_the_newest_state() {
    everything_is_told("reports-sound", Misbehaviour::default()).await;
}

#[tokio::test]
async fn receiver_that_fails_every_other_request_has_them_too() {
    let misbehaviour =
        Misbehaviour { server_error: 20, too_many: 10, acknowledgement_lost: 20, hang: 0 };
    everything_is_told("reports-flaky", misbehaviour).await;
}
