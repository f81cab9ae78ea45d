//! Time that never jumps. Wall time is `jiff::Timestamp`, for people only.

use std::{
    ops::{Add, Sub},
    time::Duration,
};

/// Time since the agent started. Never jumps, so deadlines use it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uptime(pub Duration);

impl Uptime {
    /// Whole milliseconds since the agent started; saturates after 584 million years.
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl Add<Duration> for Uptime {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(rhs))
    }
}

/// The time between two instants, zero when `rhs` is later.
impl Sub for Uptime {
    type Output = Duration;
    fn sub(self, rhs: Self) -> Duration {
        self.0.saturating_sub(rhs.0)
    }
}
