//! When to ask the remote next.

use std::time::Duration;

use crate::model::{Backoff, FetchFailure};

/// After a cut that brought something, the next try is soon: what arrived is kept.
const AFTER_PROGRESS: Duration = Duration::from_millis(500);
/// After a cut that brought nothing: from a second, up to five minutes. A link
/// that is away for days costs a handful of packets an hour.
const RETRY: Backoff = Backoff { min: Duration::from_secs(1), max: Duration::from_secs(300) };
/// A server that asks to be left alone is obeyed within these bounds.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// How long to wait, and how many failures in a row that makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollPlan {
    pub delay: Duration,
    pub failures: u32,
}

/// Decides when to poll again. `jitter` is drawn from 0.0 to 1.0 by the caller.
pub fn next_poll(
    interval: Duration,
    failures: u32,
    outcome: Result<(), &FetchFailure>,
    jitter: f64,
) -> PollPlan {
    let Err(failure) = outcome else {
        // A tenth either way keeps a fleet from polling in step.
        return PollPlan { delay: interval.mul_f64(0.9 + 0.2 * jitter), failures: 0 };
    };
    if failure.progressed {
        return PollPlan { delay: AFTER_PROGRESS.mul_f64(0.5 + jitter), failures: 0 };
    }
    let failures = failures.saturating_add(1);
    let asked = failure.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
    PollPlan { delay: RETRY.delay(failures, jitter).max(asked), failures }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LinkStep;

    fn failure(progressed: bool, retry_after: Option<u64>) -> FetchFailure {
        FetchFailure {
            step: LinkStep::Connect,
            evidence: "refused".to_owned(),
            hint: None,
            retry_after: retry_after.map(Duration::from_secs),
            progressed,
            sent: 0,
            received: 0,
        }
    }

    #[test]
    fn a_cut_that_brought_something_is_followed_by_a_try_within_a_second() {
        let plan = next_poll(Duration::from_secs(30), 7, Err(&failure(true, None)), 1.0);
        assert!(plan.delay <= Duration::from_secs(1));
        assert_eq!(plan.failures, 0);
    }

    #[test]
    fn a_server_that_asks_for_a_day_gets_an_hour() {
        let plan = next_poll(Duration::from_secs(30), 0, Err(&failure(false, Some(86_400))), 0.5);
        assert_eq!(plan.delay, Duration::from_secs(3600));
    }

    #[test]
    fn no_number_of_failures_waits_longer_than_five_minutes() {
        for failures in [0, 1, 10, 1000, u32::MAX] {
            let plan =
                next_poll(Duration::from_secs(30), failures, Err(&failure(false, None)), 1.0);
            assert!(plan.delay <= Duration::from_secs(300));
        }
    }
}
