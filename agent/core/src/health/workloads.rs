//! Deployments, StatefulSets, DaemonSets, ReplicaSets.

use serde_json::Value;

use super::{
    Health, Verdict,
    conditions::{condition, count, is_true, message_of, text},
};

pub(super) fn deployment(object: &Value) -> Health {
    if object.pointer("/spec/paused") == Some(&Value::Bool(true)) {
        return Health::new(Verdict::Suspended, "is paused");
    }
    if gave_up(object) {
        return Health::failed(message_of(object, "Progressing"));
    }
    if let Some(unseen) = unseen(object) {
        return unseen;
    }
    let wanted = wanted(object);
    let updated = count(object, "/status/updatedReplicas");
    let all = count(object, "/status/replicas");
    let available = count(object, "/status/availableReplicas");
    let ready = count(object, "/status/readyReplicas");
    if updated < wanted {
        progressing(object, format!("{updated} of {wanted} replicas are up to date"))
    } else if all > updated {
        progressing(object, format!("{} old replicas are still there", all - updated))
    } else if available < updated {
        progressing(object, format!("{available} of {updated} replicas are available"))
    } else if ready < wanted {
        progressing(object, format!("{ready} of {wanted} replicas are ready"))
    } else {
        Health::healthy()
    }
}

/// Whether the controller of a Deployment waited longer than its `progressDeadlineSeconds`.
pub(super) fn gave_up(object: &Value) -> bool {
    condition(object, "Progressing")
        .is_some_and(|progressing| progressing.reason == "ProgressDeadlineExceeded")
}

pub(super) fn stateful_set(object: &Value) -> Health {
    if let Some(unseen) = unseen(object) {
        return unseen;
    }
    let wanted = wanted(object);
    let ready = count(object, "/status/readyReplicas");
    if ready < wanted {
        return progressing(object, format!("{ready} of {wanted} replicas are ready"));
    }
    if count(object, "/status/replicas") > wanted {
        return progressing(object, "replicas are still being removed".to_owned());
    }
    // Somebody else deletes the pods when they see fit.
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return Health::healthy();
    }
    let partition = count(object, "/spec/updateStrategy/rollingUpdate/partition");
    let updated = count(object, "/status/updatedReplicas");
    let to_update = (wanted - partition).max(0);
    if partition > 0 {
        return if updated < to_update {
            progressing(
                object,
                format!("{updated} of {to_update} replicas above the partition are up to date"),
            )
        } else {
            Health::healthy()
        };
    }
    if text(object, "/status/currentRevision") != text(object, "/status/updateRevision") {
        return progressing(object, format!("{updated} of {wanted} replicas are up to date"));
    }
    Health::healthy()
}

pub(super) fn daemon_set(object: &Value) -> Health {
    if let Some(unseen) = unseen(object) {
        return unseen;
    }
    let wanted = count(object, "/status/desiredNumberScheduled");
    let updated = count(object, "/status/updatedNumberScheduled");
    let available = count(object, "/status/numberAvailable");
    let on_delete = text(object, "/spec/updateStrategy/type") == "OnDelete";
    if updated < wanted && !on_delete {
        progressing(object, format!("{updated} of {wanted} pods are up to date"))
    } else if available < wanted {
        progressing(object, format!("{available} of {wanted} pods are available"))
    } else {
        Health::healthy()
    }
}

pub(super) fn replica_set(object: &Value) -> Health {
    if let Some(unseen) = unseen(object) {
        return unseen;
    }
    let wanted = wanted(object);
    let available = count(object, "/status/availableReplicas");
    if count(object, "/status/replicas") > wanted {
        progressing(object, "replicas are still being removed".to_owned())
    } else if available < wanted {
        progressing(object, format!("{available} of {wanted} replicas are available"))
    } else {
        Health::healthy()
    }
}

/// The API server fills in 1 where nothing is said.
fn wanted(object: &Value) -> i64 {
    object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

/// The controller has not written anything yet.
fn unseen(object: &Value) -> Option<Health> {
    object
        .pointer("/status/observedGeneration")
        .and_then(Value::as_i64)
        .is_none()
        .then(|| Health::progressing("no controller has looked at it yet"))
}

/// Adds why no more pods are made, if the controller says so (quota, admission).
fn progressing(object: &Value, reason: String) -> Health {
    if is_true(object, "ReplicaFailure") {
        return Health::progressing(format!("{reason}; {}", message_of(object, "ReplicaFailure")));
    }
    Health::progressing(reason)
}
