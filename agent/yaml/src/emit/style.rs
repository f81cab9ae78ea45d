//! The quotes that a text needs.

use super::MERGE_KEY;
use crate::{resolve, timestamp};

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

pub(super) fn style(text: &str, is_key: bool) -> Style {
    let scan = Scan::of(text);
    let wanted = if text.contains('\n') {
        Style::Literal
    } else if stays_text(text) && !(is_key && text == MERGE_KEY) {
        Style::Plain
    } else {
        Style::Double
    };
    match wanted {
        Style::Literal if is_key || !scan.literal => Style::Double,
        Style::Plain if !scan.plain && scan.single => Style::Single,
        Style::Plain if !scan.plain => Style::Double,
        Style::Plain if text.is_empty() && is_key => Style::Single,
        fits => fits,
    }
}

/// Returns whether a reader of YAML 1.1 takes an unquoted scalar for this text.
fn stays_text(text: &str) -> bool {
    resolve::is_plain_text(text) && !timestamp::is_timestamp(text) && !is_sexagesimal(text)
}

/// `12:30`, `1:2:3.5`: numbers to older readers.
fn is_sexagesimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut parts = unsigned.split(':');
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let first_fits = parts
        .next()
        .is_some_and(|part| part.starts_with(|c: char| c.is_ascii_digit()) && digits(part));
    if !first_fits {
        return false;
    }
    let mut rest: Vec<&str> = parts.collect();
    let Some(last) = rest.pop() else { return false };
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    let is_sixtieth = |part: &str| match part.as_bytes() {
        [digit] => digit.is_ascii_digit(),
        [tens, digit] => (b'0'..=b'5').contains(tens) && digit.is_ascii_digit(),
        _ => false,
    };
    rest.into_iter().all(is_sixtieth) && is_sixtieth(last) && digits(fraction)
}

/// Which styles can hold a text.
pub(crate) struct Scan {
    pub(crate) plain: bool,
    pub(crate) single: bool,
    pub(crate) literal: bool,
}

impl Scan {
    pub(crate) fn of(text: &str) -> Self {
        if text.is_empty() {
            return Self { plain: true, single: true, literal: false };
        }
        let mut scan = Self { plain: true, single: true, literal: true };
        if text.starts_with("---") || text.starts_with("...") {
            scan.plain = false;
        }
        let mut previous = None;
        let mut characters = text.chars().peekable();
        while let Some(c) = characters.next() {
            let next = characters.peek().copied();
            let before_blank = next.is_none_or(|next| next == ' ' || next == '\t');
            let indicates = match (previous, c) {
                (None, c) if "#,[]{}&*!|>'\"%@`".contains(c) => true,
                (None, '?' | '-') | (_, ':') => before_blank,
                (Some(previous), '#') => is_blank_or_break(previous),
                _ => false,
            };
            if indicates {
                scan.plain = false;
            }
            if !is_printable(c) {
                (scan.plain, scan.single, scan.literal) = (false, false, false);
            }
            if c == ' ' {
                if previous.is_none() || next.is_none() {
                    scan.plain = false;
                }
                if next.is_none() {
                    scan.literal = false;
                }
                if previous.is_some_and(is_break) {
                    (scan.plain, scan.single) = (false, false);
                }
            } else if is_break(c) {
                scan.plain = false;
                if previous == Some(' ') {
                    (scan.single, scan.literal) = (false, false);
                }
            }
            previous = Some(c);
        }
        scan
    }
}

pub(super) fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_blank_or_break(c: char) -> bool {
    c == ' ' || c == '\t' || is_break(c)
}

/// Returns whether go-yaml prints a character as it is: never one beyond the basic plane.
///
/// The separators U+2028 and U+2029 are the exception. go-yaml prints them; here they are
/// escaped. YAML 1.1 breaks a line at them; YAML 1.2 does not, and so would take the
/// indentation behind them for content.
pub(super) fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        && !matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}')
}

pub(super) fn escape(c: char) -> String {
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        c => {
            return match u32::from(c) {
                code @ 0..=0xff => format!("\\x{code:02X}"),
                code @ 0x100..=0xffff => format!("\\u{code:04X}"),
                code => format!("\\U{code:08X}"),
            };
        }
    };
    format!("\\{short}")
}
