//! One of N nodes acts: leadership by a Lease (coordination.k8s.io/v1).
//!
//! Whether a lease is over is judged by how long *we* have seen it unchanged,
//! never by comparing clocks. Whoever cannot renew in time stops acting before
//! anyone else may begin.

use std::{env, sync::Arc, time::Duration};

use http::Method;
use leeward_core::model::{ClusterFault, Kind, KindVersion};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::{
    Inner, Kubernetes, backoff, fault,
    path::encode,
    transport::{Call, JSON},
};

/// How long others wait after the last renewal that they saw.
const DURATION: Duration = Duration::from_secs(15);
/// Between two renewals.
const RENEW: Duration = Duration::from_secs(5);
/// How long after our last renewal began we stop to act. The rest of
/// `DURATION` is for what is in flight to end.
const GIVE_UP: Duration = Duration::from_secs(10);
/// Between two reads of a lease that somebody else holds.
const LOOK: Duration = Duration::from_secs(2);
/// To take over from one who let go, in seconds; the API server refuses 0.
const RELEASED_SECONDS: u64 = 1;

/// The content of a lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Record {
    /// Empty when nobody holds it.
    holder: String,
    duration: Duration,
    renewed: String,
    transitions: u64,
    resource_version: String,
}

/// The next action of a contender.
#[derive(Debug, PartialEq, Eq)]
enum Claim {
    Create,
    /// It is ours already.
    Renew,
    /// It is nobody's, or its holder has been silent for too long.
    Take,
    Wait,
}

/// Decides for `me`, who has seen `record` unchanged for `unchanged`.
fn decide(me: &str, record: Option<&Record>, unchanged: Duration) -> Claim {
    match record {
        None => Claim::Create,
        Some(record) if record.holder == me => Claim::Renew,
        Some(record) if record.holder.is_empty() || unchanged >= record.duration => Claim::Take,
        Some(_) => Claim::Wait,
    }
}

/// A contender for the lease named `leeward`, and its holder when it has won.
pub struct LeaseHolder {
    inner: Arc<Inner>,
    me: String,
    /// The lease as last seen, and since when it has looked like that.
    seen: Option<(Record, Instant)>,
    /// When our last renewal that the API server confirmed began.
    renewed: Option<Instant>,
}

impl LeaseHolder {
    /// Contends as `$NODE_NAME`, or else as `fallback`, which must be unique
    /// among the contenders.
    pub fn new(kubernetes: &Kubernetes, fallback: &str) -> Self {
        let node = env::var("NODE_NAME").ok().filter(|name| !name.is_empty());
        Self::named(kubernetes, node.as_deref().unwrap_or(fallback))
    }

    /// Contends under a name that is unique among the contenders.
    pub fn named(kubernetes: &Kubernetes, me: &str) -> Self {
        let inner = Arc::clone(&kubernetes.inner);
        Self { inner, me: me.to_owned(), seen: None, renewed: None }
    }

    /// Waits until the lease is ours. Cancel safe.
    pub async fn acquire(&mut self) {
        let mut failures = 0;
        loop {
            let wait = match self.try_once().await {
                Ok(true) => return,
                Ok(false) => {
                    failures = 0;
                    LOOK.mul_f64(1.0 + crate::chance::draw() / 5.0)
                }
                Err(error) => {
                    failures += 1;
                    tracing::debug!(%error, "Cannot contend for the lease.");
                    backoff::delay(failures, LOOK)
                }
            };
            sleep(wait).await;
        }
    }

    /// Keeps the lease; ends when it is lost. Whoever acts must stop then.
    pub async fn hold(&mut self) -> LeaseLost {
        let mut pause = RENEW;
        loop {
            let Some(renewed) = self.renewed else { return LeaseLost::NotHeld };
            let Some(left) = GIVE_UP.checked_sub(renewed.elapsed()) else { return self.lose() };
            sleep(pause.min(left)).await;
            let left = GIVE_UP.saturating_sub(renewed.elapsed());
            pause = match timeout(left, self.try_once()).await {
                Ok(Ok(true)) => RENEW,
                Ok(Ok(false)) => {
                    self.renewed = None;
                    let holder = self.seen.as_ref().map(|(record, _)| record.holder.clone());
                    return LeaseLost::Taken { holder: holder.unwrap_or_default() };
                }
                Ok(Err(error)) => {
                    tracing::debug!(%error, "Cannot renew the lease; will retry.");
                    backoff::delay(2, RENEW)
                }
                Err(_) => return self.lose(),
            };
        }
    }

    /// Gives the lease up, so that the next holder need not wait; best effort.
    pub async fn release(&mut self) {
        let (Some(_), Some((record, _))) = (self.renewed.take(), self.seen.take()) else { return };
        let body = self.body(Some(&record), "", RELEASED_SECONDS);
        let call = Call::with_json(Method::PUT, self.address(), &body);
        if let Ok(Err(error)) = timeout(LOOK, self.inner.transport.call(&call)).await {
            tracing::debug!(%error, "Cannot release the lease.");
        }
    }

    fn lose(&mut self) -> LeaseLost {
        self.renewed = None;
        LeaseLost::NotRenewed
    }

