//! The remaining kinds of Kubernetes and k3s that have a health.

use serde_json::Value;

use super::{
    Health,
    conditions::{condition, is_false, is_true, list, message_of, text},
};

/// A claim that waits for its first consumer is healthy, or a wave that holds
/// the claim but not the pod would wait for ever (k3s' local-path is such a class).
///
/// Storage classes are not read, so every Pending claim that no node has been
/// selected for counts as one of those. If it is another kind of waiting, the pod
/// that mounts it cannot start, and the workload says so.
pub(super) fn claim(object: &Value) -> Health {
    match text(object, "/status/phase") {
        "Bound" => Health::healthy(),
        "Lost" => Health::failed("the volume that it was bound to is gone"),
        _ if crate::model::annotation(object, "volume.kubernetes.io/selected-node").is_some() => {
            Health::progressing("its volume is being made")
        }
        _ => Health::new(super::Verdict::Healthy, "will be bound when a pod uses it"),
    }
}

pub(super) fn service(object: &Value) -> Health {
    if text(object, "/spec/type") != "LoadBalancer" {
        return Health::healthy();
    }
    if list(object, "/status/loadBalancer/ingress").is_empty() {
        return Health::progressing(
            "has no load balancer address yet (on k3s: a node whose port is free)",
        );
    }
    Health::healthy()
}

pub(super) fn definition(object: &Value) -> Health {
    if is_false(object, "NamesAccepted") {
        return Health::failed(message_of(object, "NamesAccepted"));
    }
    if is_true(object, "Established") {
        return Health::healthy();
    }
    Health::progressing(message_of(object, "Established"))
}

pub(super) fn api_service(object: &Value) -> Health {
    if is_true(object, "Available") {
        return Health::healthy();
    }
    Health::progressing(message_of(object, "Available"))
}

/// Missing metrics are the cluster's trouble and not the revision's; only a
/// target that cannot be scaled is.
pub(super) fn autoscaler(object: &Value) -> Health {
    match condition(object, "AbleToScale") {
        Some(able) if able.status == "False" && able.reason == "FailedGetScale" => {
            Health::progressing(message_of(object, "AbleToScale"))
        }
        _ if is_false(object, "ScalingActive") => {
            Health::new(super::Verdict::Healthy, message_of(object, "ScalingActive"))
        }
        _ => Health::healthy(),
    }
}

pub(super) fn namespace(object: &Value) -> Health {
    match text(object, "/status/phase") {
        "Terminating" => Health::progressing("is being deleted"),
        _ => Health::healthy(),
    }
}

/// k3s' Helm controller: the chart's own Job has been made, and did not give up.
pub(super) fn helm_chart(object: &Value) -> Health {
    if is_true(object, "Failed") {
        return Health::failed(message_of(object, "Failed"));
    }
    if text(object, "/status/jobName").is_empty() {
        return Health::progressing("no job installs it yet");
    }
    Health::healthy()
}
