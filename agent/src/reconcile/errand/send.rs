//! Sends objects, many at once, and says what came of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::StreamExt as _;
use leeward_core::{
    model::{Applied, ClusterFault, Digest, InventoryEntry, Manifest, ObjectKey, owned_digest},
    plan::{
        desired::{Desired, Prepared},
        judges::Judges,
        order::Apply,
        release::release,
        takeover::taken_over,
    },
};
use serde_json::Value;

use super::{super::outside::Means, verdicts::Verdicts};
use crate::edge::{ApplyMode, Cluster};

/// Objects to send, group after group; those of a group together.
#[derive(Debug)]
pub(in crate::reconcile) struct Consignment {
    pub(in crate::reconcile) desired: Arc<Desired>,
    pub(in crate::reconcile) groups: Vec<Vec<Apply>>,
    /// Objects that have been in the cluster: what is ignored of them stays as it is.
    pub(in crate::reconcile) known: BTreeSet<ObjectKey>,
    /// Objects whose deletion was asked for, so that they can be made anew.
    pub(in crate::reconcile) replacing: BTreeSet<ObjectKey>,
    /// No object of a group needs those of the groups before it.
    pub(in crate::reconcile) is_loose: bool,
    /// Objects of which a tool that applies manifests owns fields of ours as well.
    pub(in crate::reconcile) shared: BTreeSet<ObjectKey>,
}

impl Consignment {
    pub(in crate::reconcile) fn new(
        desired: Arc<Desired>,
        groups: Vec<Vec<Apply>>,
        inventory: &BTreeMap<ObjectKey, InventoryEntry>,
        replacing: BTreeSet<ObjectKey>,
    ) -> Self {
        let keys = groups.iter().flatten().map(|apply| &apply.key);
        let is_known =
            |key: &&ObjectKey| inventory.get(*key).is_some_and(|entry| entry.uid.is_some());
        let known = keys.filter(is_known).cloned().collect();
        let shared = BTreeSet::new();
        Self { desired, groups, known, replacing, shared, is_loose: false }
    }

    /// One object that does not work out keeps no other from being sent.
    pub(in crate::reconcile) fn loose(self) -> Self {
        Self { is_loose: true, ..self }
    }

    /// Names the objects whose fields are taken over before they are sent.
    pub(in crate::reconcile) fn taking_over(mut self, shared: &BTreeSet<ObjectKey>) -> Self {
        self.shared = shared.intersection(&self.known).cloned().collect();
        self
    }
}

/// What came of a consignment.
#[derive(Debug, Default)]
pub(in crate::reconcile) struct Sent {
    pub(in crate::reconcile) applied: Vec<(Apply, Applied)>,
    /// Objects that are on their way out, to be made anew; with what keeps each.
    pub(in crate::reconcile) replacing: Vec<(ObjectKey, String)>,
    pub(in crate::reconcile) verdicts: Verdicts,
}

/// What came of one object.
enum Answer {
    Applied(Applied),
    /// It is on its way out; what keeps it, in a few words.
    Leaving(String),
}

/// Sends group after group, until one of them meets a fault; if they are loose,
/// until the API server itself does.
pub(in crate::reconcile) async fn send<C: Cluster>(
    means: &Means<'_, C>,
    consignment: &Consignment,
) -> Sent {
    let mut sent = Sent::default();
    for group in &consignment.groups {
        let answers =
            means.each(group, async |apply| (apply, send_one(means, consignment, apply).await));
        futures::pin_mut!(answers);
        while let Some((apply, answer)) = answers.next().await {
            match answer {
                Ok(Answer::Applied(applied)) => sent.applied.push((apply.clone(), applied)),
                Ok(Answer::Leaving(why)) => sent.replacing.push((apply.key.clone(), why)),
                Err(fault) => {
                    let one = &consignment.desired.objects[apply.index];
                    sent.verdicts.judge(one, &fault, &consignment.desired, &Judges::default());
                }
            }
        }
        let is_faulty = !sent.verdicts.is_clean() || !sent.replacing.is_empty();
        if sent.verdicts.is_general || (is_faulty && !consignment.is_loose) {
            break;
        }
    }
    sent
}

