//! How long to leave something alone that failed.

use std::time::Duration;

/// A delay that doubles with every failure, from `min` to `max`.
///
/// A pure function of numbers that can be stored, so that a restart in the
/// middle of an outage does not start to hammer again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub min: Duration,
    pub max: Duration,
}

impl Backoff {
    /// Returns the delay after so many failures in a row; `jitter` is a random
    /// number in 0..=1. Half of the delay is fixed and half of it is drawn, so
    /// that a fleet which lost its receiver at once does not return at once.
    pub fn delay(&self, failures: u32, jitter: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let whole = self.min.saturating_mul(1 << doublings).min(self.max);
        let jitter = if jitter.is_nan() { 1.0 } else { jitter.clamp(0.0, 1.0) };
        whole / 2 + (whole / 2).mul_f64(jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { min: Duration::from_secs(1), max: Duration::from_mins(5) };

    #[test]
    fn the_delay_doubles_from_one_second_to_five_minutes() {
        let delays: Vec<_> = [1, 2, 3, 4, 5, 9, 10, 11, u32::MAX]
            .map(|failures| BACKOFF.delay(failures, 1.0).as_secs())
            .to_vec();
        assert_eq!(delays, [1, 2, 4, 8, 16, 256, 300, 300, 300]);
    }

    #[test]
    fn jitter_takes_at_most_half_of_the_delay_away() {
        assert_eq!(BACKOFF.delay(5, 0.0), Duration::from_secs(8));
        assert_eq!(BACKOFF.delay(5, 0.5), Duration::from_secs(12));
        assert_eq!(BACKOFF.delay(5, f64::NAN), Duration::from_secs(16));
    }
}
