//! JSON as YAML, to the byte as `kustomize build` prints it.
//!
//! Upstream hands JSON to go-yaml 2, which is libyaml in Go: keys in an order
//! of its own, scalars plain when they stay texts that way, long lines folded
//! at spaces behind column 80. What is here follows its rules, not its code.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::{number, resolve, timestamp};
use crate::sort::sorted;

/// Behind this column a line is folded at the next single space.
const FOLD_COLUMN: usize = 80;

/// A key with more bytes than this is written with `? ` in front.
const SIMPLE_KEY_MAX: usize = 128;

/// Whether a key needs no `? ` in front. A longer one would not be read as a key.
pub(super) fn is_simple_key(text: &str) -> bool {
    text.len() <= SIMPLE_KEY_MAX && !text.contains(is_break)
}

/// Merges what follows it, unless it is quoted.
pub(super) const MERGE_KEY: &str = "<<";

/// One document, without `---`, with a line break at the end.
///
/// It can be a hundred times as long as its texts: each line of a text is
/// indented as deep as the text lies. Of what strangers wrote, use
/// [`document_within`].
pub fn document(value: &Value) -> String {
    document_within(value, usize::MAX).unwrap_or_default()
}

/// The same; `None` when it has more bytes.
pub fn document_within(value: &Value, bytes_max: usize) -> Option<String> {
    let mut emitter = Emitter::new(FOLD_COLUMN, bytes_max);
    emitter.value(value, 0, Place::Root);
    emitter.finish()
}

/// Documents with `---` between them.
pub fn stream<'v>(values: impl IntoIterator<Item = &'v Value>) -> String {
    stream_within(values, usize::MAX).unwrap_or_default()
}

/// The same; `None` when they have more bytes.
pub fn stream_within<'v>(
    values: impl IntoIterator<Item = &'v Value>,
    bytes_max: usize,
) -> Option<String> {
    let mut text = String::new();
    for value in values {
        if !text.is_empty() {
            text.push_str("---\n");
        }
        text.push_str(&document_within(value, bytes_max.checked_sub(text.len())?)?);
    }
    Some(text)
}

/// Where a value stands: it decides what precedes it and how far it is indented.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    /// Behind `key:`.
    Value,
    /// Behind `- `, or `: ` of a long key.
    Item,
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

pub(super) struct Emitter {
    text: String,
    bytes_max: usize,
    /// More would have been written.
    is_full: bool,
    /// In characters.
    pub(super) column: usize,
    /// Behind this column a line is folded at the next single space.
    fold_column: usize,
}

impl Emitter {
    pub(super) fn new(fold_column: usize, bytes_max: usize) -> Self {
        Self { text: String::new(), bytes_max, is_full: false, column: 0, fold_column }
    }

    /// What was written, with a line break at its end; `None` when it is too much.
    pub(super) fn finish(mut self) -> Option<String> {
        if self.column > 0 {
            self.line_break();
        }
        (!self.is_full).then_some(self.text)
    }

