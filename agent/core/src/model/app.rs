//! What `leeward.yaml` says of an app (docs/guides/repository-layout.md).

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{AppName, VariableSource};

/// The file that names the apps, at the root of the source's path.
pub const APPS_FILE: &str = "leeward.yaml";

/// What to do about drift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Heal {
    #[default]
    Always,
    Report,
}

/// The prune guard holds a plan that deletes more than `max_objects` objects
/// *and* more than `max_share` of the app.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PruneGuard {
    pub max_objects: u32,
    /// 0.0 to 1.0.
    pub max_share: f64,
    /// What Git does not declare any more goes before the new revision has proven
    /// itself, because both cannot run side by side.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first: bool,
}

/// Fields of live objects that Git does not decide, as in Argo CD.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoreRule {
    /// `None` matches every group; empty is the core group.
    pub group: Option<String>,
    pub kind: String,
    pub name: Option<String>,
    pub namespace: Option<String>,
    /// RFC 6901.
    pub json_pointers: Vec<String>,
    /// Fields that these managers own are theirs.
    pub managed_fields_managers: Vec<String>,
}

/// One app with every default filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppSpec {
    pub name: AppName,
    /// Relative to the source's path; empty for the path itself. No `.`, `..` or empty segments.
    pub path: String,
    pub depends_on: Vec<AppName>,
    pub heal: Heal,
    /// How long an app may take to become healthy.
    pub timeout: Duration,
    /// How long it must stay healthy before a revision is good.
    pub soak: Duration,
    pub prune: PruneGuard,
    /// How often a revision that went bad is tried again by itself.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u32,
    /// Between two such tries.
    #[serde(default = "retry_interval")]
    pub retry_interval: Duration,
    /// Names that the app had before, while others may still have it under one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub formerly: Vec<AppName>,
    pub ignore_differences: Vec<IgnoreRule>,
    /// The app's own variables; `None`: nothing is substituted in its manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub substitute: Option<BTreeMap<String, String>>,
    /// Objects of the cluster with more of them; of two that set the same one, the later counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub substitute_from: Vec<VariableSource>,
}

/// Long enough for a person to look at what failed, short enough for an outage to be
/// over by then.
pub const RETRY_INTERVAL: Duration = Duration::from_secs(600);

fn retry_interval() -> Duration {
    RETRY_INTERVAL
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl AppSpec {
    /// Whether variables are substituted in the app's manifests.
    pub fn substitutes(&self) -> bool {
        self.substitute.is_some() || !self.substitute_from.is_empty()
    }
}
