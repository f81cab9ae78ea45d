//! Pods, as evidence about a workload that is not ready.
//!
//! Only pods of the workload's current template count: those of the revision
//! before may well crash, and be the very reason for the new one.

use serde_json::Value;

use super::{
    Health, Verdict, assess,
    conditions::{condition, count, is_true, list, one_line, text},
    workloads::gave_up,
};

/// A crash loop counts from this many restarts on: the first restart may be a
/// dependency that was not up yet.
const CRASH_LOOP_RESTARTS: i64 = 2;

/// Which pods to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodQuery {
    pub namespace: String,
    /// A label selector as the API takes it in a query.
    pub selector: String,
}

/// Selects the pods that show why a workload is not ready; `None` when it is
/// ready, or has no pods of its own.
pub fn needs_pods(object: &Value) -> Option<PodQuery> {
    template_owner(object)?;
    if assess(object, &[]).verdict != Verdict::Progressing && !gave_up(object) {
        return None;
    }
    let selector = selector(object.pointer("/spec/selector")?)?;
    Some(PodQuery { namespace: text(object, "/metadata/namespace").to_owned(), selector })
}

/// The kind of object that owns the pods which a workload's template makes.
fn template_owner(object: &Value) -> Option<&'static str> {
    Some(match (text(object, "/apiVersion"), text(object, "/kind")) {
        ("apps/v1", "Deployment" | "ReplicaSet") => "ReplicaSet",
        ("apps/v1", "StatefulSet") => "StatefulSet",
        ("apps/v1", "DaemonSet") => "DaemonSet",
        ("batch/v1", "Job") => "Job",
        _ => return None,
    })
}

/// A label selector as text; `None` when it would select everything.
fn selector(selector: &Value) -> Option<String> {
    let mut parts = Vec::new();
    for (name, value) in
        selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten()
    {
        parts.push(format!("{name}={}", value.as_str()?));
    }
    for expression in list(selector, "/matchExpressions") {
        let key = text(expression, "/key");
        let values: Vec<&str> =
            list(expression, "/values").iter().filter_map(Value::as_str).collect();
        let values = values.join(",");
        parts.push(match text(expression, "/operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            _ => return None,
        });
    }
    (!parts.is_empty()).then(|| parts.join(","))
}

/// Returns whether a pod is in a state that does not mend by waiting.
pub(super) fn is_hopeless(pod: &Value) -> bool {
    matches!(trouble(pod), Some(Trouble::Crashes(_) | Trouble::NoImage(_)))
}

/// Returns the trouble of a workload that progresses, by the pods of its current template.
pub(super) fn trouble_of(object: &Value, pods: &[Value]) -> Option<Health> {
    let owner = template_owner(object)?;
    let is_job = owner == "Job";
    let (mut waiting, mut crowded, mut outside) = (None, None, None);
    for pod in pods.iter().filter(|pod| is_current(object, owner, pod)) {
        let name = text(pod, "/metadata/name");
        match trouble(pod) {
            // A Job counts its own failures, up to its own limit.
            Some(Trouble::Crashes(_)) if is_job => {}
            Some(Trouble::Crashes(reason) | Trouble::NoImage(reason)) => {
                return Some(Health::failed(format!("pod {name}: {reason}")));
            }
            Some(Trouble::Waits(reason)) => {
                waiting.get_or_insert(format!("pod {name}: {reason}"));
            }
            Some(Trouble::NoRoom(reason)) => {
                crowded.get_or_insert(format!("pod {name}: {reason}"));
            }
            Some(Trouble::Outside(reason)) => {
                outside.get_or_insert(format!("pod {name}: {reason}"));
            }
            None => {}
        }
    }
    let waiting = waiting.map(Health::progressing).or_else(|| crowded.map(Health::has_no_room));
    waiting.or_else(|| outside.map(Health::waits_outside))
}

/// Returns whether there is a pod of the workload's current template.
pub(super) fn has_current(object: &Value, pods: &[Value]) -> bool {
    let owner = template_owner(object);
    owner.is_some_and(|owner| pods.iter().any(|pod| is_current(object, owner, pod)))
}

