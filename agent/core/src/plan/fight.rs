//! Somebody changes what we heal, again and again: names it, and slows down.

use std::time::Duration;

use crate::model::Uptime;

/// An object that was healed so often, with less than [`FORGOTTEN_AFTER`] between two
/// heals, is fought over: a person who tries something out gives up before, and two
/// controllers never do, whatever their pace.
const NAMED_FROM: u32 = 5;
/// A fight is over when nothing had to be healed for so long; until then it is named,
/// also when the other writer comes by only now and then.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(1);
/// Between the heal that makes it a fight and the next; doubled with every further one.
/// Short, since a person who tries out the agent edits one object some ten times.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest that an object which is fought over is left as the other writer has it:
/// a fight costs the API server some ten heals an hour then, and what stopped it is
/// noticed soon.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// What to do about one more drift of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FightVerdict {
    /// How long to wait before healing; zero is now.
    pub wait: Duration,
    /// It is a fight, and should be called one.
    pub named: bool,
}

/// How often one object was healed in a row, and with whom it is fought over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealHistory {
    heals: u32,
    last: Uptime,
    /// The last manager that was seen to take a field.
    manager: Option<String>,
}

impl HealHistory {
    /// Remembers a heal, and who made it necessary, if that is known.
    pub fn record(&mut self, manager: Option<&str>, now: Uptime) {
        if self.is_over(now) {
            *self = Self::default();
        }
        self.heals = self.heals.saturating_add(1);
        self.last = now;
        self.manager = manager.map(str::to_owned).or_else(|| self.manager.take());
    }

    /// Whether nothing in it matters any more, so that the history can be dropped.
    pub fn is_over(&self, now: Uptime) -> bool {
        self.heals == 0 || now - self.last >= FORGOTTEN_AFTER
    }

    /// Decides about a drift that was seen now.
    pub fn verdict(&self, now: Uptime) -> FightVerdict {
        let named = self.is_fight(now);
        if !named {
            return FightVerdict { wait: Duration::ZERO, named };
        }
        let doublings = self.heals.saturating_sub(NAMED_FROM).min(u32::BITS - 1);
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        FightVerdict { wait: pause.saturating_sub(now - self.last), named }
    }

    pub fn is_fight(&self, now: Uptime) -> bool {
        self.heals >= NAMED_FROM && !self.is_over(now)
    }

    /// Who the other side is, for people.
    pub fn opponent(&self) -> &str {
        self.manager.as_deref().unwrap_or("somebody")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healed(times: u64, every: u64) -> (HealHistory, Uptime) {
        let mut history = HealHistory::default();
        for index in 0..times {
            history.record(Some("flux"), Uptime::from_secs(index * every));
        }
        (history, Uptime::from_secs(times.saturating_sub(1) * every))
    }

    #[test]
    fn the_first_four_heals_are_immediate_and_no_fight() {
        let (history, now) = healed(4, 0);
        assert_eq!(history.verdict(now), FightVerdict { wait: Duration::ZERO, named: false });
    }

    #[test]
    fn from_the_fifth_heal_on_it_is_a_fight_at_any_pace() {
        for every in [0, 5, 60, 600, 3599] {
            let (history, now) = healed(5, every);
            assert!(history.verdict(now).named, "every {every} s");
            assert_eq!(history.opponent(), "flux");
        }
        let (history, now) = healed(20, 3600);
        assert!(!history.verdict(now).named);
    }

    #[test]
    fn an_object_that_is_fought_over_is_left_for_whiles_that_grow_to_five_minutes() {
        let waits: Vec<u128> = (5..18)
            .map(|times| {
                let (history, now) = healed(times, 0);
                history.verdict(now).wait.as_millis()
            })
            .collect();
        let doubled = [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 102_400];
        assert_eq!(waits, [&doubled[..], &[204_800, 300_000]].concat());
        let (history, now) = healed(10_000, 0);
        assert_eq!(history.verdict(now).wait, LONGEST_PAUSE);
        assert_eq!(history.verdict(now + LONGEST_PAUSE).wait, Duration::ZERO);
    }

    #[test]
    fn a_slow_opponent_is_healed_at_once_as_long_as_it_is_slower_than_the_pause() {
        let (history, now) = healed(8, 60);
        assert_eq!(history.verdict(now + Duration::from_mins(1)).wait, Duration::ZERO);
    }

    #[test]
    fn a_fight_is_named_for_an_hour_and_forgotten_then() {
        let (mut history, now) = healed(100, 10);
        assert!(history.is_fight(now + Duration::from_mins(59)));
        let later = now + Duration::from_hours(1);
        assert!(history.is_over(later));
        assert_eq!(history.verdict(later), FightVerdict { wait: Duration::ZERO, named: false });
        history.record(None, later);
        assert_eq!((history.heals, history.opponent()), (1, "somebody"));
    }

    #[test]
    fn a_heal_of_which_nobody_is_known_keeps_the_name_of_the_last() {
        let (mut history, now) = healed(5, 1);
        history.record(None, now);
        assert_eq!(history.opponent(), "flux");
    }

    #[test]
    fn an_opponent_that_never_tires_costs_thirty_heals_in_the_first_hour() {
        let mut history = HealHistory::default();
        let (mut now, mut heals) = (Uptime::from_secs(0), 0_u32);
        while now < Uptime::from_secs(3600) {
            now = now + history.verdict(now).wait.max(Duration::from_millis(1));
            history.record(None, now);
            heals += 1;
        }
        assert!(heals <= 30, "{heals} in an hour");
    }
}
