//! Is it healthy? The kstatus rules and more, on plain JSON.
//!
//! Fed with whole live objects and, for workloads that are not ready, with their
//! pods. It must never wait and never guess time: an object that gets nowhere
//! stays `Progressing`, and the app's timeout ends that. `Failed` is kept for
//! what does not mend by waiting, since it rolls a revision back at once.

mod batch;
mod builtin;
mod conditions;
mod ended;
mod pods;
mod stuck;
mod workloads;

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "values are made for one call")]
mod tests;

use serde_json::Value;

use self::conditions::{condition, generation_lag, is_true, message_of};
pub use self::{
    ended::{ended, trace, with_run},
    pods::{PodQuery, needs_pods},
    stuck::{StuckPod, stuck_pods},
};
use crate::model::{GitId, HealthName, Kind, ObjectFault, ObjectKey, REVISION_ANNOTATION};

/// How one object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    Healthy,
    /// Somebody stopped it on purpose.
    Suspended,
    /// It could not be looked at.
    Unknown,
    Progressing,
    /// Waiting does not help.
    Failed,
}

/// How one object is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub verdict: Verdict,
    /// One line; empty when there is nothing to say.
    pub reason: String,
    pub cause: Cause,
}

/// Where it comes from that an object is not well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// As far as anybody can tell, it is in the object.
    #[default]
    Own,
    /// Outside of Git: an image on its way, a registry that cannot be reached, a
    /// node that is not ready.
    Outside,
    /// No node has room for it: something else has to go first.
    Room,
    /// Its pods were not looked at.
    Unseen,
}

impl Health {
    pub fn new(verdict: Verdict, reason: impl Into<String>) -> Self {
        Self { verdict, reason: reason.into(), cause: Cause::Own }
    }

    fn has_no_room(reason: impl Into<String>) -> Self {
        Self { cause: Cause::Room, ..Self::progressing(reason) }
    }

    fn waits_outside(reason: impl Into<String>) -> Self {
        Self { cause: Cause::Outside, ..Self::progressing(reason) }
    }

    /// The health of a workload whose pods were not looked at: it can still become well.
    #[must_use]
    pub fn unseen(self) -> Self {
        Self { verdict: Verdict::Progressing, cause: Cause::Unseen, ..self }
    }

    fn healthy() -> Self {
        Self::new(Verdict::Healthy, "")
    }

    fn progressing(reason: impl Into<String>) -> Self {
        Self::new(Verdict::Progressing, reason)
    }

    fn failed(reason: impl Into<String>) -> Self {
        Self::new(Verdict::Failed, reason)
    }

    /// An object that Git declares and the cluster does not have.
    pub fn missing() -> Self {
        Self::progressing("is not there")
    }

    fn leaving() -> Self {
        Self::progressing("is being deleted")
    }

    /// Whether the object is not there, or on its way out.
    fn is_absent(&self) -> bool {
        *self == Self::missing() || *self == Self::leaving()
    }
}

/// `Failed: pod web-1: …`, or the verdict alone.
impl std::fmt::Display for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.reason.is_empty() {
            write!(f, "{:?}", self.verdict)
        } else {
            write!(f, "{:?}: {}", self.verdict, self.reason)
        }
    }
}

/// Says how a live object is. `pods` are those of [`needs_pods`], or none.
pub fn assess(object: &Value, pods: &[Value]) -> Health {
    let Some(key) = ObjectKey::of(object) else {
        return Health::new(Verdict::Unknown, "has no apiVersion, kind or name");
    };
    if object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null()) {
        return Health::leaving();
    }
    let health = match (key.group.as_str(), key.kind.as_str()) {
        // Their own rules know better what a missing observation means.
        ("", "Pod") => return pods::assess_pod(object),
        ("", "PersistentVolumeClaim") => return builtin::claim(object),
        ("batch", "CronJob") => return batch::cron_job(object),
        _ if let Some(lag) = generation_lag(object) => return Health::progressing(lag),
        ("apps", "Deployment") => workloads::deployment(object),
        ("apps", "StatefulSet") => workloads::stateful_set(object),
        ("apps", "DaemonSet") => workloads::daemon_set(object),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => workloads::replica_set(object),
        ("batch", "Job") => batch::job(object),
        ("", "Service") => builtin::service(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => builtin::definition(object),
        ("apiregistration.k8s.io", "APIService") => builtin::api_service(object),
        ("autoscaling", "HorizontalPodAutoscaler") => builtin::autoscaler(object),
        ("policy", "PodDisruptionBudget") => Health::healthy(),
        ("", "Namespace") => builtin::namespace(object),
        ("helm.cattle.io", "HelmChart") => builtin::helm_chart(object),
        _ => generic(object),
    };
    let trouble = pods::trouble_of(object, pods);
    match health.verdict {
        Verdict::Progressing => trouble.unwrap_or(health),
        // The controller gave up, perhaps because an image took long; the kubelet did
        // not. Its pods tell, and those that have just started get their time.
        Verdict::Failed if workloads::gave_up(object) && pods::has_current(object, pods) => {
            trouble.unwrap_or_else(|| Health::progressing(health.reason))
        }
        _ => health,
    }
}

