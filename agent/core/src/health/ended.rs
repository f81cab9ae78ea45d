//! Objects that run once to their end: whether they have ended, and what is to be
//! thought of one that is not there any more.

use serde_json::Value;

use super::{
    Health, Verdict,
    conditions::{is_true, message_of, one_line, text},
};
use crate::model::{Kind, ObjectKey, REVISION_ANNOTATION, Run, Trace, annotation};

/// How a live object has ended; `None` when it has not, or is of a kind that never does.
pub fn ended(object: &Value) -> Option<Run> {
    let key = ObjectKey::of(object)?;
    match (key.group.as_str(), key.kind.as_str()) {
        ("batch", "Job") if is_true(object, "Complete") => Some(Run::Succeeded),
        ("batch", "Job") if is_true(object, "Failed") => {
            Some(failed(object, &message_of(object, "Failed")))
        }
        ("", "Pod") => ended_pod(object),
        _ => None,
    }
}

/// A Pod that is always restarted never ends; one that its node or the scheduler
/// put an end to has not done its work.
fn ended_pod(pod: &Value) -> Option<Run> {
    if matches!(text(pod, "/spec/restartPolicy"), "" | "Always") {
        return None;
    }
    let was_evicted = !text(pod, "/status/reason").is_empty() || is_true(pod, "DisruptionTarget");
    match text(pod, "/status/phase") {
        "Succeeded" => Some(Run::Succeeded),
        "Failed" if !was_evicted => Some(failed(pod, "has failed")),
        _ => None,
    }
}

fn failed(object: &Value, reason: &str) -> Run {
    let commit = annotation(object, REVISION_ANNOTATION).unwrap_or_default().to_owned();
    Run::Failed { reason: one_line(reason), commit }
}

/// What the metadata of a removed Job show of its end, by the fields of its status
/// that were ever written: a completion time is written on success alone, and
/// conditions at the end, or when it is suspended and resumed.
///
/// A Job that lives for no second after its end is gone before anybody can read
/// its status; its last metadata come with the news that it is gone.
pub fn trace(kind: &Kind, object: &Value) -> Trace {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    let Some(entries) = entries.filter(|_| *kind == Kind::new("batch", "Job")) else {
        return Trace::Nothing;
    };
    if entries.is_empty() {
        return Trace::Nothing;
    }
    let wrote = |pointer: &str| {
        entries
            .iter()
            .filter_map(|one| one.get("fieldsV1"))
            .any(|one| one.pointer(pointer).is_some())
    };
    if wrote("/f:status/f:completionTime") {
        Trace::Ended(Run::Succeeded)
    } else if !wrote("/f:status/f:conditions") {
        Trace::Unfinished
    } else if wrote("/f:spec/f:suspend") {
        // Conditions may be those of its suspension.
        Trace::Nothing
    } else {
        Trace::Ended(failed(object, "failed, and was removed after that"))
    }
}

/// Corrects the health of an object that is not there, or on its way out, by what
/// is known of its run. `candidate` is the commit on its way in, if one is.
#[must_use]
pub fn with_run(health: Health, run: Option<&Run>, candidate: Option<&str>) -> Health {
    let Some(run) = run.filter(|_| health.is_absent()) else { return health };
    match run {
        Run::Interrupted => health,
        // One on its way out that was not seen to end is read again when it is gone.
        Run::Expires if health != Health::missing() => health,
        Run::Expires | Run::Succeeded => Health::healthy(),
        // An older revision's failure says nothing of this one, and nothing waits for it.
        Run::Failed { reason, commit } if candidate.is_some_and(|own| own != commit) => {
            Health::new(Verdict::Healthy, format!("an older run: {reason}"))
        }
        Run::Failed { reason, .. } => Health::failed(reason.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(status: &Value) -> Value {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a", "namespace": "n",
            "annotations": {REVISION_ANNOTATION: "c1"}}, "status": status})
    }

    #[test]
    fn a_job_has_ended_when_it_is_complete_or_failed() {
        let with = |name: &str| {
            ended(&job(&json!({"conditions": [{"type": name, "status": "True", "reason": "R"}]})))
        };
        assert_eq!(with("Complete"), Some(Run::Succeeded));
        let failed = Run::Failed { reason: "Failed is True: R".into(), commit: "c1".into() };
        assert_eq!(with("Failed"), Some(failed));
        assert_eq!(with("FailureTarget"), None);
        assert_eq!(with("Suspended"), None);
        assert_eq!(ended(&job(&json!({"active": 1}))), None);
    }

    #[test]
    fn a_pod_ends_only_if_it_is_not_restarted_and_nobody_evicted_it() {
        let of = |policy: &str, status: Value| {
            ended(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
                "spec": {"restartPolicy": policy}, "status": status}))
        };
        assert_eq!(of("Never", json!({"phase": "Succeeded"})), Some(Run::Succeeded));
        assert!(of("OnFailure", json!({"phase": "Failed"})).is_some());
        assert_eq!(of("Never", json!({"phase": "Failed", "reason": "Evicted"})), None);
        assert_eq!(of("Always", json!({"phase": "Succeeded"})), None);
        assert_eq!(of("Never", json!({"phase": "Running"})), None);
    }

    #[test]
    fn the_last_metadata_of_a_job_tell_its_end() {
        let kind = Kind::new("batch", "Job");
        let of = |fields: &[Value]| {
            let entries: Vec<Value> = fields.iter().map(|one| json!({"fieldsV1": one})).collect();
            trace(&kind, &json!({"metadata": {"managedFields": entries}}))
        };
        let ours = json!({"f:spec": {"f:template": {}}});
        let started = json!({"f:status": {"f:startTime": {}, "f:active": {}}});
        let done = json!({"f:status": {"f:conditions": {}, "f:completionTime": {}}});
        let failed = json!({"f:status": {"f:conditions": {}, "f:failed": {}}});
        let suspended = json!({"f:spec": {"f:suspend": {}}});
        assert_eq!(of(&[ours.clone(), started]), Trace::Unfinished);
        assert_eq!(of(&[ours.clone(), done]), Trace::Ended(Run::Succeeded));
        assert!(matches!(of(&[ours, failed.clone()]), Trace::Ended(Run::Failed { .. })));
        assert_eq!(of(&[failed, suspended]), Trace::Nothing);
        assert_eq!(of(&[]), Trace::Nothing);
        let map = json!({"metadata": {"managedFields": [{"fieldsV1": {}}]}});
        assert_eq!(trace(&Kind::new("", "ConfigMap"), &map), Trace::Nothing);
    }

    #[test]
    fn a_job_that_is_gone_is_as_its_run_was() {
        let failed = Run::Failed { reason: "no".to_owned(), commit: "c1".to_owned() };
        let of = |run: &Run, candidate| with_run(Health::missing(), Some(run), candidate).verdict;
        assert_eq!(of(&Run::Succeeded, None), Verdict::Healthy);
        assert_eq!(of(&Run::Expires, Some("c1")), Verdict::Healthy);
        assert_eq!(of(&Run::Interrupted, None), Verdict::Progressing);
        assert_eq!(of(&failed, None), Verdict::Failed);
        assert_eq!(of(&failed, Some("c1")), Verdict::Failed);
        assert_eq!(of(&failed, Some("c2")), Verdict::Healthy);
        assert_eq!(with_run(Health::missing(), None, None), Health::missing());
        let runs = Health::progressing("1 pods are running");
        assert_eq!(with_run(runs.clone(), Some(&Run::Expires), None), runs);
        assert_eq!(with_run(Health::leaving(), Some(&Run::Expires), None), Health::leaving());
    }
}
