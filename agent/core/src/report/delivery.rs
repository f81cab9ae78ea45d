//! Judges an answer of the receiver, and sizes the next request.

use std::{ops::Range, time::Duration};

use jiff::Timestamp;

/// How delivery goes, for `why`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// In a row; 0 when the last try got through.
    pub failures: u32,
    /// One line that names the receiver and what is wrong; empty when nothing is.
    pub evidence: String,
    pub next_try: Option<Timestamp>,
}

/// The fate of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has all of it.
    Acknowledged,
    /// Nothing is wrong with the batch: the same again, later.
    Later { after: Option<Duration> },
    /// Fewer at once.
    TooLarge,
    /// One of the events is not to the receiver's taste.
    Refused,
    /// One of the events, or all that we ever send: 401, 403, 404, 405 and 407
    /// may be about our credentials or the address. Whether a different event gets
    /// through decides that; without it an expired token would empty the outbox.
    Doubted,
}

/// Judges an answer by its status; `after` is what its `Retry-After` asks for.
pub fn verdict(status: u16, after: Option<Duration>) -> Verdict {
    match status {
        200..=299 => Verdict::Acknowledged,
        413 => Verdict::TooLarge,
        408 | 425 | 429 => Verdict::Later { after },
        401 | 403 | 404 | 405 | 407 => Verdict::Doubted,
        400..=499 => Verdict::Refused,
        _ => Verdict::Later { after },
    }
}

/// Returns whether an `Accept-Encoding` of the receiver (RFC 9110 §12.5.3) allows zstd.
pub fn accepts_zstd(header: &str) -> bool {
    header.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts
            .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
            .map_or(1.0, |weight| weight.trim().parse::<f32>().unwrap_or(0.0));
        name.eq_ignore_ascii_case("zstd") && weight > 0.0
    })
}

/// Successes in a row after which a portion that was cut is doubled again.
const GROW_AFTER: u32 = 8;

/// The next action after a batch was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Send what `take` says next; it gets closer to the culprit.
    Search,
    /// It stood alone and is the culprit.
    Culprit(u64),
    /// Whatever is sent is refused: the same again, later.
    Everything,
}

/// Which of the waiting events go into the next request.
///
/// Halved when a request was too large or did not get through (a weak link may
/// carry only so much at once), and searched by halves when one event in it was
/// refused, until that one stands alone.
#[derive(Clone, Debug, Default)]
pub struct Portion {
    /// `None`: as many as the request may hold.
    most: Option<usize>,
    accepted: u32,
    /// The last batch that was refused; the culprit is in it.
    suspects: Vec<u64>,
    doubt: Option<Doubt>,
}

/// An event that was refused alone, by an answer that may be about everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Doubt {
    event: u64,
    /// Another one got through since; before that the next one is sent in its stead.
    others_pass: bool,
}

impl Portion {
    /// Returns which of `waiting` (their sequences, in sending order) to send.
    pub fn take(&self, waiting: &[u64]) -> Range<usize> {
        if let Some(doubt) = self.doubt
            && let Some(place) = waiting.iter().position(|one| *one == doubt.event)
        {
            let place = if doubt.others_pass { place } else { place + 1 };
            if place < waiting.len() {
                return place..place + 1;
            }
        }
        let most = self.most.unwrap_or(usize::MAX).min(waiting.len());
        let suspects = waiting.iter().take_while(|one| self.suspects.contains(one)).count();
        match suspects {
            0 => 0..most,
            _ => 0..most.min(suspects.div_ceil(2)),
        }
    }

    /// The receiver took the batch.
    pub fn accepted(&mut self, sent: &[u64]) {
        self.suspects.retain(|one| !sent.contains(one));
        self.doubt = self
            .doubt
            .filter(|doubt| !sent.contains(&doubt.event))
            .map(|doubt| Doubt { others_pass: true, ..doubt });
        self.accepted += 1;
        if self.accepted >= GROW_AFTER {
            self.accepted = 0;
            self.most = self.most.and_then(|most| most.checked_mul(2)).filter(|most| *most < 4096);
        }
    }

    /// The batch was too large, or the link did not carry it.
    pub fn too_much(&mut self, sent: usize) {
        self.accepted = 0;
        self.most = Some((sent / 2).max(1));
    }

    /// The batch was refused, by an answer that says that an event is at fault.
    pub fn refused(&mut self, sent: &[u64]) -> Refusal {
        self.accepted = 0;
        let [culprit] = sent else {
            self.suspects = sent.to_vec();
            return Refusal::Search;
        };
        self.suspects.retain(|one| one != culprit);
        Refusal::Culprit(*culprit)
    }

