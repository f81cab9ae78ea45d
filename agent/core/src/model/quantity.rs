//! Durations and sizes as people write them: `1h30m`, `256MiB`.

use std::time::Duration;

/// Ten years. A deadline further away is a slip of the pen, and instants that
/// far ahead overflow on some systems.
const DURATION_MAX: Duration = Duration::from_hours(10 * 365 * 24);

/// How much of a wrong text is repeated in the message, in characters.
const ECHO_MAX: usize = 40;

/// Units of time in milliseconds, largest first: the order in which they may follow each other.
const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of size in bytes; `kib` is 1024, `kb` is 1000.
const SIZE_UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// Reads `30s`, `5m`, `1h30m`, `2d`, `500ms`: whole numbers, larger units first.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{}` is not a duration such as 30s, 5m or 1h30m", echo(text));
    let mut rest = text;
    let mut units = TIME_UNITS.iter();
    let mut millis = 0_u64;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let (count, after) = leading_number(rest).ok_or_else(wrong)?;
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        // The iterator goes on where the last unit was found, so units only get smaller.
        let (_, scale) = units.find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        millis = count
            .checked_mul(*scale)
            .and_then(|part| millis.checked_add(part))
            .ok_or_else(wrong)?;
        rest = after;
    }
    let duration = Duration::from_millis(millis);
    if duration > DURATION_MAX {
        return Err(format!("`{}` is longer than ten years", echo(text)));
    }
    Ok(duration)
}

/// Reads a size in bytes: `64KiB`, `8MiB`, `1GB`, `4096`.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{}` is not a size such as 64KiB, 256MiB or 1GB", echo(text));
    let (count, unit) = leading_number(text).ok_or_else(wrong)?;
    let unit = unit.to_ascii_lowercase();
    let (_, scale) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    count.checked_mul(*scale).ok_or_else(wrong)
}

/// A size for people, rounded down to a tenth: `4 MiB`, `47.6 MiB`, `512 bytes`.
pub fn format_size(bytes: u64) -> String {
    let (unit, scale) = match bytes {
        0..0x400 => return format!("{bytes} bytes"),
        0x400..0x10_0000 => ("KiB", 1_u64 << 10),
        0x10_0000..0x4000_0000 => ("MiB", 1 << 20),
        _ => ("GiB", 1 << 30),
    };
    let tenths = bytes % scale * 10 / scale;
    let whole = bytes / scale;
    if tenths == 0 { format!("{whole} {unit}") } else { format!("{whole}.{tenths} {unit}") }
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

fn echo(text: &str) -> String {
    text.chars().take(ECHO_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_numbers_with_falling_units() {
        let read = |text: &str| match parse_duration(text) {
            Ok(duration) => format!("{text}: {duration:?}"),
            Err(message) => message,
        };
        let all = [
            "30s",
            "5m",
            "1h30m",
            "2d",
            "500ms",
            "1m1ms",
            "0s",
            "",
            "5",
            "m",
            "1.5h",
            "1m1h",
            "1s1s",
            "-1s",
            "1 h",
            "4000d",
            "99999999999999999999s",
            "9999999999999999999d",
            "1ŝ",
        ];
        insta::assert_snapshot!(all.map(read).join("\n"), @r"
        30s: 30s
        5m: 300s
        1h30m: 5400s
        2d: 172800s
        500ms: 500ms
        1m1ms: 60.001s
        0s: 0ns
        `` is not a duration such as 30s, 5m or 1h30m
        `5` is not a duration such as 30s, 5m or 1h30m
        `m` is not a duration such as 30s, 5m or 1h30m
        `1.5h` is not a duration such as 30s, 5m or 1h30m
        `1m1h` is not a duration such as 30s, 5m or 1h30m
        `1s1s` is not a duration such as 30s, 5m or 1h30m
        `-1s` is not a duration such as 30s, 5m or 1h30m
        `1 h` is not a duration such as 30s, 5m or 1h30m
        `4000d` is longer than ten years
        `99999999999999999999s` is not a duration such as 30s, 5m or 1h30m
        `9999999999999999999d` is not a duration such as 30s, 5m or 1h30m
        `1ŝ` is not a duration such as 30s, 5m or 1h30m
        ");
    }

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        let read = |text: &str| match parse_size(text) {
            Ok(bytes) => format!("{text}: {bytes} ({})", format_size(bytes)),
            Err(message) => message,
        };
        let all = [
            "64KiB",
            "256MiB",
            "8mib",
            "1GB",
            "4096",
            "0",
            "1TiB",
            "12B",
            "1536KiB",
            "",
            "KiB",
            "1.5MiB",
            "5 MiB",
            "-1",
            "99999999TiB",
        ];
        insta::assert_snapshot!(all.map(read).join("\n"), @r"
        64KiB: 65536 (64 KiB)
        256MiB: 268435456 (256 MiB)
        8mib: 8388608 (8 MiB)
        1GB: 1000000000 (953.6 MiB)
        4096: 4096 (4 KiB)
        0: 0 (0 bytes)
        1TiB: 1099511627776 (1024 GiB)
        12B: 12 (12 bytes)
        1536KiB: 1572864 (1.5 MiB)
        `` is not a size such as 64KiB, 256MiB or 1GB
        `KiB` is not a size such as 64KiB, 256MiB or 1GB
        `1.5MiB` is not a size such as 64KiB, 256MiB or 1GB
        `5 MiB` is not a size such as 64KiB, 256MiB or 1GB
        `-1` is not a size such as 64KiB, 256MiB or 1GB
        `99999999TiB` is not a size such as 64KiB, 256MiB or 1GB
        ");
    }
}
