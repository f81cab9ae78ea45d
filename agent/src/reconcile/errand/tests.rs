//! Errands on a fake cluster: what each finds out, and what it leaves alone.

use leeward_core::model::AppSpec;
use serde_json::json;

pub(super) fn spec(name: &str) -> AppSpec {
    serde_json::from_value(json!({
        "name": name, "path": "", "depends_on": [], "heal": "always",
        "timeout": { "secs": 1, "nanos": 0 }, "soak": { "secs": 1, "nanos": 0 },
        "prune": { "max_objects": 1, "max_share": 1.0 }, "ignore_differences": [],
    }))
    .unwrap()
}
