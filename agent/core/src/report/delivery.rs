//! What an answer of the receiver means, and how many events go into the next request.

use std::time::Duration;

use jiff::Timestamp;

/// `Retry-After` below this is raised to it: a receiver that says 0 is still in trouble.
pub const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);
/// `Retry-After` above this is cut to it: a wrong header must not silence a cluster for days.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// How delivery goes, for `why`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// In a row; 0 when the last try got through.
    pub failures: u32,
    /// One line that names the receiver and what is wrong; empty when nothing is.
    pub evidence: String,
    pub next_try: Option<Timestamp>,
}

/// What becomes of a batch.
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
}

/// Judges an answer by its status and `Retry-After` header.
///
/// 401, 403, 404, 405 and 407 say something about our credentials or about the
/// address, whatever is sent; setting events aside one by one for them would
/// throw the whole outbox away because a token expired.
pub fn verdict(status: u16, retry_after: Option<Duration>) -> Verdict {
    let after = retry_after.map(|delay| delay.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX));
    match status {
        200..=299 => Verdict::Acknowledged,
        413 => Verdict::TooLarge,
        401 | 403 | 404 | 405 | 407 | 408 | 425 | 429 => Verdict::Later { after },
        400..=499 => Verdict::Refused,
        _ => Verdict::Later { after },
    }
}

/// Reads a `Retry-After` header (RFC 9110 §10.2.3): seconds, or a date, of
/// which the answer's own `Date` is taken away, since our clock may be wrong.
pub fn retry_after(header: &str, date: Option<&str>) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let parse = |text: &str| jiff::fmt::rfc2822::parse(text.trim()).ok().map(|at| at.timestamp());
    let until = parse(header)?.duration_since(parse(date?)?);
    Some(Duration::try_from(until).unwrap_or_default())
}

/// Whether an `Accept-Encoding` of the receiver (RFC 9110 §12.5.3) allows zstd.
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

/// How many of the waiting events go into the next request.
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
}

impl Portion {
    /// Returns how many of `waiting` (their sequences, in sending order) to send.
    pub fn take(&self, waiting: &[u64]) -> usize {
        let most = self.most.unwrap_or(usize::MAX).min(waiting.len());
        let suspects = waiting.iter().take_while(|one| self.suspects.contains(one)).count();
        match suspects {
            0 => most,
            _ => most.min(suspects.div_ceil(2)),
        }
    }

    /// The receiver took the batch.
    pub fn accepted(&mut self, sent: &[u64]) {
        self.suspects.retain(|one| !sent.contains(one));
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

    /// The batch was refused. Returns the culprit when it stood alone.
    pub fn refused(&mut self, sent: &[u64]) -> Option<u64> {
        self.accepted = 0;
        if let [culprit] = sent {
            self.suspects.retain(|one| one != culprit);
            return Some(*culprit);
        }
        self.suspects = sent.to_vec();
        None
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
            (401, later),
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
    fn retry_after_is_honoured_within_a_second_and_an_hour() {
        let after = |seconds| verdict(429, Some(Duration::from_secs(seconds)));
        assert_eq!(after(0), Verdict::Later { after: Some(RETRY_AFTER_MIN) });
        assert_eq!(after(90), Verdict::Later { after: Some(Duration::from_secs(90)) });
        assert_eq!(after(999_999), Verdict::Later { after: Some(RETRY_AFTER_MAX) });
    }

    #[test]
    fn a_date_in_retry_after_is_read_against_the_clock_of_the_receiver() {
        let header = "Fri, 02 Jan 2026 03:05:00 GMT";
        let date = "Fri, 02 Jan 2026 03:04:00 GMT";
        assert_eq!(retry_after(header, Some(date)), Some(Duration::from_mins(1)));
        assert_eq!(retry_after(header, None), None);
        assert_eq!(retry_after(" 120 ", None), Some(Duration::from_mins(2)));
        assert_eq!(retry_after("soon", Some(date)), None);
    }

    #[test]
    fn only_a_receiver_that_lists_zstd_gets_zstd() {
        assert!(accepts_zstd("gzip, zstd"));
        assert!(accepts_zstd("ZSTD;q=0.5"));
        assert!(!accepts_zstd("zstd;q=0"));
        assert!(!accepts_zstd("gzip, *"));
        assert!(!accepts_zstd(""));
    }

    /// Sends `count` events to a receiver that refuses `poison`; returns how
    /// many requests it took, and who was set aside.
    fn deliver(count: u64, poison: &[u64]) -> (usize, Vec<u64>) {
        let mut portion = Portion::default();
        let mut waiting: Vec<u64> = (1..=count).collect();
        let (mut requests, mut aside) = (0, Vec::new());
        while !waiting.is_empty() {
            requests += 1;
            let sent = waiting[..portion.take(&waiting)].to_vec();
            if sent.iter().any(|one| poison.contains(one)) {
                if let Some(culprit) = portion.refused(&sent) {
                    aside.push(culprit);
                    waiting.retain(|one| *one != culprit);
                }
            } else {
                portion.accepted(&sent);
                waiting.drain(..sent.len());
            }
        }
        (requests, aside)
    }

    #[test]
    fn one_refused_event_among_many_is_found_by_halves() {
        for poison in [1, 500, 777, 1000] {
            let (requests, aside) = deliver(1000, &[poison]);
            assert_eq!(aside, [poison]);
            assert!(requests <= 24, "{requests} requests for {poison}");
        }
    }

    #[test]
    fn every_refused_event_is_set_aside_and_the_rest_go_on() {
        assert_eq!(deliver(64, &[3, 4, 40, 64]).1, [3, 4, 40, 64]);
        assert_eq!(deliver(1, &[1]), (1, vec![1]));
    }

    #[test]
    fn a_portion_that_was_cut_grows_again_after_successes() {
        let mut portion = Portion::default();
        let waiting: Vec<u64> = (0..100).collect();
        portion.too_much(100);
        portion.too_much(50);
        assert_eq!(portion.take(&waiting), 25);
        for _ in 0..GROW_AFTER {
            portion.accepted(&[]);
        }
        assert_eq!(portion.take(&waiting), 50);
    }
}
