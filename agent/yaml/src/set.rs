//! Setting values as upstream's setters do: quotes and shared places are kept.

use crate::node::{Node, Scalar, Style, Tag};

impl Node {
    /// Puts a value under a key as upstream's setter does: a null takes the
    /// key away, and a scalar keeps the quotes of the one that it replaces.
    pub fn set_field(&mut self, key: &str, mut value: Node) {
        if value.is_nothing() {
            self.remove(key);
            return;
        }
        value.quote_ambiguous();
        if let Some(old) = self.get(key).and_then(Node::as_scalar) {
            keep_style(old, &mut value);
            if let Some(scalar) = value.as_scalar_mut() {
                scalar.shared = old.shared.written();
            }
        }
        self.put(key, value);
    }

    /// Replaces a scalar, keeping its quotes.
    pub fn set_scalar(&mut self, mut value: Node) {
        if value.is_nothing() {
            return;
        }
        if let Some(old) = self.as_scalar() {
            keep_style(old, &mut value);
        }
        value.mark = self.mark;
        *self = value;
    }

    /// Puts quotes around a text that would be read as something else without them.
    pub fn quote_ambiguous(&mut self) {
        if let Some(scalar) = self.as_scalar_mut()
            && scalar.is_text()
            && scalar.style == Style::Plain
            && (scalar.tag == Tag::Str || !scalar.stays_text())
        {
            scalar.style = Style::Quoted;
        }
    }
}

/// Gives `value` the quotes of the scalar that it replaces. Within quotes it is a text.
fn keep_style(old: &Scalar, value: &mut Node) {
    let Some(scalar) = value.as_scalar_mut() else { return };
    scalar.style = old.style;
    if old.style != Style::Plain {
        scalar.tag = Tag::Str;
    }
}
