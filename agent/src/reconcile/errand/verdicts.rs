//! The API server's answers about many objects, sorted by who has to act.

use std::collections::{BTreeMap, BTreeSet};

use leeward_core::{
    cycle::AppEvent,
    gate::is_protected,
    model::{ClusterFault, ObjectFault, ObjectKey},
    plan::{
        desired::{Desired, Prepared, fault_of},
        judges::Judges,
    },
};

/// Faults that a report names; all are counted.
const MAX_FAULTS: usize = 50;

/// What a person can do about a field that cannot be changed.
const REPLACE_HINT: &str =
    "the annotation leeward.dev/replace: \"true\" lets it be deleted and made anew";

/// The verdicts on many objects.
#[derive(Debug, Default)]
pub(in crate::reconcile) struct Verdicts {
    /// The manifests are at fault.
    pub(in crate::reconcile) refused: Vec<ObjectFault>,
    /// A namespace or kind that something else may still bring.
    pub(in crate::reconcile) absent: Vec<ObjectFault>,
    /// Nobody's manifest is at fault; the object that it was about is named.
    pub(in crate::reconcile) obstacle: Option<String>,
    /// The API server as a whole is in trouble, so that no object is to blame.
    pub(in crate::reconcile) is_general: bool,
    /// Every object whose own request did not work, and why.
    pub(in crate::reconcile) named: BTreeMap<ObjectKey, String>,
    /// They need a namespace, a kind or a judge of the same revision that is not in yet.
    pub(in crate::reconcile) unproven: BTreeSet<ObjectKey>,
    /// The role of the agent does not suffice for these.
    pub(in crate::reconcile) forbidden: Vec<ObjectFault>,
    /// The annotation of the live object asks us not to write it.
    pub(in crate::reconcile) left_alone: BTreeSet<ObjectKey>,
}

impl Verdicts {
    pub(in crate::reconcile) fn is_clean(&self) -> bool {
        self.refused.is_empty()
            && self.absent.is_empty()
            && self.forbidden.is_empty()
            && self.unproven.is_empty()
            && self.obstacle.is_none()
    }

    /// Returns one line that says why it did not work out.
    pub(in crate::reconcile) fn as_message(&self) -> String {
        let fault = self.refused.first().or(self.forbidden.first()).or(self.absent.first());
        let fault = fault.map(ToString::to_string);
        let unproven =
            self.unproven.first().map(|key| format!("{key} waits for what is to be in before it"));
        fault.or_else(|| self.obstacle.clone()).or(unproven).unwrap_or_default()
    }

    /// Returns what the verdicts on a stage mean for the app.
    pub(in crate::reconcile) fn into_event(self) -> AppEvent {
        if !self.refused.is_empty() {
            let reason = "the API server refused it".to_owned();
            return AppEvent::ApplyFailed { reason, faults: self.refused };
        }
        if !self.is_clean() {
            return AppEvent::Obstacle { message: self.as_message() };
        }
        AppEvent::StageApplied
    }

    /// Sorts a fault by who has to act. What the judges may yet accept is unproven.
    pub(super) fn judge(
        &mut self,
        one: &Prepared,
        fault: &ClusterFault,
        desired: &Desired,
        judges: &Judges,
    ) {
        let key = one.key();
        let message = fault.to_string();
        if fault.is_api_server() {
            // What the API server as a whole cannot do is no object's.
            self.is_general = true;
            self.obstacle.get_or_insert(message);
            return;
        }
        self.named.insert(key.clone(), message.clone());
        if judges.may_yet_accept(key, fault) {
            self.unproven.insert(key.clone());
            return;
        }
        match fault {
            fault if fault.is_transient() => {
                self.obstacle.get_or_insert_with(|| format!("{key}: {message}"));
            }
            ClusterFault::UnknownKind(_) | ClusterFault::NotFound { .. } => {
                if desired.brings_what_it_needs(key) {
                    self.unproven.insert(key.clone());
                } else if self.absent.len() < MAX_FAULTS {
                    self.absent.push(fault_of(&one.manifest, message));
                }
            }
            ClusterFault::Forbidden { .. } => {
                if self.forbidden.len() < MAX_FAULTS {
                    self.forbidden.push(fault_of(&one.manifest, message));
                }
            }
            ClusterFault::Immutable { .. } if one.marks.replace => {}
            // What takes data with it is not recommended to anyone.
            ClusterFault::Immutable { .. } if !is_protected(key) => {
                self.refuse(one, &format!("{message}; {REPLACE_HINT}"));
            }
            _ => self.refuse(one, &message),
        }
    }

    fn refuse(&mut self, one: &Prepared, message: &str) {
        if self.refused.len() < MAX_FAULTS {
            self.refused.push(fault_of(&one.manifest, message));
        }
    }
}