/// A pod that Git declares itself.
pub(super) fn assess_pod(pod: &Value) -> Health {
    match trouble(pod) {
        Some(Trouble::Crashes(reason) | Trouble::NoImage(reason)) => return Health::failed(reason),
        Some(Trouble::Waits(reason)) => return Health::progressing(reason),
        Some(Trouble::NoRoom(reason)) => return Health::has_no_room(reason),
        Some(Trouble::Outside(reason)) => return Health::waits_outside(reason),
        None => {}
    }
    match text(pod, "/status/phase") {
        "Succeeded" => Health::healthy(),
        "Failed" => {
            let said = [text(pod, "/status/reason"), text(pod, "/status/message")];
            let said = said.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
            Health::failed(one_line(&[&["has failed"], &said[..]].concat().join(": ")))
        }
        "Running" if is_true(pod, "Ready") => Health::healthy(),
        "Running" => Health::progressing("runs, and is not ready"),
        _ => Health::progressing("has not started"),
    }
}

enum Trouble {
    Crashes(String),
    /// Its image cannot be had, and waiting does not help.
    NoImage(String),
    /// Something that may come by itself.
    Waits(String),
    /// No node takes it as long as the others are there.
    NoRoom(String),
    /// Something that the revision has no part in.
    Outside(String),
}

fn trouble(pod: &Value) -> Option<Trouble> {
    let containers = list(pod, "/status/initContainerStatuses")
        .iter()
        .chain(list(pod, "/status/containerStatuses"));
    let mut waits = None;
    for container in containers {
        match container_trouble(container) {
            Some(trouble @ Trouble::Waits(_)) => drop(waits.insert(trouble)),
            Some(trouble @ Trouble::Outside(_)) => drop(waits.get_or_insert(trouble)),
            Some(trouble) => return Some(trouble),
            None => {}
        }
    }
    waits.or_else(|| unscheduled(pod)).or_else(|| pulling(pod))
}

fn container_trouble(status: &Value) -> Option<Trouble> {
    let reason = text(status, "/state/waiting/reason");
    let message = text(status, "/state/waiting/message");
    let name = text(status, "/name");
    let image = text(status, "/image");
    let with_message = |start: String| match message {
        "" => start,
        message => one_line(&format!("{start}: {message}")),
    };
    match reason {
        "CrashLoopBackOff" if count(status, "/restartCount") >= CRASH_LOOP_RESTARTS => {
            Some(Trouble::Crashes(crash(status, name, image)))
        }
        "InvalidImageName" | "ErrImageNeverPull" => Some(Trouble::NoImage(with_message(format!(
            "container {name} cannot have the image {image} ({reason})"
        )))),
        "ImagePullBackOff" | "ErrImagePull" => {
            let reason =
                with_message(format!("container {name} cannot pull the image {image} ({reason})"));
            Some(if is_link_trouble(message) {
                Trouble::Outside(reason)
            } else {
                Trouble::NoImage(reason)
            })
        }
        // A ConfigMap or Secret may still come, from a different app or a controller.
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            Some(Trouble::Waits(with_message(format!("container {name} cannot start ({reason})"))))
        }
        _ => None,
    }
}

fn crash(status: &Value, name: &str, image: &str) -> String {
    let restarts = count(status, "/restartCount");
    let mut said = vec![format!(
        "container {name} (image {image}) crashes again and again, {restarts} restarts"
    )];
    if let Some(last) = status.pointer("/lastState/terminated") {
        if let Some(code) = last.get("exitCode").and_then(Value::as_i64) {
            said.push(format!("last exit code {code}"));
        }
        let more = [text(last, "/reason"), text(last, "/message")];
        // `Error` says no more than the exit code.
        said.extend(more.into_iter().filter(|m| !matches!(*m, "" | "Error")).map(str::to_owned));
    }
    one_line(&said.join(", "))
}

/// Returns whether a pull failed on the way to the registry, and not because of what
/// the registry said. With a bad link that is the weather and no fault of the revision.
fn is_link_trouble(message: &str) -> bool {
    const SIGNS: [&str; 19] = [
        "no such host",
        "server misbehaving",
        "temporary failure in name resolution",
        "i/o timeout",
        "timeout exceeded",
        "deadline exceeded",
        "tls handshake timeout",
        "connection refused",
        "connection reset",
        "connection timed out",
        "no route to host",
        "network is unreachable",
        "broken pipe",
        "unexpected eof",
        "certificate has expired or is not yet valid",
        "too many requests",
        "500 internal server error",
        "502 bad gateway",
        "503 service unavailable",
    ];
    let message = message.to_ascii_lowercase();
    SIGNS.iter().any(|sign| message.contains(sign))
}

