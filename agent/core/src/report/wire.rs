//! An entry of the outbox as the receiver gets it (docs/reference/reports.md).

use leeward_wire::CloudEvent;
use serde_json::Value;

use super::Entry;

/// `<boot>-<sequence>`, unique for ever in one cluster.
pub fn event_id(entry: &Entry) -> String {
    format!("{}-{}", entry.stamp.boot, entry.sequence)
}

/// Returns an entry as the receiver gets it.
pub fn to_cloud_event(entry: &Entry, cluster: &str) -> CloudEvent {
    CloudEvent {
        id: event_id(entry),
        source: format!("/clusters/{cluster}"),
        subject: entry.event.subject.clone(),
        kind: entry.event.kind.type_name().to_owned(),
        time: entry.stamp.wall,
        sequence: entry.sequence,
        boot: entry.stamp.boot,
        uptime_ms: entry.stamp.uptime_ms,
        clock_trusted: entry.stamp.clock_trusted,
        data: data(entry),
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        let text = serde_json::to_string(&to_cloud_event(&entry, "a")).unwrap();
        assert!(!text.contains("subject"), "{text}");
    }
}
