//! What people ask over the control socket.

use std::{rc::Rc, time::Duration};

use leeward_core::{
    cycle::{AppEvent, HoldReason, Phase},
    gate::loses_data,
    model::AppName,
};
use leeward_wire::control::{Request, Response};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    budget::Class,
    errand::{Back, difference::differences, prepare::Recipe, take::take_from},
    managed::Inventory,
    reconciler::Reconciler,
};
use crate::{edge::Cluster, store::Batch};

/// Lines of history in one answer.
pub const HISTORY: usize = 200;
/// The longest pause; a longer one is a decision for Git.
const LONGEST_PAUSE: Duration = Duration::from_secs(30 * 24 * 3600);

impl<C: Cluster + 'static> Reconciler<C> {
    /// Answers a request; at once, or when what it changes is on disk.
    pub(super) fn answer(&mut self, request: Request, to: oneshot::Sender<Response>) {
        let response = match request {
            Request::Diff { app } => return self.diff(app.as_ref(), to),
            Request::Takeover { app, from } => return self.take_from(app.as_ref(), from, to),
            Request::Status | Request::History { .. } => {
                refused("what was published and what is stored is answered by the desk", None)
            }
            Request::Sync => {
                self.ask_poll(false);
                self.variables.hasten(self.clock.uptime());
                let names: Vec<AppName> = self.apps.keys().cloned().collect();
                self.tell_all(&names, || AppEvent::Nudged, "the remote is polled now")
            }
            Request::Pause { app, seconds, reason } => self.pause(app.as_ref(), seconds, &reason),
            Request::Resume { app } => match self.named(app.as_ref()) {
                Ok(names) => {
                    let done = format!("resumed{}", self.still_rolled_back(&names));
                    self.tell_all(&names, || AppEvent::Resumed, &done)
                }
                Err(refusal) => refusal,
            },
            Request::Approve { app, yes } => self.approve(&app, yes),
            Request::Retry { app } => self.retry(&app),
            Request::Rollback { app, revision, seconds } => {
                self.roll_back(&app, revision.as_deref(), seconds)
            }
            Request::Release { app } => self.release(&app),
        };
        self.journal.answer(response, to);
    }

    /// One app, or all of them.
    pub(super) fn named(&self, app: Option<&AppName>) -> Result<Vec<AppName>, Response> {
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

    fn tell_all(
        &mut self,
        names: &[AppName],
        event: impl Fn() -> AppEvent,
        done: &str,
    ) -> Response {
        for name in names {
            self.take(name, event(), Batch::default());
        }
        Response::Done { message: done.to_owned() }
    }

    fn pause(&mut self, app: Option<&AppName>, seconds: u64, reason: &str) -> Response {
        let length = Duration::from_secs(seconds);
        if length.is_zero() || length > LONGEST_PAUSE {
            let hint = "pause for between a second and 30 days: --for 2h";
            return refused("that is no length for a pause", Some(hint));
        }
        let names = match self.named(app) {
            Ok(names) => names,
            Err(refusal) => return refusal,
        };
        for name in &names {
            // What is under way for a paused app makes no new request.
            if let Some(errand) = self.apps.get(name).and_then(|managed| managed.errand.as_ref()) {
                errand.stop.cancel();
            }
        }
        let event = || AppEvent::Paused { length, reason: reason.to_owned() };
        self.tell_all(&names, event, &format!("paused for {length:?}"))
    }

    fn approve(&mut self, app: &AppName, yes: bool) -> Response {
        let names = match self.named(Some(app)) {
            Ok(names) => names,
            Err(refusal) => return refusal,
        };
        let hold = match self.apps.get(app).map(|managed| &managed.app.record.phase) {
            Some(Phase::Held { hold, .. }) if hold.reason == HoldReason::PruneGuard => hold.clone(),
            _ => {
                let hint = "`leeward why` says what blocks";
                return refused(&format!("nothing of app {app} waits for approval"), Some(hint));
            }
        };
        let lost: Vec<String> =
            hold.objects.iter().filter(|key| loses_data(key)).map(ToString::to_string).collect();
        if !lost.is_empty() && !yes {
            let message = format!("data would be lost for good with {}", lost.join(", "));
            let hint = format!("{}; `leeward approve {app} --yes` deletes it", hold.detail);
            return refused(&message, Some(&hint));
        }
        let first = format!("approved: {}", hold.detail);
        let lines: Vec<String> = hold.objects.iter().map(|key| format!("  {key}")).collect();
        let told = [vec![first], lines].concat().join("\n");
        self.tell_all(&names, || AppEvent::Approved, &told)
    }

    fn retry(&mut self, app: &AppName) -> Response {
        let names = match self.named(Some(app)) {
            Ok(names) => names,
            Err(refusal) => return refusal,
        };
        let Some(managed) = self.apps.get(app) else {
            return refused("there is no such app", None);
        };
        let record = &managed.app.record;
        let newest = record.newest.as_ref();
        let bad = newest.is_some_and(|newest| record.is_bad(&newest.content));
        let waits = managed.app.release_at.is_some() || !managed.app.obstacle.is_empty();
        if !bad && !waits {
            let hint = "`leeward why` says what blocks";
            return refused(&format!("nothing of app {app} is to be tried again"), Some(hint));
        }
        let commit = newest.map(|newest| newest.commit.to_string()).unwrap_or_default();
        tracing::info!(app = %app, commit, "A person has it tried again.");
        self.tell_all(&names, || AppEvent::Retried, &format!("{commit} is tried again"))
    }

    /// Compares apps with the cluster, on an errand of its own that changes nothing.
    fn diff(&mut self, app: Option<&AppName>, to: oneshot::Sender<Response>) {
        let names = match self.named(app) {
            Ok(names) => names,
            Err(refusal) => return self.journal.answer(refusal, to),
        };
        let mut orders: Vec<(Recipe, Inventory, _)> = Vec::new();
        for name in names {
            let managed = &self.apps[&name];
            let record = &managed.app.record;
            let revision = record.candidate().or_else(|| record.wanted()).cloned();
            let Some(revision) = revision else { continue };
            let (inventory, left_alone) =
                (managed.inventory.clone(), managed.view.left_alone.clone());
            match self.recipe(&name, &revision) {
                Ok(recipe) => orders.push((recipe, inventory, left_alone)),
                Err(undesired) => {
                    let refusal = self.cannot_compare(&undesired.into_message());
                    return self.journal.answer(refusal, to);
                }
            }
        }
        let outside = Rc::clone(&self.outside);
        let masked = self.variables.clone();
        self.send(Box::pin(async move {
            let means = outside.means(Class::Bulk, CancellationToken::new());
            let mut objects = Vec::new();
            let mut response = None;
            for (recipe, inventory, left_alone) in orders {
                match differences(&means, recipe, &inventory, &left_alone).await {
                    Ok(found) => objects.extend(found),
                    Err(undesired) => {
                        let message = masked.mask(&undesired.into_message());
                        response = Some(refused(&message, Some("`leeward why` says what blocks")));
                        break;
                    }
                }
            }
            // Whoever asked may have gone away.
            drop(to.send(response.unwrap_or(Response::Diff { objects })));
            Back::Done
        }));
    }

    /// Takes fields from another manager, on an errand of its own. What Git does not
    /// declare of them is drift from then on, and goes by being healed.
    fn take_from(&mut self, app: Option<&AppName>, from: String, to: oneshot::Sender<Response>) {
        let names = match self.named(app) {
            Ok(names) => names,
            Err(refusal) => return self.journal.answer(refusal, to),
        };
        let owned = names.iter().flat_map(|name| &self.apps[name].inventory);
        let known = owned.filter(|(_, entry)| entry.uid.is_some());
        let keys = known.map(|(key, entry)| (key.clone(), entry.version.clone())).collect();
        let outside = Rc::clone(&self.outside);
        self.send(Box::pin(async move {
            let means = outside.means(Class::Bulk, CancellationToken::new());
            // Whoever asked may have gone away.
            drop(to.send(take_from(&means, keys, &from).await));
            Back::Done
        }));
    }

    fn cannot_compare(&self, message: &str) -> Response {
        refused(&self.variables.mask(message), Some("`leeward why` says what blocks"))
    }
}

pub(super) fn refused(message: &str, hint: Option<&str>) -> Response {
    Response::Refused { message: message.to_owned(), hint: hint.map(str::to_owned) }
}
