//! How long to wait before asking an API server again that did not answer.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    time::Duration,
};

/// After the first failure: long enough not to spin, short enough that a
/// restarted API server is not kept waiting.
const SHORTEST: Duration = Duration::from_millis(250);

/// Returns how long to wait after `failures` failures in a row: `SHORTEST`,
/// doubled with each, at most `longest`, of which `jitter` (0.0 to 1.0) takes
/// away up to half, so that a fleet of watches does not come back in step.
pub(super) fn delay(failures: u32, longest: Duration, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let full = SHORTEST.saturating_mul(1 << doublings).min(longest);
    full.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
}

/// A number from 0.0 to 1.0 that nobody should bet on; good enough to spread load.
pub(super) fn jitter() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(random >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(30);

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<_> = [1, 2, 3, 7, 8, u32::MAX]
            .map(|failures| delay(failures, LONGEST, 0.0).as_millis())
            .into();
        assert_eq!(waits, [250, 500, 1_000, 16_000, 30_000, 30_000]);
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        assert_eq!(delay(1, LONGEST, 1.0), Duration::from_millis(125));
        assert!((0..1_000).map(|_| jitter()).all(|jitter| (0.0..=1.0).contains(&jitter)));
    }
}
