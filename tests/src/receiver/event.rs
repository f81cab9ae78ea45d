//! What a batch of reports must be.

use std::collections::HashMap;

pub use leeward_wire::CloudEvent as Event;
use leeward_wire::{ContentError, EventKind};
use serde::Deserialize as _;
use serde_json::Value;

/// Reads a batch, and says what is wrong with the first event that is.
pub(super) fn parse_batch(bytes: &[u8]) -> Result<Vec<Event>, String> {
    let batch: Vec<Value> =
        serde_json::from_slice(bytes).map_err(|error| format!("batch: {error}"))?;
    batch
        .iter()
        .map(|event| parse(event).map_err(|error| format!("event {}: {error}", event["id"])))
        .collect()
}

/// Reads an event, and its data as its type has them.
fn parse(event: &Value) -> Result<Event, String> {
    let event = Event::deserialize(event).map_err(|error| error.to_string())?;
    match event.content() {
        // Data that was cut to fit need not read as its type has it.
        Err(ContentError::Data(error)) if event.data["truncated"] != true => {
            Err(format!("the data of {}: {error}", event.kind))
        }
        Ok(_) | Err(_) => Ok(event),
    }
}

/// Says which event came after a later one of its cluster. States and other
/// events are in order each for themselves.
pub fn order_violation(events: &[Event]) -> Option<String> {
    let mut newest: HashMap<(&str, bool), &Event> = HashMap::new();
    for event in events {
        let lane = (event.source.as_str(), event.kind == EventKind::State.type_name());
        if let Some(before) = newest.insert(lane, event)
            && before.sequence >= event.sequence
        {
            return Some(format!(
                "{} {} ({}) came after {} ({})",
                event.source, event.id, event.kind, before.id, before.kind
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = "dev.leeward.state.v1";

    fn event(sequence: u64, kind: &str) -> Value {
        serde_json::json!({
            "specversion": "1.0", "id": format!("1-{sequence}"), "source": "/clusters/a",
            "type": kind, "time": "2026-01-02T03:04:05Z", "sequence": format!("{sequence:020}"),
            "boot": 1, "uptimems": 17, "clocktrusted": true,
            "datacontenttype": "application/json", "data": { "truncated": true },
        })
    }

    fn violation_of(events: &[Value]) -> Option<String> {
        let bytes = serde_json::to_vec(events).unwrap();
        order_violation(&parse_batch(&bytes).unwrap())
    }

    #[test]
    fn newest_state_may_go_ahead_of_older_events() {
        assert_eq!(violation_of(&[event(9, STATE), event(3, "a"), event(4, "b")]), None);
    }

    #[test]
    fn older_event_after_a_newer_one_is_named() {
        let violation = violation_of(&[event(4, "a"), event(3, "b")]);
        assert_eq!(violation.as_deref(), Some("/clusters/a 1-3 (b) came after 1-4 (a)"));
    }

    #[test]
    fn event_without_a_promised_attribute_is_refused() {
        let mut broken = event(1, "a");
        broken["clocktrusted"] = Value::Null;
        let error = parse_batch(&serde_json::to_vec(&[broken]).unwrap()).unwrap_err();
        assert_eq!(error, "event \"1-1\": invalid type: null, expected a boolean");
    }
}
