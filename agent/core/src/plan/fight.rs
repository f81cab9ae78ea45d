//! Somebody changes what we heal, again and again: names it, and slows down.

use std::{collections::VecDeque, time::Duration};

use crate::model::Uptime;

/// The span over which heals are counted.
const WINDOW: Duration = Duration::from_mins(1);
/// More heals of one object than this in a [`WINDOW`] are a fight: a person with
/// an editor does not come near it, a controller with its own opinion does.
const NAMED_ABOVE: usize = 30;
/// More than this in a [`WINDOW`] is a loop that only costs the API server.
const HAMMERING_ABOVE: usize = 300;
/// Between two heals of a fight: slow enough to be harmless, and well under the
/// second within which an edit must be healed.
const FIGHT_PAUSE: Duration = Duration::from_millis(150);
/// Between two heals once it is a loop.
const HAMMERING_PAUSE: Duration = Duration::from_secs(10);

/// What to do about one more drift of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FightVerdict {
    /// How long to wait before healing; zero is now.
    pub wait: Duration,
    /// It is a fight, and should be called one.
    pub named: bool,
}

/// When one object was healed last, as far back as it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealHistory {
    /// Ascending, at most `HAMMERING_ABOVE + 1`.
    heals: VecDeque<Uptime>,
}

impl HealHistory {
    /// Remembers a heal, and forgets what is too old or too much to matter.
    pub fn record(&mut self, now: Uptime) {
        while self.heals.len() > HAMMERING_ABOVE
            || self.heals.front().is_some_and(|first| now - *first >= WINDOW)
        {
            self.heals.pop_front();
        }
        self.heals.push_back(now);
    }

    /// Whether nothing in it matters any more, so that the history can be dropped.
    pub fn is_over(&self, now: Uptime) -> bool {
        self.heals.back().is_none_or(|last| now - *last >= WINDOW)
    }

    /// Decides about a drift that was seen now.
    pub fn verdict(&self, now: Uptime) -> FightVerdict {
        let recent = self.heals.iter().filter(|heal| now - **heal < WINDOW).count();
        let pause = if recent > HAMMERING_ABOVE {
            HAMMERING_PAUSE
        } else if recent > NAMED_ABOVE {
            FIGHT_PAUSE
        } else {
            Duration::ZERO
        };
        let since_last = self.heals.back().map_or(WINDOW, |last| now - *last);
        FightVerdict { wait: pause.saturating_sub(since_last), named: recent > NAMED_ABOVE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Uptime {
        Uptime(Duration::from_millis(milliseconds))
    }

    fn healed(times: u64, every_ms: u64) -> (HealHistory, Uptime) {
        let mut history = HealHistory::default();
        for index in 0..times {
            history.record(at(index * every_ms));
        }
        (history, at(times.saturating_sub(1) * every_ms))
    }

    #[test]
    fn the_first_thirty_heals_of_a_minute_are_immediate() {
        let (history, now) = healed(30, 1);
        assert_eq!(history.verdict(now), FightVerdict { wait: Duration::ZERO, named: false });
    }

    #[test]
    fn more_than_thirty_a_minute_is_a_named_fight_that_is_still_healed_within_250_ms() {
        for times in 31..=300 {
            let (history, now) = healed(times, 10);
            let verdict = history.verdict(now);
            assert!(verdict.named && verdict.wait <= Duration::from_millis(250), "{times}");
        }
    }

    #[test]
    fn above_three_hundred_a_minute_there_are_ten_seconds_between_heals() {
        let (history, now) = healed(400, 100);
        assert_eq!(
            history.verdict(now),
            FightVerdict { wait: Duration::from_secs(10), named: true }
        );
        assert_eq!(history.verdict(now + Duration::from_secs(10)).wait, Duration::ZERO);
    }

    #[test]
    fn a_fight_that_ended_is_forgotten_after_a_minute() {
        let (history, now) = healed(100, 10);
        let later = now + Duration::from_mins(1);
        assert!(history.is_over(later));
        assert_eq!(history.verdict(later), FightVerdict { wait: Duration::ZERO, named: false });
    }

    #[test]
    fn a_history_stays_small_however_long_the_fight() {
        let (history, _) = healed(100_000, 1);
        assert!(history.heals.len() <= 301);
    }

    #[test]
    fn an_opponent_that_never_tires_costs_less_than_ten_heals_a_second() {
        let mut history = HealHistory::default();
        let (mut now, mut heals) = (at(0), 0_u32);
        while now < Uptime::from_secs(600) {
            now = now + history.verdict(now).wait.max(Duration::from_millis(1));
            history.record(now);
            heals += 1;
        }
        assert!(heals < 600 * 10, "{heals} in 10 minutes");
    }
}
