//! JSON as YAML, to the byte as `kustomize build` prints it.
//!
//! Upstream hands JSON to go-yaml 2, which is libyaml in Go: keys in an order
//! of its own, scalars plain when they stay texts that way, long lines folded
//! at spaces behind column 80. What is here follows its rules, not its code.

mod order;
mod style;

use serde_json::{Map, Number, Value};

pub(crate) use self::style::Scan;
use self::{
    order::compare_keys,
    style::{Style, escape, is_break, is_printable, style},
};
use crate::{number, sort::sorted};

/// Behind this column a line is folded at the next single space.
const FOLD_COLUMN: usize = 80;

/// A key with more bytes than this is written with `? ` in front.
const SIMPLE_KEY_MAX: usize = 128;

/// Returns whether a key needs no `? ` in front. A longer one would not be read as a key.
pub(crate) fn is_simple_key(text: &str) -> bool {
    text.len() <= SIMPLE_KEY_MAX && !text.contains(is_break)
}

/// A key that merges the mapping that follows it, unless the key is quoted.
pub(crate) const MERGE_KEY: &str = "<<";

/// One document, without `---`, with a line break at the end.
///
/// It can be a hundred times as long as its texts: each line of a text is
/// indented as deep as the text lies. Of what strangers wrote, use
/// [`document_within`].
pub fn document(value: &Value) -> String {
    document_within(value, usize::MAX).unwrap_or_default()
}

/// Like [`document`], but `None` when the text would have more than `bytes_max` bytes.
pub fn document_within(value: &Value, bytes_max: usize) -> Option<String> {
    let mut emitter = Emitter::new(FOLD_COLUMN, bytes_max);
    emitter.value(value, 0, Place::Root);
    emitter.finish()
}

/// Documents with `---` between them.
pub fn stream<'v>(values: impl IntoIterator<Item = &'v Value>) -> String {
    stream_within(values, usize::MAX).unwrap_or_default()
}

/// Like [`stream`], but `None` when the text would have more than `bytes_max` bytes.
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

pub(crate) struct Emitter {
    text: String,
    bytes_max: usize,
    /// Text was left out, because it would have exceeded `bytes_max`.
    is_full: bool,
    /// In characters.
    pub(crate) column: usize,
    /// Behind this column a line is folded at the next single space.
    fold_column: usize,
}

impl Emitter {
    pub(crate) fn new(fold_column: usize, bytes_max: usize) -> Self {
        Self { text: String::new(), bytes_max, is_full: false, column: 0, fold_column }
    }

    /// Returns the text, with a line break at its end; `None` when it would exceed `bytes_max`.
    pub(crate) fn finish(mut self) -> Option<String> {
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

    pub(crate) fn plain(&mut self, text: &str, indent: usize, may_fold: bool) {
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

    pub(crate) fn single(&mut self, text: &str, indent: usize, may_fold: bool) {
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

    pub(crate) fn double(&mut self, text: &str, indent: usize, may_fold: bool) {
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

    pub(crate) fn literal(&mut self, text: &str, indent: usize) {
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

    pub(crate) fn push(&mut self, c: char) {
        self.put(c.encode_utf8(&mut [0; 4]));
        self.column += 1;
    }

    pub(crate) fn raw(&mut self, text: &str) {
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

    pub(crate) fn line_break(&mut self) {
        self.break_with('\n');
    }

    fn break_with(&mut self, c: char) {
        self.push(c);
        self.column = 0;
    }

    /// A line of its own, unless one has just begun (behind a literal).
    pub(crate) fn new_line(&mut self, indent: usize) {
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

/// A number as Go writes it (`%g`), which is how it comes out of JSON.
fn number(number: &Number) -> String {
    if number.is_i64() || number.is_u64() {
        return number.to_string();
    }
    number.as_f64().map_or_else(|| number.to_string(), number::float_text)
}

#[cfg(test)]
mod tests;
