//! `leeward rollback`: what a person wants to go back to, and the end of it.

use std::time::Duration;

use leeward_core::{
    cycle::{AppEvent, KeptEvent, roll_back_to},
    git::{EMPTY_TREE, Objects as _},
    model::{AppName, Revision},
    report::{Event, EventKind},
};
use leeward_wire::control::Response;

use super::{commands::refused, reconciler::Reconciler};
use crate::{edge::Cluster, store::Batch};

/// The longest rollback that ends by itself, a year; one without an end needs no number.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

impl<C: Cluster + 'static> Reconciler<C> {
    /// Takes an app back to a good revision out of the store, with or without a link.
    pub(super) fn roll_back(
        &mut self,
        app: &AppName,
        commit: Option<&str>,
        seconds: Option<u64>,
    ) -> Response {
        let length = seconds.map(Duration::from_secs);
        if length.is_some_and(|length| length.is_zero() || length > LONGEST) {
            let hint =
                "for between a second and a year: --for 2h; or without --for, until released";
            return refused("that is no length for a rollback", Some(hint));
        }
        if let Err(refusal) = self.named(Some(app)) {
            return refusal;
        }
        let revision = match roll_back_to(&self.apps[app].app.record, commit) {
            Ok(revision) => revision,
            Err(none) => return refused(&none.message, Some(&none.hint)),
        };
        let short = short(&revision);
        if !self.is_in_store(&revision) {
            let message = format!("the store lacks a part of revision {short} of app {app}");
            return refused(
                &message,
                Some("roll back to another one: `leeward history` lists them"),
            );
        }
        let is_paused = self.apps[app].app.is_paused(self.clock.uptime());
        self.take(app, AppEvent::Kept(KeptEvent::Pinned { revision, length }), Batch::default());
        let end = match length {
            None => String::new(),
            Some(length) => format!(", for {length:?} at most"),
        };
        let when = if is_paused { " once its pause ends" } else { "" };
        let message = format!(
            "app {app} goes back to {short}{when}, and stays there until \
             `leeward rollback {app} --release` or a commit that changes the app{end}"
        );
        Response::Done { message }
    }

    /// Ends a rollback that a person asked for.
    pub(super) fn release(&mut self, app: &AppName) -> Response {
        if let Err(refusal) = self.named(Some(app)) {
            return refusal;
        }
        if self.apps[app].app.record.pin.is_none() {
            let hint = "`leeward status` shows which apps are";
            return refused(&format!("app {app} is not rolled back by hand"), Some(hint));
        }
        let reason = "released by hand".to_owned();
        self.take(app, AppEvent::Kept(KeptEvent::Released { reason }), Batch::default());
        Response::Done { message: format!("app {app} follows Git again") }
    }

    /// Names what a person who resumes apps may take for paused as well.
    pub(super) fn still_rolled_back(&self, names: &[AppName]) -> String {
        let is_pinned = |name: &&AppName| self.apps[*name].app.record.pin.is_some();
        let pinned: Vec<String> = names.iter().filter(is_pinned).cloned().collect();
        match &pinned[..] {
            [] => String::new(),
            [first, ..] => format!(
                "; still rolled back by hand: {} (`leeward rollback {first} --release`)",
                pinned.join(", ")
            ),
        }
    }

    /// Looks for the folder of the app alone: whether all of it is there, preflight finds out.
    fn is_in_store(&self, revision: &Revision) -> bool {
        let store = &self.outside.store;
        revision.tree == EMPTY_TREE || store.contains(revision.tree).unwrap_or(false)
    }

    /// Whether a candidate is what a person rolled the app back to. A part of it that
    /// the store lacks is nowhere else: servers are asked for the newest commit only.
    pub(super) fn is_pinned_to(&self, app: &AppName, revision: &Revision) -> bool {
        let pin = self.apps.get(app).and_then(|managed| managed.app.record.pin.as_ref());
        pin.is_some_and(|pin| pin.revision.content == revision.content)
    }
}

/// Puts into the log what nobody finds in the change of phases.
pub(super) fn log(event: &Event) {
    let text = |name: &str| event.data.get(name).and_then(serde_json::Value::as_str);
    let (app, commit, reason) = (event.subject.as_deref(), text("commit"), text("reason"));
    match event.kind {
        EventKind::AppPinned => {
            tracing::info!(
                app,
                commit,
                reason,
                until = text("until"),
                "The app is rolled back by hand."
            );
        }
        EventKind::AppReleased => {
            tracing::info!(app, commit, reason, "The app is no longer rolled back by hand.");
        }
        EventKind::AppStuck => {
            let first = &event.data["objects"][0];
            match (first["object"].as_str(), first["message"].as_str()) {
                (None, _) => tracing::info!(app, "No object is stuck any more."),
                (object, reason) => tracing::warn!(
                    app,
                    object,
                    reason,
                    stuck = event.data["stuck"].as_u64(),
                    "An object cannot be what Git wants; it is tried again."
                ),
            }
        }
        _ => {}
    }
}

fn short(revision: &Revision) -> String {
    revision.commit.to_string().chars().take(8).collect()
}