    /// Looks at the lease and does what is to be done; says whether it is ours.
    async fn try_once(&mut self) -> Result<bool, ClusterFault> {
        let began = Instant::now();
        let record = self.look().await?;
        let since = match (&record, &self.seen) {
            (Some(now), Some((before, since))) if now == before => *since,
            _ => began,
        };
        self.seen = record.clone().map(|record| (record, since));
        let call = match decide(&self.me, record.as_ref(), since.elapsed()) {
            Claim::Wait => return Ok(false),
            Claim::Create => Call::with_json(
                Method::POST,
                self.collection(),
                &self.body(None, &self.me, DURATION.as_secs()),
            ),
            Claim::Renew | Claim::Take => Call::with_json(
                Method::PUT,
                self.address(),
                &self.body(record.as_ref(), &self.me, DURATION.as_secs()),
            ),
        };
        let answer = self.inner.transport.call(&call).await?;
        if answer.is_success() {
            self.seen = parse(&answer.body).map(|record| (record, began));
            self.renewed = Some(began);
            return Ok(true);
        }
        match fault::classify(answer.code, &answer.body, &kind()) {
            // Another was quicker, or our own answer got lost: look again.
            ClusterFault::Conflict { message } if self.renewed.is_some() => {
                Err(ClusterFault::Conflict { message })
            }
            ClusterFault::Conflict { .. } => Ok(false),
            fault => Err(fault),
        }
    }

    async fn look(&self) -> Result<Option<Record>, ClusterFault> {
        let answer = self.inner.transport.call(&Call::get(self.address(), JSON)).await?;
        match answer.code {
            404 => Ok(None),
            200 => parse(&answer.body).map(Some).ok_or_else(|| ClusterFault::Unreadable {
                message: "the lease is not JSON".to_owned(),
            }),
            code => Err(fault::classify(code, &answer.body, &kind())),
        }
    }

    /// The lease as it shall be. The resource version makes sure that nobody
    /// else wrote it since `record`.
    fn body(&self, record: Option<&Record>, holder: &str, seconds: u64) -> Value {
        let mut metadata = json!({"name": NAME, "namespace": self.inner.namespace});
        if let Some(record) = record {
            metadata["resourceVersion"] = record.resource_version.clone().into();
        }
        let changes_hands =
            record.is_some_and(|record| record.holder != holder && !holder.is_empty());
        let transitions = record.map_or(0, |record| record.transitions) + u64::from(changes_hands);
        // Others only look whether this changes; a person may want to know when.
        let renewed = self.inner.transport.server_time().map(|time| format!("{time:.6}"));
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata,
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": seconds,
                "renewTime": renewed, "leaseTransitions": transitions},
        })
    }

    fn collection(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", encode(&self.inner.namespace))
    }

    fn address(&self) -> String {
        format!("{}/{NAME}", self.collection())
    }
}

/// The name of the lease, in the agent's own namespace.
const NAME: &str = "leeward";

/// Why a lease is not ours any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseLost {
    #[error("the lease was never acquired")]
    NotHeld,
    #[error("the lease could not be renewed within {} s", GIVE_UP.as_secs())]
    NotRenewed,
    #[error("the lease was taken by {holder}")]
    Taken { holder: String },
}

fn kind() -> KindVersion {
    KindVersion { kind: Kind::new("coordination.k8s.io", "Lease"), version: "v1".to_owned() }
}

fn parse(body: &[u8]) -> Option<Record> {
    let lease: Value = serde_json::from_slice(body).ok()?;
    let text = |pointer: &str| {
        lease.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let number = |pointer: &str| lease.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    Some(Record {
        holder: text("/spec/holderIdentity"),
        duration: Duration::from_secs(number("/spec/leaseDurationSeconds")),
        renewed: text("/spec/renewTime"),
        transitions: number("/spec/leaseTransitions"),
        resource_version: text("/metadata/resourceVersion"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str) -> Record {
        Record { holder: holder.into(), duration: DURATION, ..Record::default() }
    }

    #[test]
    fn a_lease_of_another_is_taken_only_after_it_was_silent_for_its_duration() {
        let other = held_by("other");
        let almost = DURATION.checked_sub(Duration::from_millis(1)).unwrap();
        assert_eq!(decide("me", Some(&other), almost), Claim::Wait);
        assert_eq!(decide("me", Some(&other), DURATION), Claim::Take);
    }

    #[test]
    fn a_lease_that_is_absent_ours_or_released_needs_no_waiting() {
        assert_eq!(decide("me", None, Duration::ZERO), Claim::Create);
        assert_eq!(decide("me", Some(&held_by("me")), Duration::ZERO), Claim::Renew);
        assert_eq!(decide("me", Some(&held_by("")), Duration::ZERO), Claim::Take);
    }

    #[test]
    fn two_never_act_at_once() {
        assert!(GIVE_UP < DURATION && RENEW < GIVE_UP);
    }

    #[test]
    fn a_lease_without_a_spec_is_nobodys() {
        let record = parse(br#"{"metadata": {"resourceVersion": "3"}}"#).unwrap();
        assert_eq!(decide("me", Some(&record), Duration::ZERO), Claim::Take);
        assert_eq!(parse(b"<html>"), None);
    }
}
