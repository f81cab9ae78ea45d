//! Carries out a plan: one stage at a time, each recorded before the next.

use std::{rc::Rc, time::Duration};

use futures::{StreamExt, stream};
use leeward_core::{
    cycle::AppEvent,
    health::{self, Verdict},
    model::{
        AppName, AppSpec, Applied, ClusterFault, Digest, InventoryEntry, Manifest, ObjectFault,
        ObjectKey, owned_digest,
    },
    plan::{
        order::{Apply, Plan, Stage, StageName},
        release::release,
    },
};

use super::{
    desired::{Desired, Undesired},
    preflight::{IN_FLIGHT, Verdicts, applies},
    reconciler::Reconciler,
};
use crate::{
    edge::{ApplyMode, Cluster},
    store::{Batch, StoreError},
};

/// While a wave becomes healthy, or a prune completes.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// CRDs are established and namespaces active within moments, or something is wrong.
const FOUNDATION_WAIT: Duration = Duration::from_secs(30);
const FOUNDATION_POLL: Duration = Duration::from_millis(50);
/// Results are recorded at least this often: a power cut repeats at most so many applies.
const RECORD_EVERY: usize = 256;

/// What a piece of applying came to.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one is made and taken apart at a time")]
pub(super) enum Progress {
    Event(AppEvent),
    /// Nothing to do before the cluster has moved.
    LookAgain(Duration),
}

impl<C: Cluster> Reconciler<C> {
    /// Applies the next stage of the wanted revision, or prunes, or finds that
    /// all is done.
    pub(super) async fn apply(&mut self, name: &AppName) -> Result<Progress, StoreError> {
        let Some(app) = self.apps.get(name) else { return Ok(Progress::Event(AppEvent::Tick)) };
        let spec = app.record.spec.clone();
        let Some(wanted) = app.record.wanted().cloned() else {
            return Ok(Progress::Event(AppEvent::Tick));
        };
        let desired = match self.desired(&spec, &wanted).await {
            Ok(desired) => desired,
            Err(undesired) => return Ok(Progress::Event(failed(undesired))),
        };
        // What somebody deleted meanwhile is made again: later stages may need it.
        let gone = self.view(name).gone.clone();
        let plan = self.plan(name, &desired, &gone);
        self.write_ahead(name, &desired, &plan, &wanted.content).await?;
        let Some(stage) = plan.stages.first() else {
            return self.prune(name, &plan).await;
        };
        if let Some(progress) = self.gate(name, &desired, stage).await? {
            return Ok(progress);
        }
        if stage.name != StageName::Foundations
            && let Some(event) = self.prove_the_rest(name, &desired).await
        {
            return Ok(Progress::Event(event));
        }
        let verdicts = self.run_stage(&spec, &desired, stage).await?;
        Ok(Progress::Event(outcome(verdicts)))
    }

    /// `inventory := old ∪ new`, durable before the first object is sent: what
    /// we may have created can never be orphaned. An object that is about to
    /// change loses its digest, so that after a power cut nobody believes that
    /// it still is what it was.
    async fn write_ahead(
        &mut self,
        name: &AppName,
        desired: &Desired,
        plan: &Plan,
        content: &leeward_core::model::ContentId,
    ) -> Result<(), StoreError> {
        if self.view(name).announced.as_ref() == Some(content) {
            return Ok(());
        }
        let mut batch = Batch::default();
        for apply in applies(plan) {
            let before = self.entry(name, &apply.key);
            let entry = InventoryEntry {
                version: desired.manifests[apply.index].version.clone(),
                applied: None,
                fields: before.as_ref().and_then(|entry| entry.fields),
                uid: before.as_ref().and_then(|entry| entry.uid.clone()),
                wave: apply.wave,
                keep: apply.keep,
            };
            if before.as_ref() != Some(&entry) {
                batch.inventory.push((name.clone(), apply.key.clone(), Some(entry)));
            }
        }
        self.commit(batch).await?;
        self.watch_inventory();
        self.view(name).announced = Some(content.clone());
        Ok(())
    }

