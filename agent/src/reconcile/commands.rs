//! What people ask over the control socket.

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt, stream};
use leeward_core::{
    cycle::{AppEvent, HoldReason, Phase},
    model::{AppName, AppSpec, Revision},
    plan::drift::differs,
};
use leeward_wire::control::{Difference, ObjectDiff, Request, Response};

use super::{desired::Undesired, preflight::IN_FLIGHT, reconciler::Reconciler};
use crate::{edge::Cluster, store::Batch};

/// Lines of history in one answer.
pub(super) const HISTORY: usize = 200;
/// The longest pause; a longer one is a decision for Git.
const LONGEST_PAUSE: Duration = Duration::from_secs(30 * 24 * 3600);

impl<C: Cluster> Reconciler<C> {
    pub(super) async fn answer(&mut self, request: Request) -> Response {
        match request {
            Request::Status => Response::Status { document: Box::new(self.document()) },
            Request::History { app } => match self.store.revisions(app.as_deref(), HISTORY) {
                Ok(revisions) => Response::History { revisions },
                Err(error) => refused(&error.to_string(), None),
            },
            Request::Sync => {
                self.ask_poll(false);
                self.hasten_variables();
                let names: Vec<AppName> = self.apps.keys().cloned().collect();
                self.tell_all(&names, || AppEvent::Nudged, "the remote is polled now").await
            }
            Request::Pause { app, seconds, reason } => {
                let length = Duration::from_secs(seconds);
                if length.is_zero() || length > LONGEST_PAUSE {
                    let hint = "pause for between a second and 30 days: --for 2h";
                    return refused("that is no length for a pause", Some(hint));
                }
                let done = format!("paused for {length:?}");
                let event = || AppEvent::Paused { length, reason: reason.clone() };
                match self.named(app.as_ref()) {
                    Ok(names) => self.tell_all(&names, event, &done).await,
                    Err(refusal) => refusal,
                }
            }
            Request::Resume { app } => match self.named(app.as_ref()) {
                Ok(names) => self.tell_all(&names, || AppEvent::Resumed, "resumed").await,
                Err(refusal) => refusal,
            },
            Request::Approve { app } => self.approve(&app).await,
            Request::Diff { app } => match self.named(app.as_ref()) {
                Ok(names) => self.diff(&names).await,
                Err(refusal) => refusal,
            },
        }
    }

    /// One app, or all of them.
    fn named(&self, app: Option<&AppName>) -> Result<Vec<AppName>, Response> {
        match app {
            None => Ok(self.apps.keys().cloned().collect()),
            Some(name) if self.apps.contains_key(name) => Ok(vec![name.clone()]),
            Some(name) => {
                let known: Vec<&str> = self.apps.keys().map(String::as_str).collect();
                let hint = format!("the apps are: {}", known.join(", "));
                Err(refused(&format!("there is no app {name}"), Some(&hint)))
            }
        }
    }

    async fn tell_all(
        &mut self,
        names: &[AppName],
        event: impl Fn() -> AppEvent,
        done: &str,
    ) -> Response {
        for name in names {
            if let Err(error) = self.take(name, event(), Batch::default()).await {
                return refused(&error.to_string(), None);
            }
        }
        Response::Done { message: done.to_owned() }
    }

    async fn approve(&mut self, app: &AppName) -> Response {
        let names = match self.named(Some(app)) {
            Ok(names) => names,
            Err(refusal) => return refusal,
        };
        let detail = match self.apps.get(app).map(|app| &app.record.phase) {
            Some(Phase::Held { hold, .. }) if hold.reason == HoldReason::PruneGuard => {
                hold.detail.clone()
            }
            _ => {
                let hint = "`leeward why` says what blocks";
                return refused(&format!("nothing of app {app} waits for approval"), Some(hint));
            }
        };
        self.tell_all(&names, || AppEvent::Approved, &format!("approved: {detail}")).await
    }

    async fn diff(&mut self, names: &[AppName]) -> Response {
        let mut objects = Vec::new();
        for name in names {
            let Some(app) = self.apps.get(name) else { continue };
            let spec = app.record.spec.clone();
            let revision = app.record.candidate().or_else(|| app.record.wanted()).cloned();
            let Some(revision) = revision else { continue };
            match self.differences(&spec, &revision).await {
                Ok(found) => objects.extend(found),
                Err(undesired) => {
                    let hint = "`leeward why` says what blocks";
                    return refused(&self.given.mask(&undesired.into_message()), Some(hint));
                }
            }
        }
        Response::Diff { objects }
    }

    async fn differences(
        &mut self,
        spec: &AppSpec,
        revision: &Revision,
    ) -> Result<Vec<ObjectDiff>, Undesired> {
        let desired = self.desired(spec, revision).await?;
        let plan = self.plan(&spec.name, &desired, &BTreeSet::new());
        let cluster = &self.cluster;
        let desired_ref = &desired;
        let mut answers = stream::iter(&desired.manifests)
            .map(async |manifest| {
                let live = cluster.get(&manifest.key, &manifest.version).await;
                (manifest, live)
            })
            .buffered(IN_FLIGHT);
        let mut objects = Vec::new();
        while let Some((manifest, live)) = answers.next().await {
            let live = live?;
            let difference = live.as_ref().map_or(Difference::Missing, |live| {
                let ignored = desired_ref.ignored.get(&manifest.key);
                Difference::Fields(differs(manifest, Some(live), ignored))
            });
            if difference != Difference::Fields(Vec::new()) {
                let (app, object) = (spec.name.clone(), manifest.key.to_string());
                objects.push(ObjectDiff { app, object, difference });
            }
        }
        objects.extend(plan.prunes.iter().map(|key| ObjectDiff {
            app: spec.name.clone(),
            object: key.to_string(),
            difference: Difference::Surplus,
        }));
        Ok(objects)
    }
}

fn refused(message: &str, hint: Option<&str>) -> Response {
    Response::Refused { message: message.to_owned(), hint: hint.map(str::to_owned) }
}