fn unscheduled(pod: &Value) -> Option<Trouble> {
    /// Taints that the node controller sets: the node is ill, or was just started.
    const ILL: [&str; 6] = [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/network-unavailable",
        "node.kubernetes.io/disk-pressure",
        "node.kubernetes.io/memory-pressure",
        "node.kubernetes.io/pid-pressure",
    ];
    let scheduled = condition(pod, "PodScheduled")?;
    let reason = one_line(&format!("cannot be scheduled: {}", scheduled.message));
    let is_ill = ILL.iter().any(|taint| scheduled.message.contains(taint))
        || scheduled.message.contains("no nodes available");
    (scheduled.status == "False").then_some(if is_ill {
        Trouble::Outside(reason)
    } else {
        Trouble::NoRoom(reason)
    })
}

/// Returns that an image is on its way: the pod has its sandbox, its network and
/// its volumes, and a container that was not created yet.
fn pulling(pod: &Value) -> Option<Trouble> {
    if !is_true(pod, "PodReadyToStartContainers") {
        return None;
    }
    let containers = list(pod, "/status/initContainerStatuses")
        .iter()
        .chain(list(pod, "/status/containerStatuses"));
    let mut created =
        containers.filter(|status| text(status, "/state/waiting/reason") == "ContainerCreating");
    let image = text(created.next()?, "/image");
    Some(Trouble::Outside(one_line(&format!("pulling the image {image}"))))
}

fn is_current(object: &Value, owner_kind: &str, pod: &Value) -> bool {
    if pod.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null()) {
        return false;
    }
    let owner = list(pod, "/metadata/ownerReferences")
        .iter()
        .find(|owner| owner.get("controller") == Some(&Value::Bool(true)));
    let Some(owner) = owner.filter(|owner| text(owner, "/kind") == owner_kind) else {
        return false;
    };
    let is_its_owner = if text(object, "/kind") == "Deployment" {
        // Owned by one of its ReplicaSets; the template shows which one.
        text(owner, "/name")
            .strip_prefix(text(object, "/metadata/name"))
            .is_some_and(|rest| rest.starts_with('-'))
    } else {
        text(owner, "/uid") == text(object, "/metadata/uid")
    };
    is_its_owner && object.pointer("/spec/template").is_some_and(|template| is_of(template, pod))
}

/// Returns whether a pod was made from a template: all fields of the template are in it.
/// (More may be: the API server, admission and the kubelet add.)
fn is_of(template: &Value, pod: &Value) -> bool {
    ["labels", "annotations"].iter().all(|place| {
        let wanted = template.get("metadata").and_then(|metadata| metadata.get(place));
        let found = pod.get("metadata").and_then(|metadata| metadata.get(place));
        wanted.is_none_or(|wanted| holds(found.unwrap_or(&Value::Null), wanted, 0))
    }) && template
        .get("spec")
        .is_some_and(|spec| holds(pod.get("spec").unwrap_or(&Value::Null), spec, 0))
}

/// Returns whether `found` contains everything that `wanted` contains.
fn holds(found: &Value, wanted: &Value, depth: usize) -> bool {
    /// Rewritten in pods: by the DaemonSet controller, and by vertical autoscalers.
    const REWRITTEN: [&str; 2] = ["affinity", "resources"];
    /// No pod nests deeper.
    const MAX_DEPTH: usize = 50;
    if depth > MAX_DEPTH {
        return false;
    }
    match (found, wanted) {
        (_, Value::Null) => true,
        (_, Value::Object(wanted)) if wanted.is_empty() => true,
        (_, Value::Array(wanted)) if wanted.is_empty() => true,
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().filter(|(name, _)| !REWRITTEN.contains(&name.as_str())).all(
                |(name, wanted)| holds(found.get(name).unwrap_or(&Value::Null), wanted, depth + 1),
            )
        }
        (Value::Array(found), Value::Array(wanted)) => wanted.iter().all(|wanted| {
            // Order is not kept: some controllers put their own items first.
            let name = wanted.get("name");
            found.iter().any(|found| {
                (name.is_none() || found.get("name") == name) && holds(found, wanted, depth + 1)
            })
        }),
        (found, wanted) => found == wanted,
    }
}
