//! CloudEvents as the reports' contract has them.

use std::collections::HashMap;

use serde_json::Value;

/// The newest state, which on the return of the link goes ahead of older events.
const STATE: &str = "dev.leeward.state.v1";

/// One event, with every attribute that the contract promises.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: String,
    pub source: String,
    pub subject: Option<String>,
    /// The CloudEvents attribute `type`.
    pub kind: String,
    pub time: jiff::Timestamp,
    pub sequence: u64,
    pub boot: u64,
    pub uptime_ms: u64,
    pub clock_trusted: bool,
    pub data: Value,
}

/// Reads a batch, and says what is wrong with the first event that is.
pub(super) fn parse_batch(bytes: &[u8]) -> Result<Vec<Event>, String> {
    let batch: Vec<Value> =
        serde_json::from_slice(bytes).map_err(|error| format!("batch: {error}"))?;
    batch
        .iter()
        .map(|event| parse(event).map_err(|error| format!("event {}: {error}", event["id"])))
        .collect()
}

fn parse(event: &Value) -> Result<Event, String> {
    let text = |name: &str| {
        event[name].as_str().map(str::to_owned).ok_or_else(|| format!("{name} is {}", event[name]))
    };
    let expect = |name: &str, wanted: &str| {
        if event[name] == wanted { Ok(()) } else { Err(format!("{name} is {}", event[name])) }
    };
    expect("specversion", "1.0")?;
    expect("datacontenttype", "application/json")?;
    let digits = text("sequence")?;
    if digits.len() != 20 {
        return Err(format!("sequence {digits} has not 20 digits"));
    }
    let number = |name: &str| {
        // The JSON format writes integers beyond 32 bits, and so may anyone, as strings.
        let value = &event[name];
        value
            .as_u64()
            .or_else(|| value.as_str()?.parse().ok())
            .ok_or_else(|| format!("{name} is {value}"))
    };
    Ok(Event {
        id: text("id")?,
        source: text("source")?,
        subject: event["subject"].as_str().map(str::to_owned),
        kind: text("type")?,
        time: text("time")?.parse().map_err(|error| format!("time: {error}"))?,
        sequence: number("sequence")?,
        boot: number("boot")?,
        uptime_ms: number("uptimems")?,
        clock_trusted: event["clocktrusted"].as_bool().ok_or("clocktrusted is no boolean")?,
        data: event["data"].clone(),
    })
}

/// Says which event came after a later one of its cluster. States and other
/// events are in order each for themselves.
pub fn order_violation(events: &[Event]) -> Option<String> {
    let mut newest: HashMap<(&str, bool), &Event> = HashMap::new();
    for event in events {
        let lane = (event.source.as_str(), event.kind == STATE);
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

    fn event(sequence: u64, kind: &str) -> Value {
        serde_json::json!({
            "specversion": "1.0", "id": format!("1-{sequence}"), "source": "/clusters/a",
            "type": kind, "time": "2026-01-02T03:04:05Z", "sequence": format!("{sequence:020}"),
            "boot": 1, "uptimems": 17, "clocktrusted": true,
            "datacontenttype": "application/json", "data": {},
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
        assert_eq!(error, "event \"1-1\": clocktrusted is no boolean");
    }
}
