//! When a server asks to be left alone.

use std::time::Duration;

/// `Retry-After` below this is raised to it: a server that says 0 is still in trouble.
pub const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);
/// `Retry-After` above this is cut to it: a wrong header must not silence a cluster for days.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Reads a `Retry-After` header (RFC 9110 §10.2.3): seconds, or a date, of
/// which the answer's own `Date` is taken away, since our clock may be wrong.
/// The delay is within [`RETRY_AFTER_MIN`] and [`RETRY_AFTER_MAX`].
pub fn retry_after(header: &str, date: Option<&str>) -> Option<Duration> {
    let header = header.trim();
    let delay = if let Ok(seconds) = header.parse() {
        Duration::from_secs(seconds)
    } else {
        let until = http_date(header)?.duration_since(http_date(date?)?);
        Duration::try_from(until).unwrap_or_default()
    };
    Some(delay.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX))
}

fn http_date(text: &str) -> Option<jiff::Timestamp> {
    jiff::fmt::rfc2822::parse(text.trim()).ok().map(|at| at.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_honoured_within_a_second_and_an_hour() {
        let after = |header| retry_after(header, None);
        assert_eq!(after(" 120 "), Some(Duration::from_mins(2)));
        assert_eq!(after("0"), Some(RETRY_AFTER_MIN));
        assert_eq!(after("999999"), Some(RETRY_AFTER_MAX));
        assert_eq!([after("soon"), after("-1"), after("")], [None; 3]);
    }

    #[test]
    fn a_date_is_read_against_the_clock_of_the_server() {
        let header = "Fri, 02 Jan 2026 03:05:00 GMT";
        let date = "Fri, 02 Jan 2026 03:04:00 GMT";
        assert_eq!(retry_after(header, Some(date)), Some(Duration::from_mins(1)));
        assert_eq!(retry_after(date, Some(header)), Some(RETRY_AFTER_MIN));
        assert_eq!(retry_after(header, None), None);
        assert_eq!(retry_after("soon", Some(date)), None);
    }
}
