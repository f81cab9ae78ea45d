//! How long to wait before asking an API server again that did not answer.

use std::time::Duration;

use leeward_core::model::Backoff;

use crate::chance;

/// After the first failure: long enough not to spin, short enough that a
/// restarted API server is not kept waiting.
const SHORTEST: Duration = Duration::from_millis(250);

/// Returns how long to wait after `failures` failures in a row, at most `longest`.
pub(super) fn delay(failures: u32, longest: Duration) -> Duration {
    Backoff { min: SHORTEST, max: longest }.delay(failures, chance::draw())
}
