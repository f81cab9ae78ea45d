//! Jobs and CronJobs.

use serde_json::Value;

use super::{
    Health, Verdict,
    conditions::{count, is_true, message_of},
};

pub(super) fn job(object: &Value) -> Health {
    if is_true(object, "Failed") {
        return Health::failed(message_of(object, "Failed"));
    }
    // Failing for good, while its pods still end.
    if is_true(object, "FailureTarget") {
        return Health::failed(message_of(object, "FailureTarget"));
    }
    if is_true(object, "Complete") {
        return Health::healthy();
    }
    if object.pointer("/spec/suspend") == Some(&Value::Bool(true)) {
        return Health::new(Verdict::Suspended, "is suspended");
    }
    let (active, failed) = (count(object, "/status/active"), count(object, "/status/failed"));
    Health::progressing(match (active, failed) {
        (0, 0) => "has not started".to_owned(),
        (_, 0) => format!("{active} pods are running"),
        _ => format!("{active} pods are running, {failed} have failed"),
    })
}

/// The jobs that it starts are not the app's health: a job that fails at night must not
/// roll a revision back in the morning.
pub(super) fn cron_job(object: &Value) -> Health {
    if object.pointer("/spec/suspend") == Some(&Value::Bool(true)) {
        return Health::new(Verdict::Suspended, "is suspended");
    }
    Health::healthy()
}