/// Whether all that is not well waits for something outside of Git.
pub fn waits_outside<'a>(objects: impl IntoIterator<Item = &'a Health>) -> bool {
    let unwell = objects
        .into_iter()
        .filter(|one| !matches!(one.verdict, Verdict::Healthy | Verdict::Suspended));
    let mut is_any = false;
    for one in unwell {
        match one.cause {
            Cause::Own | Cause::Room => return false,
            Cause::Outside => is_any = true,
            Cause::Unseen => {}
        }
    }
    is_any
}

/// Assesses like [`assess`], but for an object of a revision that is on its way to good.
///
/// An object that failed before the revision came, and is not changed by it, may be cured
/// by something else in the revision, such as a ConfigMap: it gets the time that the revision has.
#[must_use]
pub fn assess_candidate(object: &Value, pods: &[Value], commit: &GitId) -> Health {
    let health = assess(object, pods);
    let written = object["metadata"]["annotations"][REVISION_ANNOTATION].as_str();
    let is_inherited = written.is_some_and(|written| written != commit.to_string());
    if health.verdict == Verdict::Failed && is_inherited {
        return Health::progressing(health.reason);
    }
    health
}

/// The conventions that custom resources share: Stalled, Reconciling, Ready.
fn generic(object: &Value) -> Health {
    // As those of Flux, of Argo Rollouts, of the Cluster API and of batch systems have it.
    let is_set = |field| object.pointer(field) == Some(&Value::Bool(true));
    if is_set("/spec/suspend") || is_set("/spec/paused") {
        return Health::new(Verdict::Suspended, "is suspended");
    }
    if is_true(object, "Stalled") {
        return Health::failed(message_of(object, "Stalled"));
    }
    if is_true(object, "Reconciling") {
        return Health::progressing(message_of(object, "Reconciling"));
    }
    match condition(object, "Ready") {
        Some(ready) if ready.is_stale => {
            Health::progressing("its condition Ready is of an older generation")
        }
        // `False` may mend by itself; a controller that gave up says Stalled.
        Some(ready) if ready.status != "True" => Health::progressing(message_of(object, "Ready")),
        _ => Health::healthy(),
    }
}

/// Returns whether objects of a kind can be unhealthy at all; of those that cannot, it
/// is enough that they exist, and nobody needs to ask the API server about them.
/// An Ingress is one of them: many controllers never write an address, and a
/// cluster may have none; neither is a reason to roll back.
pub fn watches_health(kind: &Kind) -> bool {
    !matches!(
        (kind.group.as_str(), kind.kind.as_str()),
        (
            "",
            "ConfigMap"
                | "Secret"
                | "ServiceAccount"
                | "Endpoints"
                | "LimitRange"
                | "ResourceQuota"
                | "PodTemplate"
                | "PersistentVolume"
        ) | (
            "rbac.authorization.k8s.io"
                | "storage.k8s.io"
                | "scheduling.k8s.io"
                | "node.k8s.io"
                | "admissionregistration.k8s.io"
                | "discovery.k8s.io"
                | "coordination.k8s.io",
            _
        ) | ("networking.k8s.io", "NetworkPolicy" | "IngressClass" | "Ingress")
            | ("apps", "ControllerRevision")
            | ("policy", "PodDisruptionBudget")
    )
}

/// The health of many objects as one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RollUp {
    pub health: HealthName,
    /// The objects at fault that make it so; at most [`RollUp::MAX_FAULTS`].
    pub faults: Vec<ObjectFault>,
    /// Further ones, not listed.
    pub more: usize,
}

impl RollUp {
    /// A report names the first few; the rest seldom has a different cause.
    pub const MAX_FAULTS: usize = 5;
}

/// Rolls up: as healthy as the worst of them; nothing at all is healthy.
pub fn roll_up<'a>(objects: impl IntoIterator<Item = (&'a ObjectKey, &'a Health)>) -> RollUp {
    let mut objects: Vec<_> = objects.into_iter().collect();
    let worst = objects.iter().map(|(_, health)| health.verdict).max().unwrap_or(Verdict::Healthy);
    objects.retain(|(_, health)| health.verdict == worst && worst != Verdict::Healthy);
    objects.sort_by_key(|(key, _)| *key);
    RollUp {
        health: match worst {
            Verdict::Healthy => HealthName::Healthy,
            Verdict::Suspended => HealthName::Suspended,
            Verdict::Unknown => HealthName::Unknown,
            Verdict::Progressing => HealthName::Progressing,
            Verdict::Failed => HealthName::Degraded,
        },
        more: objects.len().saturating_sub(RollUp::MAX_FAULTS),
        faults: objects
            .into_iter()
            .take(RollUp::MAX_FAULTS)
            .map(|(key, health)| ObjectFault::of_object(key, health.reason.clone()))
            .collect(),
    }
}