/// Sends one object, without the fields that are not ours to decide. Their
/// live values are handed over first, so that they do not snap back to a
/// default when we stop declaring them.
async fn send_one<C: Cluster>(
    means: &Means<'_, C>,
    consignment: &Consignment,
    apply: &Apply,
) -> Result<Answer, ClusterFault> {
    let one: &Prepared = &consignment.desired.objects[apply.index];
    let manifest = &one.manifest;
    if consignment.replacing.contains(&apply.key)
        && let Some(live) = means.get(&manifest.key, &manifest.version).await?
        && is_leaving(&live)
    {
        return Ok(Answer::Leaving(keeper(&live)));
    }
    if consignment.shared.contains(&apply.key) && !apply.only_if_absent {
        take_over(means, manifest).await;
    }
    let ignored = consignment.desired.ignored.get(&manifest.key);
    // On creation Git's value is the first one.
    let known = consignment.known.contains(&manifest.key);
    if apply.only_if_absent || (known && ignored.is_some()) {
        match means.get(&manifest.key, &manifest.version).await? {
            Some(live) if apply.only_if_absent => return Ok(Answer::Applied(as_it_is(&live))),
            Some(live) => {
                let released = release(manifest, &live, ignored);
                if let Some(body) = released.hand_over {
                    let partial = Manifest { body, ..manifest.clone() };
                    means.apply(&partial, ApplyMode::HandOver).await?;
                }
                return apply_or_replace(means, &released.manifest, apply.replace).await;
            }
            None => {}
        }
    }
    let answer = apply_or_replace(means, manifest, apply.replace).await?;
    if let Answer::Applied(applied) = &answer
        && ignored.is_none()
        && applied.handed_over
    {
        take_back(means, manifest).await?;
    }
    Ok(answer)
}

/// Takes fields of ours from other tools, so that one which Git removes really goes. Best
/// effort: an object that changes meanwhile is shared still, and has the next try.
async fn take_over<C: Cluster>(means: &Means<'_, C>, manifest: &Manifest) {
    let result = match means.get(&manifest.key, &manifest.version).await {
        Ok(live) => match live.as_ref().and_then(taken_over) {
            Some(body) => {
                let patch = Manifest { body, ..manifest.clone() };
                means.apply(&patch, ApplyMode::TakeOver).await.map(drop)
            }
            None => Ok(()),
        },
        Err(fault) => Err(fault),
    };
    if let Err(fault) = result {
        tracing::debug!(object = %manifest.key, %fault, "Cannot take over fields from another tool.");
    }
}

/// What was handed over once must not outlive its removal from Git.
async fn take_back<C: Cluster>(
    means: &Means<'_, C>,
    manifest: &Manifest,
) -> Result<(), ClusterFault> {
    let Some(live) = means.get(&manifest.key, &manifest.version).await? else { return Ok(()) };
    if let Some(body) = release(manifest, &live, None).hand_over {
        let partial = Manifest { body, ..manifest.clone() };
        means.apply(&partial, ApplyMode::HandOver).await?;
    }
    Ok(())
}

/// Applies an object. One that cannot be changed, and that a person said may be
/// deleted and made anew, is deleted; it is applied again once it is gone.
async fn apply_or_replace<C: Cluster>(
    means: &Means<'_, C>,
    manifest: &Manifest,
    replace: bool,
) -> Result<Answer, ClusterFault> {
    let answer = means.apply(manifest, ApplyMode::Force).await;
    if !replace || !matches!(answer, Err(ClusterFault::Immutable { .. })) {
        return answer.map(Answer::Applied);
    }
    let Some(live) = means.get(&manifest.key, &manifest.version).await? else {
        return means.apply(manifest, ApplyMode::Force).await.map(Answer::Applied);
    };
    if !is_leaving(&live) {
        let uid = live["metadata"]["uid"].as_str().unwrap_or_default();
        means.delete(&manifest.key, &manifest.version, uid).await?;
        // Most objects are gone with the answer, and need no second look.
        if means.get(&manifest.key, &manifest.version).await?.is_none() {
            return means.apply(manifest, ApplyMode::Force).await.map(Answer::Applied);
        }
    }
    Ok(Answer::Leaving(keeper(&live)))
}

pub(super) fn is_leaving(live: &Value) -> bool {
    live["metadata"].get("deletionTimestamp").is_some_and(|time| !time.is_null())
}

/// Says what keeps an object from going.
pub(super) fn keeper(live: &Value) -> String {
    let finalizers = live["metadata"]["finalizers"].as_array();
    let names = finalizers.into_iter().flatten().filter_map(Value::as_str);
    let names: Vec<&str> = names.take(4).collect();
    if names.is_empty() {
        "what belongs to it goes first".to_owned()
    } else {
        format!("it waits for its finalizers {}", names.join(", "))
    }
}

/// An object that is left as it was found.
fn as_it_is(live: &Value) -> Applied {
    Applied {
        uid: live["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
        fields: owned_digest(live).unwrap_or_else(|| Digest::of(b"")),
        created: false,
        handed_over: false,
        left_alone: false,
        version: None,
    }
}