    /// `indent` is that of the mapping or sequence around the value.
    fn value(&mut self, value: &Value, indent: usize, place: Place) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                let inner = if place == Place::Root { indent } else { indent + 2 };
                self.mapping(map, inner, place);
            }
            Value::Array(items) if !items.is_empty() => {
                let inner = if place == Place::Item { indent + 2 } else { indent };
                self.sequence(items, inner, place);
            }
            scalar => {
                if place == Place::Value {
                    self.push(' ');
                }
                self.leaf(scalar, indent + 2, false);
            }
        }
    }

    fn mapping(&mut self, map: &Map<String, Value>, indent: usize, place: Place) {
        let entries: Vec<(&String, &Value)> = map.iter().collect();
        let entries = sorted(entries, &|a, b| compare_keys(a.0, b.0));
        for (index, (key, value)) in entries.into_iter().enumerate() {
            if index > 0 || place == Place::Value {
                self.new_line(indent);
            }
            if is_simple_key(key) {
                self.leaf(&Value::String(key.clone()), indent + 2, true);
                self.push(':');
                self.value(value, indent, Place::Value);
            } else {
                self.raw("? ");
                self.leaf(&Value::String(key.clone()), indent + 2, false);
                self.new_line(indent);
                self.raw(": ");
                self.value(value, indent, Place::Item);
            }
        }
    }

    fn sequence(&mut self, items: &[Value], indent: usize, place: Place) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 || place == Place::Value {
                self.new_line(indent);
            }
            self.raw("- ");
            self.value(item, indent, Place::Item);
        }
    }

    /// A value without children; `indent` is that of its further lines.
    fn leaf(&mut self, value: &Value, indent: usize, is_key: bool) {
        match value {
            Value::Null => self.raw("null"),
            Value::Bool(true) => self.raw("true"),
            Value::Bool(false) => self.raw("false"),
            Value::Number(number) => self.raw(&self::number(number)),
            Value::Object(_) => self.raw("{}"),
            Value::Array(_) => self.raw("[]"),
            Value::String(text) => match style(text, is_key) {
                Style::Plain => self.plain(text, indent, !is_key),
                Style::Single => self.single(text, indent, !is_key),
                Style::Double => self.double(text, indent, !is_key),
                Style::Literal => self.literal(text, indent),
            },
        }
    }

    pub(super) fn plain(&mut self, text: &str, indent: usize, may_fold: bool) {
        let mut characters = text.chars().peekable();
        let mut spaces = false;
        while let Some(c) = characters.next() {
            if c == ' ' {
                let next_is_space = characters.peek() == Some(&' ');
                if may_fold && !spaces && self.column > self.fold_column && !next_is_space {
                    self.new_line(indent);
                } else {
                    self.push(c);
                }
                spaces = true;
            } else {
                self.push(c);
                spaces = false;
            }
        }
    }

    pub(super) fn single(&mut self, text: &str, indent: usize, may_fold: bool) {
        self.push('\'');
        let (mut spaces, mut breaks) = (false, false);
        let mut characters = text.char_indices().peekable();
        while let Some((at, c)) = characters.next() {
            if c == ' ' {
                let next_is_space = characters.peek().is_some_and(|(_, next)| *next == ' ');
                let inside = at > 0 && at + 1 < text.len();
                if may_fold && !spaces && self.column > self.fold_column && inside && !next_is_space
                {
                    self.new_line(indent);
                } else {
                    self.push(c);
                }
                spaces = true;
            } else if is_break(c) {
                if !breaks && c == '\n' {
                    self.line_break();
                }
                self.break_with(c);
                breaks = true;
            } else {
                if breaks {
                    self.pad(indent);
                }
                if c == '\'' {
                    self.push('\'');
                }
                self.push(c);
                (spaces, breaks) = (false, false);
            }
        }
        self.push('\'');
    }

    pub(super) fn double(&mut self, text: &str, indent: usize, may_fold: bool) {
        self.push('"');
        let mut spaces = false;
        let mut characters = text.char_indices().peekable();
        while let Some((at, c)) = characters.next() {
            if c == ' ' {
                let inside = at > 0 && at + 1 < text.len();
                if may_fold && !spaces && self.column > self.fold_column && inside {
                    self.new_line(indent);
                    if characters.peek().is_some_and(|(_, next)| *next == ' ') {
                        self.push('\\');
                    }
                } else {
                    self.push(c);
                }
                spaces = true;
            } else {
                if !is_printable(c) || is_break(c) || c == '"' || c == '\\' {
                    self.raw(&escape(c));
                } else {
                    self.push(c);
                }
                spaces = false;
            }
        }
        self.push('"');
    }

    pub(super) fn literal(&mut self, text: &str, indent: usize) {
        self.push('|');
        if text.starts_with([' ', '\n', '\u{85}', '\u{2028}', '\u{2029}', '\r']) {
            self.push('2');
        }
        match text.strip_suffix(is_break) {
            None => self.push('-'),
            Some("") => self.push('+'),
            Some(rest) if rest.ends_with(is_break) => self.push('+'),
            Some(_) => {}
        }
        self.line_break();
        let mut breaks = true;
        for c in text.chars() {
            if is_break(c) {
                self.break_with(c);
                breaks = true;
            } else {
                if breaks {
                    self.pad(indent);
                }
                self.push(c);
                breaks = false;
            }
        }
    }

    pub(super) fn push(&mut self, c: char) {
        self.put(c.encode_utf8(&mut [0; 4]));
        self.column += 1;
    }

    pub(super) fn raw(&mut self, text: &str) {
        self.put(text);
        self.column += text.chars().count();
    }

    fn put(&mut self, text: &str) {
        if self.is_full || text.len() > self.bytes_max - self.text.len() {
            self.is_full = true;
        } else {
            self.text.push_str(text);
        }
    }

    pub(super) fn line_break(&mut self) {
        self.break_with('\n');
    }

    fn break_with(&mut self, c: char) {
        self.push(c);
        self.column = 0;
    }

    /// A line of its own, unless one has just begun (behind a literal).
    pub(super) fn new_line(&mut self, indent: usize) {
        if self.column > 0 {
            self.line_break();
        }
        self.pad(indent);
    }

    fn pad(&mut self, indent: usize) {
        while self.column < indent && !self.is_full {
            self.push(' ');
        }
    }
}

/// The order of go-yaml: digits as numbers, letters behind everything else. It
/// is not a total one, so only [`sorted`] may sort by it.
fn compare_keys(a: &str, b: &str) -> Ordering {
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

/// A number as Go writes it (`%g`), which is how it comes out of JSON.
fn number(number: &Number) -> String {
    if number.is_i64() || number.is_u64() {
        return number.to_string();
    }
    number.as_f64().map_or_else(|| number.to_string(), number::float_text)
}

fn style(text: &str, is_key: bool) -> Style {
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

/// Whether a reader of YAML 1.1 takes it for this text when it is not quoted.
fn stays_text(text: &str) -> bool {
    resolve::is_plain_text(text) && !timestamp::is_timestamp(text) && !is_sexagesimal(text)
}

/// `12:30`, `1:2:3.5`: numbers to older readers.
pub(super) fn is_sexagesimal(text: &str) -> bool {
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
pub(super) struct Scan {
    pub(super) plain: bool,
    pub(super) single: bool,
    pub(super) literal: bool,
}

impl Scan {
    pub(super) fn of(text: &str) -> Self {
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

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_blank_or_break(c: char) -> bool {
    c == ' ' || c == '\t' || is_break(c)
}

/// What go-yaml takes for printable: nothing beyond the basic plane.
///
/// But for the separators, which it writes as they are: YAML 1.1 breaks a line
/// at them, YAML 1.2 does not, and takes the indentation behind for content.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        && !matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}')
}

fn escape(c: char) -> String {
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

#[cfg(test)]
mod tests;
