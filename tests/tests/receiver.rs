//! The receiver of reports, with a sender that does as docs/reference/reports.md says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::time::Duration;

use leeward_tests::receiver::{Misbehaviour, Receiver, ReceiverOptions, Status};
use serde_json::{Value, json};

/// How long the sender waits for an answer that may never come.
const PATIENCE: Duration = Duration::from_millis(500);

fn event(sequence: u64) -> Value {
    json!({
        "specversion": "1.0", "id": format!("1-{sequence}"), "source": "/clusters/edge",
        "subject": "app", "type": "dev.leeward.app.applied.v1", "time": "2026-01-02T03:04:05Z",
        "sequence": format!("{sequence:020}"), "boot": 1, "uptimems": 5, "clocktrusted": true,
        "datacontenttype": "application/json",
        "data": {
            "commit": "0".repeat(40), "content": "ab", "created": 1, "changed": 0, "pruned": 0,
            "unchanged": 0,
        },
    })
}

/// The status of the answer; `None` if there was none.
async fn send(receiver: &Receiver, body: Vec<u8>, encoding: Option<&str>) -> Option<u16> {
    // A second installation says only that there is one.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let mut request = client
        .post(receiver.url())
        .header("content-type", "application/cloudevents-batch+json")
        .header("authorization", "Bearer secret")
        .body(body);
    if let Some(encoding) = encoding {
        request = request.header("content-encoding", encoding);
    }
    Some(request.send().await.ok()?.status().as_u16())
}

fn batch(sequences: &[u64]) -> Vec<u8> {
    let events: Vec<Value> = sequences.iter().map(|sequence| event(*sequence)).collect();
    serde_json::to_vec(&events).unwrap()
}

fn sequences(receiver: &Receiver) -> Vec<u64> {
    receiver.events().iter().map(|event| event.sequence).collect()
}

#[tokio::test]
async fn sender_that_repeats_until_acknowledged_loses_nothing() {
    let misbehaviour =
        Misbehaviour { server_error: 25, too_many: 15, hang: 5, acknowledgement_lost: 20 };
    let options = ReceiverOptions { seed: 11, misbehaviour, ..ReceiverOptions::default() };
    let receiver = Receiver::start(options).unwrap();
    for first in [1, 4, 7, 10, 13, 16, 19] {
        let body = batch(&[first, first + 1, first + 2]);
        while send(&receiver, body.clone(), None).await != Some(202) {}
    }
    let went_wrong: Vec<Status> = receiver
        .batches()
        .iter()
        .map(|batch| batch.status)
        .filter(|status| *status != Status::Answered(202))
        .collect();
    let expected: Vec<u64> = (1..=21).collect();
    assert!(sequences(&receiver) == expected && went_wrong.len() >= 3, "{went_wrong:?}");
    assert_eq!(receiver.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn lost_acknowledgement_leaves_the_events_with_the_receiver() {
    let misbehaviour = Misbehaviour { acknowledgement_lost: 100, ..Misbehaviour::default() };
    let receiver =
        Receiver::start(ReceiverOptions { misbehaviour, ..ReceiverOptions::default() }).unwrap();
    let answer = send(&receiver, batch(&[1, 2]), None).await;
    assert_eq!((answer, sequences(&receiver)), (None, vec![1, 2]));
}

#[tokio::test]
async fn events_out_of_order_are_named() {
    let receiver = Receiver::start(ReceiverOptions::default()).unwrap();
    send(&receiver, batch(&[2]), None).await;
    send(&receiver, batch(&[1]), None).await;
    let expected = "/clusters/edge 1-1 (dev.leeward.app.applied.v1) came after 1-2 \
                    (dev.leeward.app.applied.v1)";
    assert_eq!(receiver.violations(), [expected]);
}

#[tokio::test]
async fn zstd_is_read_and_limits_are_kept() {
    let options = ReceiverOptions {
        token: Some("secret".into()),
        accept_zstd: true,
        max_body: Some(2000),
        refused_type: Some("dev.leeward.app.held.v1".into()),
        ..ReceiverOptions::default()
    };
    let receiver = Receiver::start(options).unwrap();
    let compressed = zstd::encode_all(batch(&[1]).as_slice(), 3).unwrap();
    let mut held = event(2);
    held["type"] = json!("dev.leeward.app.held.v1");
    held["data"]["reason"] = json!("dependency");
    held["data"]["detail"] = json!("db is not good yet");
    let answers = [
        send(&receiver, compressed, Some("zstd")).await,
        send(&receiver, batch(&[1, 2, 3, 4, 5, 6, 7, 8, 9]), None).await,
        send(&receiver, serde_json::to_vec(&[held]).unwrap(), None).await,
        send(&receiver, b"[{}]".to_vec(), None).await,
    ];
    assert_eq!(
        (answers, sequences(&receiver)),
        ([Some(202), Some(413), Some(422), Some(400)], vec![1])
    );
}

#[tokio::test]
async fn receiver_that_was_down_remembers_what_it_has() {
    let receiver = Receiver::start(ReceiverOptions::default()).unwrap();
    send(&receiver, batch(&[1]), None).await;
    receiver.stop().await;
    let down = send(&receiver, batch(&[2]), None).await;
    receiver.start_again().await.unwrap();
    send(&receiver, batch(&[2]), None).await;
    assert_eq!((down, sequences(&receiver)), (None, vec![1, 2]));
}
