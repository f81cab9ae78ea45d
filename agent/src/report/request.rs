//! One request: as many events as fit.

use leeward_core::report::{Entry, EventKind, to_cloud_event};
use leeward_wire::BATCH_BYTES_MAX;

/// A batch, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Sequence numbers of the events in the body, in their order.
    pub(super) sequences: Vec<u64>,
    pub(super) body: Vec<u8>,
    pub(super) has_state: bool,
}

impl Request {
    /// Takes entries from the start until the body is full; at least one.
    /// `None` when there are none.
    pub(super) fn of(entries: &[Entry], cluster: &str) -> Option<Self> {
        let mut request = Self { sequences: Vec::new(), body: b"[".to_vec(), has_state: false };
        for entry in entries {
            let event = serde_json::to_vec(&to_cloud_event(entry, cluster)).unwrap_or_default();
            let full = request.body.len() + event.len() + 2 > BATCH_BYTES_MAX;
            if full && !request.sequences.is_empty() {
                break;
            }
            if !request.sequences.is_empty() {
                request.body.push(b',');
            }
            request.body.extend_from_slice(&event);
            request.sequences.push(entry.sequence);
            request.has_state |= entry.event.kind == EventKind::State;
        }
        request.body.push(b']');
        (!request.sequences.is_empty()).then_some(request)
    }
}

#[cfg(test)]
mod tests {
    use leeward_core::report::{Event, Stamp};

    use super::*;

    fn entry(sequence: u64, size: usize) -> Entry {
        let stamp = Stamp {
            boot: 1,
            uptime_ms: 0,
            wall: jiff::Timestamp::UNIX_EPOCH,
            clock_trusted: false,
        };
        let data = serde_json::json!({ "reason": "x".repeat(size) });
        let event = Event { kind: EventKind::AppFailed, subject: None, data };
        Entry { sequence, stamp, event, count: 1, first: None }
    }

    #[test]
    fn a_request_is_a_json_list_of_at_most_256_kib() {
        let entries: Vec<_> = (1..100).map(|sequence| entry(sequence, 10_000)).collect();
        let request = Request::of(&entries, "shop").unwrap();
        let list: Vec<serde_json::Value> = serde_json::from_slice(&request.body).unwrap();
        assert_eq!((list.len(), request.sequences.len()), (25, 25));
        assert!(request.body.len() <= BATCH_BYTES_MAX);
    }

    #[test]
    fn nothing_makes_no_request() {
        assert_eq!(Request::of(&[], "shop"), None);
    }
}
