//! The control socket: one JSON line there, one JSON line back, then the
//! connection ends. The daemon answers, the CLI asks.

use serde::{Deserialize, Serialize};

use crate::{history::RevisionRecord, id::AppName, object::FieldChange, status::StatusDocument};

/// The longest line that either side reads, in bytes. A status of 1,000 apps has about 1 MiB.
pub const MAX_LINE: usize = 8 * 1024 * 1024;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    Status,
    /// Newest first; of one app, or of all.
    History {
        app: Option<AppName>,
    },
    /// Poll the remote now, and try again whatever waits for a later try.
    Sync,
    Pause {
        app: Option<AppName>,
        seconds: u64,
        reason: String,
    },
    Resume {
        app: Option<AppName>,
    },
    /// Let the plan that the prune guard holds go ahead, once.
    Approve {
        app: AppName,
        /// Also where data is lost for good.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        yes: bool,
    },
    /// Try the newest revision of an app again, though it was bad, or waits.
    Retry {
        app: AppName,
    },
    /// Take an app back to an earlier good revision, and keep it there.
    Rollback {
        app: AppName,
        /// The beginning of a commit; `None`: the good revision before the present one.
        revision: Option<String>,
        /// For how long; `None`: until it is released, or Git changes the app.
        seconds: Option<u64>,
    },
    /// End a rollback that a person asked for.
    Release {
        app: AppName,
    },
    /// Make the fields of another field manager Git's to decide.
    Takeover {
        app: Option<AppName>,
        from: String,
    },
    /// Compare the cluster with the revision that an app should be at.
    Diff {
        app: Option<AppName>,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "snake_case")]
pub enum Response {
    Status { document: Box<StatusDocument> },
    History { revisions: Vec<RevisionRecord> },
    Diff { objects: Vec<ObjectDiff> },
    Done { message: String },
    Refused { message: String, hint: Option<String> },
}

/// One object that differs between Git and the cluster, or between two revisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "FlatDiff", into = "FlatDiff")]
pub struct ObjectDiff {
    pub app: AppName,
    /// `Deployment.apps shop/web`, `Namespace shop`.
    pub object: String,
    pub difference: Difference,
}

/// How an object differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Git declares it and the cluster lacks it; of two revisions, only the newer declares it.
    Missing,
    /// It would be pruned; of two revisions, only the older declares it.
    Surplus,
    /// Both have it, with other values in these fields.
    Fields(Vec<FieldChange>),
}

/// An [`ObjectDiff`] as JSON has it: two flags and a list.
#[derive(Serialize, Deserialize)]
struct FlatDiff {
    app: AppName,
    object: String,
    missing: bool,
    surplus: bool,
    fields: Vec<FieldChange>,
}

impl From<FlatDiff> for ObjectDiff {
    fn from(flat: FlatDiff) -> Self {
        let difference = match flat {
            FlatDiff { missing: true, .. } => Difference::Missing,
            FlatDiff { surplus: true, .. } => Difference::Surplus,
            FlatDiff { fields, .. } => Difference::Fields(fields),
        };
        Self { app: flat.app, object: flat.object, difference }
    }
}

impl From<ObjectDiff> for FlatDiff {
    fn from(diff: ObjectDiff) -> Self {
        let ObjectDiff { app, object, difference } = diff;
        let (missing, surplus, fields) = match difference {
            Difference::Missing => (true, false, Vec::new()),
            Difference::Surplus => (false, true, Vec::new()),
            Difference::Fields(fields) => (false, false, fields),
        };
        Self { app, object, missing, surplus, fields }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as the daemon of version 0.1.0 wrote them.
    const RESPONSES: [&str; 5] = [
        r#"{"response":"done","message":"asked the remote"}"#,
        r#"{"response":"refused","message":"no app is called web","hint":null}"#,
        r#"{"response":"history","revisions":[{"app":"shop","commit":"0123456789abcdef0123456789abcdef01234567","tree":"89abcdef0123456789abcdef0123456789abcdef","content":"ab12","verdict":"rolled_back","reason":"crash loop","at":"2026-03-01T12:00:00Z"}]}"#,
        r#"{"response":"diff","objects":[{"app":"shop","object":"ConfigMap shop/a","missing":true,"surplus":false,"fields":[]},{"app":"shop","object":"ConfigMap shop/b","missing":false,"surplus":true,"fields":[]}]}"#,
        r#"{"response":"diff","objects":[{"app":"shop","object":"ConfigMap shop/c","missing":false,"surplus":false,"fields":[{"path":"/data/k","old":"\"v\"","new":null,"manager":"kubectl-edit"}]}]}"#,
    ];

    const REQUESTS: [&str; 11] = [
        r#"{"request":"status"}"#,
        r#"{"request":"history","app":null}"#,
        r#"{"request":"sync"}"#,
        r#"{"request":"pause","app":"shop","seconds":7200,"reason":"inventory"}"#,
        r#"{"request":"resume","app":null}"#,
        r#"{"request":"approve","app":"shop"}"#,
        r#"{"request":"diff","app":null}"#,
        r#"{"request":"diff","app":"shop"}"#,
        r#"{"request":"rollback","app":"shop","revision":"0123abcd","seconds":7200}"#,
        r#"{"request":"rollback","app":"shop","revision":null,"seconds":null}"#,
        r#"{"request":"release","app":"shop"}"#,
    ];

    #[test]
    fn lines_are_read_and_written_to_the_same_bytes() {
        for line in RESPONSES {
            let response: Response = serde_json::from_str(line).unwrap();
            assert_eq!(serde_json::to_string(&response).unwrap(), line);
        }
        for line in REQUESTS {
            let request: Request = serde_json::from_str(line).unwrap();
            assert_eq!(serde_json::to_string(&request).unwrap(), line);
        }
    }

    #[test]
    fn an_object_is_missing_or_surplus_or_differs_in_fields() {
        let Response::Diff { objects } = serde_json::from_str(RESPONSES[3]).unwrap() else {
            panic!("not a diff")
        };
        let found: Vec<_> = objects.into_iter().map(|object| object.difference).collect();
        assert_eq!(found, [Difference::Missing, Difference::Surplus]);
    }
}
