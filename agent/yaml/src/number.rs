//! Numbers as Go's `strconv` reads and writes them, since that is what decides
//! in kubectl and in the API server.

use serde_json::Number;

use crate::dialect::Resolved;

/// Reads a plain scalar that begins with a digit, a sign or a dot.
///
/// Integers have Go's prefixes (`0x`, `0o`, `0b`, and a leading zero for
/// octal) and underscores anywhere. There are no sexagesimals: `12:30:45` is text.
pub(super) fn read(text: &str) -> Option<Resolved> {
    if text.starts_with('.') {
        // Only here does Go parse the text itself, with underscores between digits.
        return underscores_separate_digits(text).then(|| float(&without_underscores(text)))?;
    }
    let text = without_underscores(text);
    integer(&text).or_else(|| float(&text)).or_else(|| signed_binary(&text))
}

/// `0b+1`: go-yaml tries binary once more by itself, with a sign behind the prefix.
fn signed_binary(text: &str) -> Option<Resolved> {
    i64::from_str_radix(text.strip_prefix("0b")?, 2).ok().map(Resolved::Integer)
}

/// Writes a float as Go writes it as a key: `%g` of the nearest 32-bit float.
pub(super) fn float_key(value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "sigs.k8s.io/yaml does so")]
    let value = value as f32;
    if !value.is_finite() {
        return match value {
            f32::INFINITY => ".inf",
            f32::NEG_INFINITY => "-.inf",
            _ => ".nan",
        }
        .to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// Writes a float as Go writes it: `%g`, the shortest form that reads back the same.
pub(super) fn float_text(value: f64) -> String {
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// Writes a number as Go writes it in JSON: without an exponent from a
/// millionth to below 10^21.
pub fn json_text(number: &Number) -> String {
    let Some(value) = number.as_f64().filter(|_| number.is_f64()) else {
        return number.to_string();
    };
    if value == 0.0 || (1e-6..1e21).contains(&value.abs()) {
        return format!("{value}");
    }
    let scientific = format!("{value:e}");
    if scientific.contains("e-") { scientific } else { scientific.replace('e', "e+") }
}

fn without_underscores(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('_') { text.replace('_', "").into() } else { text.into() }
}

fn underscores_separate_digits(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_digit = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_digit);
    bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'_')
        .all(|(index, _)| index > 0 && is_digit(index - 1) && is_digit(index + 1))
}

fn integer(text: &str) -> Option<Resolved> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', _, ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', _, ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // `from_str_radix` takes a sign, which must not stand behind a prefix.
    if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0_i64.checked_sub_unsigned(magnitude).map(Resolved::Integer);
    }
    Some(i64::try_from(magnitude).map_or(Resolved::Unsigned(magnitude), Resolved::Integer))
}

/// A decimal float. `1e400` is text, as there is no such number.
fn float(text: &str) -> Option<Resolved> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_is_fine = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    if whole.len() + fraction.len() == 0
        || !all_digits(whole)
        || !all_digits(fraction)
        || !exponent_is_fine
    {
        return None;
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite()).map(Resolved::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_json_are_written_as_go_writes_them() {
        let text = |value: f64| json_text(&Number::from_f64(value).unwrap());
        assert_eq!(
            [0.0, 0.1, 1e-6, 1.5e-7, -2e-9, 1e20, 1e21, 1.25e22].map(text),
            [
                "0",
                "0.1",
                "0.000001",
                "1.5e-7",
                "-2e-9",
                "100000000000000000000",
                "1e+21",
                "1.25e+22"
            ]
        );
        assert_eq!(json_text(&Number::from(u64::MAX)), "18446744073709551615");
    }
}