    /// The batch was refused, by an answer that may be about everything.
    /// `waiting` is as for `take`.
    pub fn doubted(&mut self, sent: &[u64], waiting: &[u64]) -> Refusal {
        let [alone] = *sent else { return self.refused(sent) };
        self.accepted = 0;
        match self.doubt.take() {
            Some(doubt) if doubt.event == alone && doubt.others_pass => self.refused(sent),
            Some(doubt) if doubt.event != alone && !doubt.others_pass => {
                // Until something gets through, no more than one is sent.
                self.suspects = vec![doubt.event];
                Refusal::Everything
            }
            _ => {
                self.suspects = vec![alone];
                if waiting.last() == Some(&alone) {
                    return Refusal::Everything;
                }
                self.doubt = Some(Doubt { event: alone, others_pass: false });
                Refusal::Search
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged_as_the_contract_says() {
        let later = Verdict::Later { after: None };
        let cases = [
            (200, Verdict::Acknowledged),
            (204, Verdict::Acknowledged),
            (400, Verdict::Refused),
            (401, Verdict::Doubted),
            (404, Verdict::Doubted),
            (408, later),
            (413, Verdict::TooLarge),
            (422, Verdict::Refused),
            (425, later),
            (429, later),
            (500, later),
            (503, later),
            (302, later),
        ];
        assert!(cases.iter().all(|(status, expected)| verdict(*status, None) == *expected));
    }

    #[test]
    fn only_a_receiver_that_lists_zstd_gets_zstd() {
        assert!(accepts_zstd("gzip, zstd"));
        assert!(accepts_zstd("ZSTD;q=0.5"));
        assert!(!accepts_zstd("zstd;q=0"));
        assert!(!accepts_zstd("gzip, *"));
        assert!(!accepts_zstd(""));
    }

    /// Sends `count` events to a receiver that refuses `poison` with `status`; returns
    /// how many requests it took, who was set aside, and who waits for better times.
    fn deliver(count: u64, poison: &[u64], status: u16) -> (usize, Vec<u64>, Vec<u64>) {
        let mut portion = Portion::default();
        let mut waiting: Vec<u64> = (1..=count).collect();
        let (mut requests, mut aside) = (0, Vec::new());
        while !waiting.is_empty() {
            requests += 1;
            let sent = waiting[portion.take(&waiting)].to_vec();
            let refusal = if sent.iter().any(|one| poison.contains(one)) {
                match verdict(status, None) {
                    Verdict::Doubted => portion.doubted(&sent, &waiting),
                    _ => portion.refused(&sent),
                }
            } else {
                waiting.retain(|one| !sent.contains(one));
                portion.accepted(&sent);
                Refusal::Search
            };
            match refusal {
                Refusal::Search => {}
                Refusal::Culprit(culprit) => {
                    aside.push(culprit);
                    waiting.retain(|one| *one != culprit);
                }
                Refusal::Everything => break,
            }
        }
        (requests, aside, waiting)
    }

    #[test]
    fn one_refused_event_among_many_is_found_by_halves() {
        for (poison, status) in [(1, 400), (500, 422), (777, 400), (1000, 400), (500, 403)] {
            let (requests, aside, waiting) = deliver(1000, &[poison], status);
            assert_eq!((aside, waiting), (vec![poison], vec![]));
            assert!(requests <= 24, "{requests} requests for {poison}");
        }
    }

    #[test]
    fn every_refused_event_is_set_aside_and_the_rest_go_on() {
        assert_eq!(deliver(64, &[3, 4, 40, 64], 400).1, [3, 4, 40, 64]);
        assert_eq!(deliver(64, &[3, 20, 40, 63], 404).1, [3, 20, 40, 63]);
        assert_eq!(deliver(1, &[1], 400), (1, vec![1], vec![]));
    }

    #[test]
    fn expired_token_sets_nothing_aside_and_costs_two_small_requests_a_try() {
        let all: Vec<u64> = (1..=64).collect();
        let (_, aside, waiting) = deliver(64, &all, 401);
        assert_eq!((aside, waiting), (vec![], all.clone()));

        let mut portion = Portion::default();
        while portion.doubted(&all[portion.take(&all)], &all) != Refusal::Everything {}
        assert_eq!(portion.take(&all), 0..1);
        assert_eq!(portion.doubted(&all[..1], &all), Refusal::Search);
        assert_eq!(portion.take(&all), 1..2);
        assert_eq!(portion.doubted(&all[1..2], &all), Refusal::Everything);
        portion.accepted(&all[..1]);
        assert_eq!(portion.take(&all[1..]), 0..63);
    }

    #[test]
    fn refused_event_that_nothing_follows_waits_for_proof() {
        assert_eq!(deliver(3, &[3], 403), (3, vec![], vec![3]));
    }

    #[test]
    fn a_portion_that_was_cut_grows_again_after_successes() {
        let mut portion = Portion::default();
        let waiting: Vec<u64> = (0..100).collect();
        portion.too_much(100);
        portion.too_much(50);
        assert_eq!(portion.take(&waiting), 0..25);
        for _ in 0..GROW_AFTER {
            portion.accepted(&[]);
        }
        assert_eq!(portion.take(&waiting), 0..50);
    }
}
