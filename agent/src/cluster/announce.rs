//! Says what we did as Kubernetes Events, for those who look with kubectl.
//! Best effort: an Event that cannot be written at once is dropped, since the
//! outbox keeps what matters.

use std::{sync::Arc, time::Duration};

use http::Method;
use jiff::Timestamp;
use leeward_core::report::{Event, EventKind};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::timeout};

use super::{
    Inner, fault,
    path::encode,
    transport::{Call, METADATA},
};

/// Events that wait to be written; a burst is a handful per app.
pub(super) const QUEUE: usize = 64;
/// To write one.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Characters that the API server takes as a message.
const MAX_MESSAGE: usize = 1024;
/// Objects at fault that a message names.
const MAX_OBJECTS: usize = 3;

/// Writes what arrives; never ends.
pub(super) async fn serve(inner: Arc<Inner>, mut queue: mpsc::Receiver<Event>) {
    while let Some(event) = queue.recv().await {
        let now = inner.transport.server_time();
        let Some(body) = body(&event, &inner.namespace, now) else { continue };
        let target = format!("/api/v1/namespaces/{}/events", encode(&inner.namespace));
        let mut call = Call::with_json(Method::POST, target, &body);
        call.accept = METADATA;
        match timeout(TIMEOUT, inner.transport.call(&call)).await {
            Ok(Ok(answer)) if answer.is_success() => {}
            Ok(Ok(answer)) => {
                tracing::debug!(code = answer.code, "A Kubernetes Event was refused.");
            }
            Ok(Err(error)) => tracing::debug!(%error, "Cannot write a Kubernetes Event."),
            Err(_) => tracing::debug!("Cannot write a Kubernetes Event in time."),
        }
    }
    std::future::pending::<()>().await;
}

/// The Event to write; `None` for what nobody wants to see there.
fn body(event: &Event, namespace: &str, now: Option<Timestamp>) -> Option<Value> {
    let (reason, is_warning) = match event.kind {
        EventKind::AgentStarted => ("AgentStarted", false),
        EventKind::RevisionFetched => ("RevisionFetched", false),
        EventKind::AppApplied => ("Applied", false),
        EventKind::AppGood => ("Good", false),
        EventKind::AppFailed => ("Failed", true),
        EventKind::AppRolledBack => ("RolledBack", true),
        EventKind::AppHeld => ("Held", true),
        EventKind::AppPinned => ("Pinned", true),
        EventKind::AppReleased => ("Released", false),
        EventKind::AppPruned => ("Pruned", false),
        EventKind::AppMoved => ("Moved", false),
        EventKind::AppStuck => {
            ("Stuck", event.data.get("stuck").and_then(Value::as_u64) != Some(0))
        }
        EventKind::DriftHealed => ("DriftHealed", false),
        EventKind::DriftSeen => ("DriftSeen", true),
        EventKind::LinkChanged => {
            ("LinkChanged", event.data.get("state").and_then(Value::as_str) == Some("down"))
        }
        // Housekeeping of the reports.
        EventKind::ReportGap | EventKind::State => return None,
    };
    let time = now.map(|now| now.to_string());
    Some(json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"generateName": "leeward.", "namespace": namespace},
        // Not an object of an app: it may be gone, and an Event lives beside its object.
        "involvedObject": {"apiVersion": "v1", "kind": "Namespace", "name": namespace, "namespace": namespace},
        "reason": reason,
        "type": if is_warning { "Warning" } else { "Normal" },
        "message": message(event),
        "source": {"component": "leeward"},
        "reportingComponent": "leeward",
        "firstTimestamp": time, "lastTimestamp": time, "count": 1,
    }))
}

/// `shop: revision 1234567: not healthy in time; Deployment.apps shop/web: …`
fn message(event: &Event) -> String {
    let data = &event.data;
    let text = |name: &str| data.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut parts = Vec::new();
    parts.extend(event.subject.clone());
    parts.extend(
        text("commit")
            .map(|commit| format!("revision {}", commit.chars().take(7).collect::<String>())),
    );
    parts.extend(
        ["object", "state", "failed_step", "reason", "detail", "evidence"]
            .into_iter()
            .filter_map(text)
            .map(str::to_owned),
    );
    let counts: Vec<_> = ["created", "changed", "pruned", "unchanged"]
        .into_iter()
        .filter_map(|name| Some(format!("{} {name}", data.get(name)?.as_u64()?)))
        .collect();
    if !counts.is_empty() {
        parts.push(counts.join(", "));
    }
    let objects = data.get("objects").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for object in objects.iter().take(MAX_OBJECTS) {
        let of = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
        parts.push(format!("{}: {}", of("object"), of("message")));
    }
    if parts.is_empty() {
        parts.push(event.kind.type_name().to_owned());
    }
    // The cut is at fewer characters than the API server takes, so that the mark fits.
    fault::shorten(&parts.join(": ").chars().take(MAX_MESSAGE - 1).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventKind, data: Value) -> Event {
        Event { kind, subject: Some("shop".into()), data }
    }

    #[test]
    fn a_failure_is_a_warning_that_names_commit_reason_and_objects() {
        let failed = event(
            EventKind::AppFailed,
            json!({"commit": "0123456789abcdef", "reason": "not healthy within 5m",
                "objects": [{"object": "Deployment.apps shop/web", "message": "image not found"}]}),
        );
        let body = body(&failed, "default", None).unwrap();
        insta::assert_snapshot!(
            format!("{} {} {}", body["type"], body["reason"], body["message"]),
            @r#""Warning" "Failed" "shop: revision 0123456: not healthy within 5m: Deployment.apps shop/web: image not found""#
        );
    }

    #[test]
    fn what_was_applied_is_counted() {
        let applied = event(
            EventKind::AppApplied,
            json!({"commit": "0123456789abcdef", "created": 2, "changed": 1, "pruned": 0, "unchanged": 5}),
        );
        assert_eq!(
            message(&applied),
            "shop: revision 0123456: 2 created, 1 changed, 0 pruned, 5 unchanged"
        );
    }

    #[test]
    fn the_state_document_is_no_event() {
        assert_eq!(body(&event(EventKind::State, json!({})), "default", None), None);
    }
}
