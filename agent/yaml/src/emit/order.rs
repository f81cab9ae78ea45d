//! The order of keys.

use std::cmp::Ordering;

/// The order of go-yaml: digits as numbers, letters behind everything else. It
/// is not a total one, so only [`crate::sort::sorted`] may sort by it.
pub(super) fn compare_keys(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    for at in 0..a.len().min(b.len()) {
        let (x, y) = (a[at], b[at]);
        if x == y {
            continue;
        }
        match (x.is_alphabetic(), y.is_alphabetic()) {
            (true, true) => return x.cmp(&y),
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) => {}
        }
        // A zero in the middle of a number does not make it a smaller one.
        let mut begun = 0_i64;
        if x == '0' || y == '0' {
            let before = a[..at].iter().rev().take_while(|c| c.is_ascii_digit());
            begun = i64::from(before.into_iter().any(|c| *c != '0'));
        }
        let (x_number, x_end) = read_number(&a, at, begun);
        let (y_number, y_end) = read_number(&b, at, begun);
        return x_number.cmp(&y_number).then(x_end.cmp(&y_end)).then(x.cmp(&y));
    }
    a.len().cmp(&b.len())
}

fn read_number(text: &[char], from: usize, begun: i64) -> (i64, usize) {
    let mut number = begun;
    let mut at = from;
    while let Some(digit) = text.get(at).and_then(|c| c.to_digit(10)) {
        number = number.wrapping_mul(10).wrapping_add(i64::from(digit));
        at += 1;
    }
    (number, at)
}
