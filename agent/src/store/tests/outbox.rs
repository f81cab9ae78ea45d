//! The outbox keeps what matters most, in order.

use serde_json::json;

use super::*;
use crate::store::Batch;

fn push(store: &Store, events: Vec<(Stamp, Event)>) -> u64 {
    store.commit(Batch { events, ..Batch::default() }).unwrap().last_sequence
}

fn print(store: &Store) -> String {
    let line = |entry: leeward_core::report::Entry| {
        let what = entry.event.data.get("commit").and_then(serde_json::Value::as_str);
        format!(
            "{} {:?} {} x{}\n",
            entry.sequence,
            entry.event.kind,
            what.unwrap_or(""),
            entry.count
        )
    };
    store.outbox_head(u64::MAX).unwrap().into_iter().map(line).collect()
}

#[test]
fn acknowledged_events_go_and_the_rest_stay_in_order() {
    let store = memory();
    push(&store, ["a", "b", "c"].map(|commit| event(EventKind::AppGood, commit)).to_vec());
    store.acknowledge(&[1, 2], stamp(1).wall).unwrap();
    push(&store, vec![event(EventKind::AppFailed, "d")]);
    assert_eq!(print(&store), "3 AppGood c x1\n4 AppFailed d x1\n");
    let status = store.outbox_status().unwrap();
    assert_eq!((status.pending, status.last_acknowledged), (2, Some(stamp(1).wall)));
}

#[test]
fn the_head_is_bounded_but_never_empty_while_events_wait() {
    let store = memory();
    push(&store, ["a", "b", "c"].map(|commit| event(EventKind::AppGood, commit)).to_vec());
    assert_eq!(store.outbox_head(1).unwrap().len(), 1);
    assert_eq!(store.outbox_head(450).unwrap().len(), 2);
}

#[test]
fn only_the_newest_state_waits() {
    let store = memory();
    for app in ["a", "b"] {
        let state = Some((stamp(1), json!({ "apps": app })));
        store.commit(Batch { state, ..Batch::default() }).unwrap();
    }
    let state = store.outbox_state().unwrap().unwrap();
    assert_eq!((state.sequence, &state.event.data), (2, &json!({"apps": "b"})));
    store.acknowledge(&[1], stamp(1).wall).unwrap();
    assert!(store.outbox_state().unwrap().is_some());
    store.acknowledge(&[2], stamp(1).wall).unwrap();
    assert_eq!(store.outbox_state().unwrap(), None);
}

#[test]
fn a_full_outbox_folds_repeats_then_drops_routine_and_records_the_gap() {
    let store = memory();
    store.set_outbox_limit(2000);
    push(&store, vec![event(EventKind::AppFailed, "x")]);
    for _ in 0..20 {
        push(&store, vec![event(EventKind::DriftHealed, "same")]);
    }
    for number in 0..12 {
        push(&store, vec![event(EventKind::AppApplied, &number.to_string())]);
    }
    insta::assert_snapshot!(print(&store), @r"
    1 AppFailed x x1
    28 ReportGap  x1
    29 AppApplied 7 x1
    30 AppApplied 8 x1
    31 AppApplied 9 x1
    32 AppApplied 10 x1
    33 AppApplied 11 x1
    ");
    let status = store.outbox_status().unwrap();
    insta::assert_snapshot!(format!("{} folded, {} dropped", status.folded, status.dropped), @"19 folded, 27 dropped");
}

#[test]
fn what_was_offered_to_the_receiver_is_neither_folded_nor_dropped() {
    let store = memory();
    store.set_outbox_limit(2000);
    push(
        &store,
        ["same", "same", "same"].map(|commit| event(EventKind::LinkChanged, commit)).to_vec(),
    );
    let offered: Vec<_> = store.outbox_head(u64::MAX).unwrap();
    for number in 0..40 {
        push(&store, vec![event(EventKind::AppApplied, &number.to_string())]);
    }
    assert_eq!(store.outbox_head(u64::MAX).unwrap()[..3], offered);
}

#[test]
fn every_event_is_there_or_counted() {
    let store = memory();
    store.set_outbox_limit(20_000);
    let kinds =
        [EventKind::DriftHealed, EventKind::AppApplied, EventKind::AppGood, EventKind::AppFailed];
    for number in 0..2000 {
        push(&store, vec![event(kinds[number % 4], &(number % 150).to_string())]);
    }
    let entries = store.outbox_head(u64::MAX).unwrap();
    let waiting: u64 = entries
        .iter()
        .filter(|entry| entry.event.kind != EventKind::ReportGap)
        .map(|entry| entry.count)
        .sum();
    let status = store.outbox_status().unwrap();
    assert_eq!(waiting + status.dropped, 2000);
    assert_eq!(status.pending, entries.len() as u64);
    let bytes: usize = entries.iter().map(|entry| super::super::schema::encode(entry).len()).sum();
    assert!(bytes < 20_000);
    assert!(entries.is_sorted_by_key(|entry| entry.sequence));
    let gaps: u64 = entries
        .iter()
        .filter(|entry| entry.event.kind == EventKind::ReportGap)
        .filter_map(|entry| entry.event.data["count"].as_u64())
        .sum();
    assert_eq!(gaps, status.dropped);
}

#[test]
fn a_refused_event_is_set_aside_counted_and_named() {
    let store = memory();
    push(&store, ["a", "b"].map(|commit| event(EventKind::AppGood, commit)).to_vec());
    store.set_event_aside(1, "400 Bad Request").unwrap();
    store.set_event_aside(1, "400 Bad Request").unwrap();
    let status = store.outbox_status().unwrap();
    assert_eq!((status.pending, status.refused), (1, 1));
    assert_eq!(status.refused_events, ["1-1 dev.leeward.app.good.v1: 400 Bad Request"]);
}

#[test]
fn an_event_too_large_to_be_sent_is_cut() {
    let store = memory();
    let (stamp, mut large) = event(EventKind::AppFailed, "a");
    large.data["objects"] = vec!["x".repeat(1000); 500].into();
    push(&store, vec![(stamp, large)]);
    let entry = &store.outbox_head(u64::MAX).unwrap()[0];
    assert!(entry.event.data.to_string().len() <= 64 * 1024);
    assert_eq!(
        (&entry.event.data["commit"], &entry.event.data["truncated"]),
        (&json!("a"), &json!(true))
    );
}
