//! Looks at live objects and says how healthy each is.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use leeward_core::{
    cycle::is_well,
    health::{
        Health, PodQuery, assess, assess_candidate, ended as has_ended, needs_pods, stuck_pods,
    },
    model::{APP_LABEL, AppName, ClusterFault, GitId, Kind, KindVersion, ObjectKey, Run},
    plan::order::StageName,
};
use serde_json::Value;

use super::super::outside::Means;
use crate::edge::Cluster;

/// From so many objects of a kind on, one list is cheaper than single reads.
const LIST_FROM: usize = 8;
/// Workloads whose pods are looked at in one go.
pub(in crate::reconcile) const POD_QUERIES: usize = 16;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::reconcile) enum LookFor {
    /// The health of the app.
    Health,
    /// Whether all before this stage is healthy.
    Stage(StageName),
    /// Whether what was applied first is ready for the rest.
    Foundations,
}

/// What to look at.
#[derive(Debug)]
pub(in crate::reconcile) struct Look {
    pub(in crate::reconcile) app: AppName,
    pub(in crate::reconcile) keys: Vec<(ObjectKey, String)>,
    /// The commit on its way in: what failed before it came gets its time.
    pub(in crate::reconcile) candidate: Option<GitId>,
    /// Whether pods of older templates that a StatefulSet waits for in vain may
    /// be deleted, and whether the app was rolled back.
    pub(in crate::reconcile) unblock: Option<bool>,
}

/// What a look found.
#[derive(Debug, Default)]
pub(in crate::reconcile) struct Looked {
    pub(in crate::reconcile) verdicts: Vec<(ObjectKey, Health)>,
    /// Objects that have run to their end, each with its uid.
    pub(in crate::reconcile) ended: Vec<(ObjectKey, String, Run)>,
}

/// Reads the objects, and the pods of those that are not well.
pub(in crate::reconcile) async fn look<C: Cluster>(
    means: &Means<'_, C>,
    look: &Look,
) -> Result<Looked, ClusterFault> {
    let mut by_kind: BTreeMap<KindVersion, Vec<ObjectKey>> = BTreeMap::new();
    for (key, version) in &look.keys {
        let kind = KindVersion { kind: key.kind(), version: version.clone() };
        by_kind.entry(kind).or_default().push(key.clone());
    }
    let assess = |live: &Value, pods: &[Value]| match &look.candidate {
        Some(commit) => assess_candidate(live, pods, commit),
        None => assess(live, pods),
    };
    let Looked { mut verdicts, mut ended } = Looked::default();
    let mut pods_wanted = Vec::new();
    for (kind, keys) in by_kind {
        let judge = |key: ObjectKey, live: Option<Value>| {
            if let Some((live, run)) = live.as_ref().and_then(|live| Some((live, has_ended(live)?)))
            {
                let uid = live["metadata"]["uid"].as_str().unwrap_or_default();
                ended.push((key.clone(), uid.to_owned(), run));
            }
            let health = live.as_ref().map_or_else(Health::missing, |live| assess(live, &[]));
            match live.as_ref().filter(|_| !is_well(&health)).and_then(needs_pods) {
                Some(query) if pods_wanted.len() < POD_QUERIES => {
                    pods_wanted.push((key, live, query));
                }
                Some(_) => verdicts.push((key, health.unseen())),
                None => verdicts.push((key, health)),
            }
        };
        read(means, &look.app, &kind, keys, judge).await?;
    }
    for (key, live, PodQuery { namespace, selector }) in pods_wanted {
        let kind = KindVersion { kind: Kind::new("", "Pod"), version: "v1".to_owned() };
        let mut pods = Vec::new();
        means.list(&kind, &namespace, &selector, |pod| pods.push(pod)).await?;
        let live = live.unwrap_or(Value::Null);
        if let Some(rolled_back) = look.unblock {
            unblock(means, &look.app, &live, &pods, rolled_back).await;
        }
        verdicts.push((key, assess(&live, &pods)));
    }
    Ok(Looked { verdicts, ended })
}

/// Hands over each of these objects as it is, `None` for one that is not there. Of a kind
/// that is not served, there are none.
async fn read<C: Cluster>(
    means: &Means<'_, C>,
    app: &AppName,
    kind: &KindVersion,
    keys: Vec<ObjectKey>,
    mut each: impl FnMut(ObjectKey, Option<Value>),
) -> Result<(), ClusterFault> {
    if keys.len() >= LIST_FROM {
        let selector = format!("{APP_LABEL}={app}");
        let mut missing: BTreeSet<ObjectKey> = keys.into_iter().collect();
        let found = |object: Value| {
            if let Some(key) = ObjectKey::of(&object).and_then(|key| missing.take(&key)) {
                each(key, Some(object));
            }
        };
        match means.list(kind, "", &selector, found).await {
            Ok(()) | Err(ClusterFault::UnknownKind(_)) => {}
            Err(fault) => return Err(fault),
        }
        for key in missing {
            each(key, None);
        }
        return Ok(());
    }
    let answers = means.each(keys, async |key| {
        let live = match means.get(&key, &kind.version).await {
            Err(ClusterFault::UnknownKind(_)) => Ok(None),
            answer => answer,
        };
        (key, live)
    });
    futures::pin_mut!(answers);
    while let Some((key, live)) = answers.next().await {
        each(key, live?);
    }
    Ok(())
}

/// Deletes the pods of older templates that a StatefulSet waits for in vain.
/// Best effort: without the right to do so, health says what is wrong.
async fn unblock<C: Cluster>(
    means: &Means<'_, C>,
    app: &AppName,
    live: &Value,
    pods: &[Value],
    rolled_back: bool,
) {
    for stuck in stuck_pods(live, pods, rolled_back) {
        match means.delete(&stuck.key, "v1", &stuck.uid).await {
            Ok(()) => {
                tracing::warn!(app = %app, pod = %stuck.key, "Deleted a pod of an older template that its StatefulSet waits for in vain.");
            }
            Err(ClusterFault::NotFound { .. } | ClusterFault::Conflict { .. }) => {}
            Err(error) => {
                tracing::warn!(app = %app, pod = %stuck.key, %error, "Cannot delete a pod that keeps its StatefulSet from going on.");
            }
        }
    }
}
