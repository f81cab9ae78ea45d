//! The only reader of the clocks. Owned by the daemon, read by the loop, which
//! hands `now` to everything below it; nothing else may ask what time it is.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use leeward_core::model::Uptime;
use tokio::time::Instant;

/// Both faces of time. A struct, not a trait: on a paused runtime the simulated
/// clock follows tokio's in both faces.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    /// The wall time at `started`; `None` asks the system.
    simulated_start: Option<Timestamp>,
}

impl Clock {
    /// The system's clocks; uptime counts from this call, so it is the first thing that `run` does.
    pub fn system() -> Self {
        Self { started: Instant::now(), simulated_start: None }
    }

    /// A wall clock that says `start` now and then keeps step with tokio's clock.
    pub fn simulated(start: Timestamp) -> Self {
        Self { started: Instant::now(), simulated_start: Some(start) }
    }

    /// Time since the agent started. Never jumps; deadlines run on it.
    pub fn uptime(&self) -> Uptime {
        Uptime(self.started.elapsed())
    }

    /// The wall clock, for people and certificates. It may jump by years when
    /// a device without a battery clock first reaches a time server.
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the wall clock")]
    pub fn wall(&self) -> Timestamp {
        match self.simulated_start {
            None => Timestamp::now(),
            Some(start) => later(start, self.started.elapsed()),
        }
    }

    /// Whether the wall clock can be right: it is not below `floor`, the newest
    /// time that we have proof of (commits, answers over TLS, our own records).
    pub fn trusted(&self, floor: Timestamp) -> bool {
        self.wall() >= floor
    }
}

/// `start + elapsed`, held at the last time that a timestamp can say.
fn later(start: Timestamp, elapsed: Duration) -> Timestamp {
    SignedDuration::try_from(elapsed)
        .ok()
        .and_then(|elapsed| start.checked_add(elapsed).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn both_faces_of_a_simulated_clock_follow_tokio() {
        let clock = Clock::simulated(Timestamp::UNIX_EPOCH);
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!((clock.wall().as_second(), clock.uptime()), (90, Uptime::from_secs(90)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_below_the_newest_time_ever_seen_is_not_trusted() {
        let floor = Timestamp::from_second(1_790_000_000).unwrap();
        let after_a_cold_boot = Clock::simulated(Timestamp::UNIX_EPOCH);
        let after_time_sync = Clock::simulated(floor);
        assert_eq!(
            (after_a_cold_boot.trusted(floor), after_time_sync.trusted(floor)),
            (false, true)
        );
    }

    #[test]
    fn a_simulation_that_never_ends_stops_at_the_last_timestamp() {
        assert_eq!(later(Timestamp::UNIX_EPOCH, Duration::MAX), Timestamp::MAX);
    }
}
