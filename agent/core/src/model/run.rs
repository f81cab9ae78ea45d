//! How far something has come that runs once, to its end: a Job, a Pod that is
//! not restarted, a custom resource that is removed some time after its end.

use serde::{Deserialize, Serialize};

use super::object::Manifest;

/// Where kinds declare that the cluster removes an object of theirs some time
/// after its end: Jobs, `JobSets` and Ray's; Kubeflow's; Argo's Workflows; Spark's.
const EXPIRY_FIELDS: [&str; 4] = [
    "/spec/ttlSecondsAfterFinished",
    "/spec/runPolicy/ttlSecondsAfterFinished",
    "/spec/ttlStrategy",
    "/spec/timeToLiveSeconds",
];

/// How far an object is known to have come that runs once to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Run {
    /// It was not seen to end. Once it has, the cluster removes it by itself, which
    /// may be before anybody saw its end.
    Expires,
    /// It went before it had ended, so it has to run again.
    Interrupted,
    Succeeded,
    Failed {
        reason: String,
        /// The commit that wrote the object, if it said so.
        #[serde(default)]
        commit: String,
    },
}

impl Run {
    /// What is known of an object right after it was applied.
    pub fn begun(manifest: &Manifest) -> Option<Self> {
        let expires = |field| manifest.body.pointer(field).is_some_and(|value| !value.is_null());
        EXPIRY_FIELDS.into_iter().any(expires).then_some(Self::Expires)
    }

    /// Whether an object that is gone has done what it was there for.
    pub fn is_over(&self) -> bool {
        !matches!(self, Self::Interrupted)
    }

    /// Whether its end was seen.
    pub fn has_ended(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed { .. })
    }
}

/// What the last metadata of a removed object show of how far it had come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trace {
    /// Nothing: it is not a kind that ends, or nobody recorded who wrote what.
    Nothing,
    Unfinished,
    Ended(Run),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Origin;

    #[test]
    fn an_object_with_a_time_to_live_expires_and_another_does_not() {
        let begun = |spec: serde_json::Value| {
            let body = json!({"apiVersion": "batch/v1", "kind": "Job",
                "metadata": {"name": "a"}, "spec": spec});
            Run::begun(&Manifest::new(body, Origin::default()).unwrap())
        };
        assert_eq!(begun(json!({"ttlSecondsAfterFinished": 0})), Some(Run::Expires));
        assert_eq!(
            begun(json!({"ttlStrategy": {"secondsAfterCompletion": 5}})),
            Some(Run::Expires)
        );
        assert_eq!(begun(json!({"ttlSecondsAfterFinished": null})), None);
        assert_eq!(begun(json!({"template": {}})), None);
    }

    #[test]
    fn a_run_is_stored_as_words_that_stay_readable() {
        let failed = Run::Failed { reason: "r".to_owned(), commit: "c".to_owned() };
        let stored = serde_json::to_value([Run::Expires, Run::Succeeded, failed]).unwrap();
        let words = json!([{"state": "expires"}, {"state": "succeeded"},
            {"state": "failed", "reason": "r", "commit": "c"}]);
        assert_eq!(stored, words);
    }
}