    /// A stage starts when everything in the stages before it is healthy.
    /// (Foundations are waited for when they are applied.)
    async fn gate(
        &mut self,
        name: &AppName,
        desired: &Desired,
        stage: &Stage,
    ) -> Result<Option<Progress>, StoreError> {
        let before: Vec<ObjectKey> = desired
            .stages()
            .into_iter()
            .filter(|earlier| StageName::Foundations < earlier.name && earlier.name < stage.name)
            .flat_map(|earlier| earlier.applies)
            .map(|apply| apply.key)
            .filter(|key| health::watches_health(&key.kind()))
            .collect();
        if before.is_empty() {
            return Ok(None);
        }
        self.view(name).dirty.extend(before.iter().cloned());
        let event = self.observe(name).await;
        if let AppEvent::Obstacle { .. } = event {
            return Ok(Some(Progress::Event(event)));
        }
        self.take(name, event, Batch::default()).await?;
        let view = self.view(name);
        let verdicts = before.iter().filter_map(|key| Some((key, view.health.get(key)?)));
        let mut waiting = before.len();
        let mut faults = Vec::new();
        for (key, health) in verdicts {
            match health.verdict {
                Verdict::Healthy | Verdict::Suspended => waiting -= 1,
                Verdict::Failed => faults.push(ObjectFault::of_object(key, health.reason.clone())),
                Verdict::Progressing | Verdict::Unknown => {}
            }
        }
        if !faults.is_empty() {
            let reason = "an earlier wave failed its health checks".to_owned();
            return Ok(Some(Progress::Event(AppEvent::ApplyFailed { reason, faults })));
        }
        Ok((waiting > 0).then_some(Progress::LookAgain(LOOK_AGAIN)))
    }

    /// Objects that could not be dry-run before their namespace or CRD was in
    /// are dry-run now, before the first of them is applied.
    async fn prove_the_rest(&mut self, name: &AppName, desired: &Rc<Desired>) -> Option<AppEvent> {
        let unproven: Vec<ObjectKey> =
            std::mem::take(&mut self.view(name).unproven).into_iter().collect();
        if unproven.is_empty() {
            return None;
        }
        let verdicts = self.dry_run(name, desired, &unproven).await;
        let again = verdicts.obstacle.is_some() || !self.view(name).unproven.is_empty();
        if again {
            self.view(name).unproven.extend(unproven);
        }
        match outcome(verdicts) {
            AppEvent::StageApplied if !again => None,
            AppEvent::StageApplied => Some(AppEvent::Obstacle {
                message: "a namespace or kind of this revision is not served yet".to_owned(),
            }),
            event => Some(event),
        }
    }

    /// Sends the objects of a stage, many at once, and records what came of each.
    pub(super) async fn run_stage(
        &mut self,
        spec: &AppSpec,
        desired: &Rc<Desired>,
        stage: &Stage,
    ) -> Result<Verdicts, StoreError> {
        let mut verdicts = Verdicts::default();
        for chunk in stage.applies.chunks(RECORD_EVERY) {
            let results = self.send(&spec.name, desired, chunk, &mut verdicts).await;
            let mut batch = Batch::default();
            for (apply, applied) in results {
                let manifest = &desired.manifests[apply.index];
                let counts = &mut self.view(&spec.name).counts;
                if applied.created {
                    counts.created += 1;
                } else {
                    counts.changed += 1;
                }
                let entry = InventoryEntry {
                    version: manifest.version.clone(),
                    applied: Some(apply.digest),
                    fields: Some(applied.fields),
                    uid: Some(applied.uid),
                    wave: apply.wave,
                    keep: apply.keep,
                };
                let view = self.view(&spec.name);
                view.settled(&manifest.key);
                if health::watches_health(&manifest.key.kind()) {
                    view.dirty.insert(manifest.key.clone());
                }
                batch.inventory.push((spec.name.clone(), manifest.key.clone(), Some(entry)));
            }
            self.commit(batch).await?;
            (self.hooks.beat)(self.clock.uptime(), "applying");
            if verdicts.obstacle.is_some() || self.channels.shutdown.is_cancelled() {
                break;
            }
        }
        if stage.name == StageName::Foundations && verdicts.is_clean() {
            self.wait_for_foundations(stage, desired, &mut verdicts).await;
        }
        Ok(verdicts)
    }

