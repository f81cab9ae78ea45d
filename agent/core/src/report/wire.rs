//! How an entry of the outbox looks to the receiver (contract §5).

use serde_json::{Map, Value, json};

use super::Entry;
use crate::model::Digest;

/// `<boot>-<sequence>`, unique for ever in one cluster.
pub fn event_id(entry: &Entry) -> String {
    format!("{}-{}", entry.stamp.boot, entry.sequence)
}

/// One event of a CloudEvents 1.0 batch.
pub fn to_cloud_event(entry: &Entry, cluster: &str) -> Value {
    let mut event = Map::new();
    let mut set = |name: &str, value: Value| event.insert(name.to_owned(), value);
    set("specversion", "1.0".into());
    set("id", event_id(entry).into());
    set("source", format!("/clusters/{cluster}").into());
    set("type", entry.event.kind.type_name().into());
    if let Some(app) = &entry.event.subject {
        set("subject", app.as_str().into());
    }
    set("time", entry.stamp.wall.to_string().into());
    set("sequence", format!("{:020}", entry.sequence).into());
    set("boot", entry.stamp.boot.into());
    set("uptimems", entry.stamp.uptime_ms.into());
    set("clocktrusted", entry.stamp.clock_trusted.into());
    set("datacontenttype", "application/json".into());
    set("data", data(entry));
    Value::Object(event)
}

fn data(entry: &Entry) -> Value {
    let mut data = entry.event.data.clone();
    if let (Value::Object(fields), true) = (&mut data, entry.count > 1) {
        fields.insert("count".to_owned(), entry.count.into());
        if let Some(first) = entry.first {
            fields.insert("first_time".to_owned(), first.to_string().into());
        }
    }
    data
}

/// Digest of what makes a state document worth sending.
///
/// Running clocks, and the outbox and the store themselves, are left out: a
/// report that changes only because the former one was delivered would follow
/// itself for ever.
pub fn state_digest(document: &Value) -> Digest {
    let mut document = document.clone();
    let mut drop_field = |path: &str, field: &str| {
        if let Some(fields) = document.pointer_mut(path).and_then(Value::as_object_mut) {
            fields.remove(field);
        }
    };
    for (path, field) in
        [("/agent", "uptime_seconds"), ("/link", "next_try"), ("", "outbox"), ("", "store")]
    {
        drop_field(path, field);
    }
    if let Some(blockers) = document.get_mut("why").and_then(Value::as_array_mut) {
        for blocker in blockers.iter_mut().filter_map(Value::as_object_mut) {
            blocker.insert("next_try".to_owned(), json!(null));
        }
    }
    Digest::of(document.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Event, EventKind, Stamp};

    fn entry() -> Entry {
        Entry {
            sequence: 42,
            stamp: Stamp {
                boot: 12,
                uptime_ms: 86_400_000,
                wall: "2026-01-02T03:04:05Z".parse().unwrap(),
                clock_trusted: true,
            },
            event: Event {
                kind: EventKind::DriftHealed,
                subject: Some("shop".to_owned()),
                data: json!({"object": "Deployment.apps shop/web"}),
            },
            count: 3,
            first: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        }
    }

    #[test]
    fn an_entry_becomes_a_cloud_event_with_every_attribute_of_the_contract() {
        let text = serde_json::to_string_pretty(&to_cloud_event(&entry(), "shop-0042")).unwrap();
        insta::assert_snapshot!(text, @r#"
        {
          "boot": 12,
          "clocktrusted": true,
          "data": {
            "count": 3,
            "first_time": "2026-01-01T00:00:00Z",
            "object": "Deployment.apps shop/web"
          },
          "datacontenttype": "application/json",
          "id": "12-42",
          "sequence": "00000000000000000042",
          "source": "/clusters/shop-0042",
          "specversion": "1.0",
          "subject": "shop",
          "time": "2026-01-02T03:04:05Z",
          "type": "dev.leeward.drift.healed.v1",
          "uptimems": 86400000
        }
        "#);
    }

    #[test]
    fn an_event_of_the_agent_itself_has_no_subject() {
        let mut entry = entry();
        entry.event.subject = None;
        assert_eq!(to_cloud_event(&entry, "a").get("subject"), None);
    }

    #[test]
    fn a_state_that_differs_only_in_running_clocks_is_the_same() {
        let one = json!({"agent": {"boot": 1, "uptime_seconds": 1}, "outbox": {"pending": 4},
            "why": [{"blocker": "link", "next_try": "2026-01-02T03:04:05Z"}]});
        let two = json!({"agent": {"boot": 1, "uptime_seconds": 9}, "outbox": {"pending": 0},
            "why": [{"blocker": "link", "next_try": "2026-01-02T03:05:05Z"}]});
        let other = json!({"agent": {"boot": 2, "uptime_seconds": 1}});
        assert_eq!(state_digest(&one), state_digest(&two));
        assert_ne!(state_digest(&one), state_digest(&other));
    }
}
