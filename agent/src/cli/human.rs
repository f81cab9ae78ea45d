//! Times, sizes and texts as people read them.

use std::time::Duration;

use jiff::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// `3 min ago`, `in 20 s`, `just now`.
pub(super) fn relative(then: Timestamp, now: Timestamp) -> String {
    let distance = now.duration_since(then);
    let length = distance.unsigned_abs();
    if length < Duration::from_secs(1) {
        "just now".to_owned()
    } else if distance.is_negative() {
        format!("in {}", span(length))
    } else {
        format!("{} ago", span(length))
    }
}

/// How long it has been so: `3 min`. Zero when the clock was set back since.
pub(super) fn since(then: Timestamp, now: Timestamp) -> String {
    span(Duration::try_from(now.duration_since(then)).unwrap_or_default())
}

/// The one or two largest units: `20 s`, `3 min`, `1 h 5 min`, `2 days`.
pub(super) fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        HOUR..DAY => match seconds % HOUR / MINUTE {
            0 => format!("{} h", seconds / HOUR),
            minutes => format!("{} h {minutes} min", seconds / HOUR),
        },
        DAY.. => plural(seconds / DAY, "day"),
    }
}

/// How long a step took: `12 ms`, `1.3 s`.
pub(super) fn precise(length: Duration) -> String {
    if length < Duration::from_secs(1) {
        format!("{} ms", length.as_millis())
    } else {
        format!("{:.1} s", length.as_secs_f64())
    }
}

/// `512 B`, `1.5 MiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `1 object`, `2 objects`.
pub(super) fn plural(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The first digits of a commit or content id.
pub(super) fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

/// Without line breaks and control characters: evidence comes from remotes,
/// and a remote must not move the cursor of whoever reads it.
pub(super) fn one_line(text: &str) -> String {
    let printable = text.chars().map(|c| if is_unprintable(c) { ' ' } else { c });
    printable
        .collect::<String>()
        .split(' ')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn is_unprintable(c: char) -> bool {
    // Besides controls: marks that turn the direction of text around.
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    #[test]
    fn times_are_told_relative_to_now() {
        let told = [0, -20, -200, -3_900, -7_200, -172_800, 20].map(|t| relative(at(t), at(0)));
        let expected = [
            "just now",
            "20 s ago",
            "3 min ago",
            "1 h 5 min ago",
            "2 h ago",
            "2 days ago",
            "in 20 s",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn sizes_have_one_decimal() {
        assert_eq!(
            [0, 1023, 1536, 268_435_456].map(size),
            ["0 B", "1023 B", "1.5 KiB", "256.0 MiB"]
        );
    }

    #[test]
    fn a_remote_cannot_move_the_cursor() {
        assert_eq!(one_line("no\x1b[2J such\r\nhost\u{202e}"), "no [2J such host");
    }
}