    async fn send<'a>(
        &self,
        name: &AppName,
        desired: &Rc<Desired>,
        applies: &'a [Apply],
        verdicts: &mut Verdicts,
    ) -> Vec<(&'a Apply, Applied)> {
        let mut answers = stream::iter(applies)
            .map(async |apply| (apply, self.send_one(name, desired, apply).await))
            .buffer_unordered(IN_FLIGHT);
        let mut results = Vec::with_capacity(applies.len());
        while let Some((apply, answer)) = answers.next().await {
            match answer {
                Ok(applied) => results.push((apply, applied)),
                Err(fault) => verdicts.judge(&desired.manifests[apply.index], fault, desired),
            }
        }
        results
    }

    /// Sends one object, without the fields that are not ours to decide. Their
    /// live values are handed over first, so that they do not snap back to a
    /// default when we stop declaring them.
    async fn send_one(
        &self,
        name: &AppName,
        desired: &Desired,
        apply: &Apply,
    ) -> Result<Applied, ClusterFault> {
        let manifest = &desired.manifests[apply.index];
        let ignored = desired.ignored.get(&manifest.key);
        // On creation Git's value is the first one.
        let known = self.entry(name, &manifest.key).is_some_and(|entry| entry.uid.is_some());
        if apply.only_if_absent || (known && ignored.is_some()) {
            let live = self.cluster.get(&manifest.key, &manifest.version).await?;
            match live {
                Some(live) if apply.only_if_absent => return Ok(as_it_is(&live)),
                Some(live) => {
                    let released = release(manifest, &live, ignored);
                    if let Some(body) = released.hand_over {
                        let partial = Manifest { body, ..manifest.clone() };
                        self.cluster.apply(&partial, ApplyMode::HandOver).await?;
                    }
                    let sent = &released.manifest;
                    return apply_or_replace(&self.cluster, sent, apply.replace).await;
                }
                None => {}
            }
        }
        let applied = apply_or_replace(&self.cluster, manifest, apply.replace).await?;
        if ignored.is_none() && applied.handed_over {
            self.take_back(manifest).await?;
        }
        Ok(applied)
    }

    /// What was handed over once must not outlive its removal from Git.
    async fn take_back(&self, manifest: &Manifest) -> Result<(), ClusterFault> {
        let Some(live) = self.cluster.get(&manifest.key, &manifest.version).await? else {
            return Ok(());
        };
        if let Some(body) = release(manifest, &live, None).hand_over {
            let partial = Manifest { body, ..manifest.clone() };
            self.cluster.apply(&partial, ApplyMode::HandOver).await?;
        }
        Ok(())
    }

    async fn wait_for_foundations(
        &mut self,
        stage: &Stage,
        desired: &Desired,
        verdicts: &mut Verdicts,
    ) {
        let until = self.clock.uptime() + FOUNDATION_WAIT;
        for manifest in stage.applies.iter().map(|apply| &desired.manifests[apply.index]) {
            loop {
                let reason = match self.cluster.get(&manifest.key, &manifest.version).await {
                    Ok(Some(live)) => {
                        let health = health::assess(&live, &[]);
                        if health.verdict == Verdict::Healthy {
                            break;
                        }
                        health.reason
                    }
                    Ok(None) => "it is not there".to_owned(),
                    Err(fault) => fault.to_string(),
                };
                if until <= self.clock.uptime() {
                    let message = format!("{} is not ready: {reason}", manifest.key);
                    verdicts.obstacle = Some(ClusterFault::Unreachable { message });
                    return;
                }
                tokio::time::sleep(FOUNDATION_POLL).await;
            }
        }
    }
}

/// An object that is left as it was found.
fn as_it_is(live: &serde_json::Value) -> Applied {
    Applied {
        uid: live["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
        fields: owned_digest(live).unwrap_or_else(|| Digest::of(b"")),
        created: false,
        handed_over: false,
    }
}

async fn apply_or_replace<C: Cluster>(
    cluster: &C,
    manifest: &Manifest,
    replace: bool,
) -> Result<Applied, ClusterFault> {
    let answer = cluster.apply(manifest, ApplyMode::Force).await;
    if !replace || !matches!(answer, Err(ClusterFault::Immutable { .. })) {
        return answer;
    }
    // A person said that this object may be deleted and made anew.
    let Some(live) = cluster.get(&manifest.key, &manifest.version).await? else {
        return cluster.apply(manifest, ApplyMode::Force).await;
    };
    let uid = live["metadata"]["uid"].as_str().unwrap_or_default();
    cluster.delete(&manifest.key, &manifest.version, uid).await?;
    let tries = FOUNDATION_WAIT.as_millis() / LOOK_AGAIN.as_millis();
    for _ in 0..tries {
        if cluster.get(&manifest.key, &manifest.version).await?.is_none() {
            return cluster.apply(manifest, ApplyMode::Force).await;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let message = format!("{} is to be replaced, but its deletion does not end", manifest.key);
    Err(ClusterFault::Unreachable { message })
}

fn failed(undesired: Undesired) -> AppEvent {
    match undesired.into_faults() {
        Ok(faults) => {
            AppEvent::ApplyFailed { reason: "the files cannot be used".to_owned(), faults }
        }
        Err(message) => AppEvent::Obstacle { message },
    }
}

/// What the verdicts on a stage mean for the app.
fn outcome(verdicts: Verdicts) -> AppEvent {
    if !verdicts.refused.is_empty() {
        let reason = "the API server refused it".to_owned();
        return AppEvent::ApplyFailed { reason, faults: verdicts.refused };
    }
    if let Some(fault) = verdicts.obstacle {
        return AppEvent::Obstacle { message: fault.to_string() };
    }
    if !verdicts.is_clean() {
        return AppEvent::Obstacle { message: verdicts.as_message() };
    }
    AppEvent::StageApplied
}
