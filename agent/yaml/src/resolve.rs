//! The value of a scalar to a dialect: null, boolean, number or text.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    ECHO_MAX,
    dialect::{Dialect, Resolved},
    error::Problem,
    node::{Content, Node, Scalar, Style, Tag},
    number,
};

impl Scalar {
    /// Returns the value that the dialect reads.
    pub fn resolve(&self, dialect: Dialect) -> Result<Resolved, Problem> {
        let name = match self.tag {
            Tag::None if self.style == Style::Plain => return Ok(plain(&self.text, dialect)),
            Tag::None | Tag::Text | Tag::Str => return Ok(Resolved::Text),
            Tag::Binary => return self.decode(),
            Tag::Int => "!!int",
            Tag::Float => "!!float",
            Tag::Bool => "!!bool",
            Tag::Null => "!!null",
            Tag::Timestamp => "!!timestamp",
            Tag::Merge => "!!merge",
            Tag::Seq => "!!seq",
            Tag::Map => "!!map",
        };
        // An explicit tag overrides the quotes: `!!int "5"` is 5.
        match (self.tag, plain(&self.text, dialect)) {
            (Tag::Int, found @ (Resolved::Integer(_) | Resolved::Unsigned(_)))
            | (Tag::Float, found @ Resolved::Float(_))
            | (Tag::Bool, found @ Resolved::Bool(_))
            | (Tag::Null, found @ Resolved::Null)
            | (Tag::Timestamp, found @ Resolved::Text) => Ok(found),
            #[expect(clippy::cast_precision_loss, reason = "a float is what the tag asks for")]
            (Tag::Float, Resolved::Integer(value)) => Ok(Resolved::Float(value as f64)),
            _ => Err(Problem::WrongTag(name)),
        }
    }

    /// The key that this scalar is in a mapping: JSON has text only.
    pub(super) fn key(&self, dialect: Dialect) -> Result<String, Problem> {
        let resolved = self.resolve(dialect)?;
        Ok(match (resolved, dialect) {
            (Resolved::Null, _) => return Err(Problem::NullKey),
            (Resolved::Decoded(text), _) => text,
            (Resolved::Text, _) => self.text.clone(),
            // Upstream has no JSON for an object with such a key.
            (_, Dialect::Kustomize) => return Err(Problem::KeyNotText(self.echo())),
            (Resolved::Bool(value), _) => value.to_string(),
            (Resolved::Integer(value), _) => value.to_string(),
            (Resolved::Unsigned(value), _) => value.to_string(),
            (Resolved::Float(value), _) => number::float_key(value),
        })
    }

    /// Returns whether this scalar, as a key, merges the mapping that follows it.
    pub(super) fn is_merge(&self) -> bool {
        self.text == "<<"
            && match self.tag {
                Tag::Merge => true,
                Tag::None => self.style == Style::Plain,
                _ => false,
            }
    }

    fn decode(&self) -> Result<Resolved, Problem> {
        let encoded: String = self.text.split_ascii_whitespace().collect();
        let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        decoded.map(Resolved::Decoded).ok_or(Problem::WrongTag("!!binary that holds a text"))
    }

    /// Returns as much of the text as a message repeats.
    pub(super) fn echo(&self) -> String {
        self.text.chars().take(ECHO_MAX).collect()
    }
}

impl Node {
    /// The text of a scalar that the dialect reads as text.
    pub fn text(&self, dialect: Dialect) -> Option<&str> {
        match &self.content {
            Content::Scalar(scalar) if scalar.resolve(dialect) == Ok(Resolved::Text) => {
                Some(&scalar.text)
            }
            _ => None,
        }
    }

    /// Returns whether the dialect reads it as null: an empty document or value, `~`.
    pub fn is_null(&self, dialect: Dialect) -> bool {
        matches!(&self.content, Content::Scalar(scalar) if scalar.resolve(dialect) == Ok(Resolved::Null))
    }

    /// Names the type for messages about values that may be secret: `a number`.
    pub fn describe_type(&self, dialect: Dialect) -> &'static str {
        let scalar = match &self.content {
            Content::Sequence(_) => return "a list",
            Content::Mapping(_) => return "a mapping",
            Content::Scalar(scalar) => scalar,
        };
        match scalar.resolve(dialect) {
            Ok(Resolved::Null) => "nothing",
            Ok(Resolved::Bool(_)) => "a boolean",
            Ok(Resolved::Integer(_) | Resolved::Unsigned(_) | Resolved::Float(_)) => "a number",
            Ok(Resolved::Text | Resolved::Decoded(_)) => "a string",
            Err(_) => "a value that does not fit its tag",
        }
    }

    /// Names the value for messages: `the number 5`, `a list`, `nothing`.
    pub fn describe(&self, dialect: Dialect) -> String {
        let Content::Scalar(scalar) = &self.content else {
            return self.describe_type(dialect).to_owned();
        };
        match self.describe_type(dialect) {
            "a string" => format!("{:?}", scalar.echo()),
            "a number" => format!("the number {}", scalar.echo()),
            "a boolean" => format!("the boolean {}", scalar.echo()),
            other => other.to_owned(),
        }
    }
}

/// Reads a scalar that has neither quotes nor a tag.
fn plain(text: &str, dialect: Dialect) -> Resolved {
    let Some(first) = text.bytes().next() else { return Resolved::Null };
    match first {
        b'0'..=b'9' => number::read(text).unwrap_or(Resolved::Text),
        b'+' | b'-' | b'.' => match text {
            ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
                Resolved::Float(f64::INFINITY)
            }
            "-.inf" | "-.Inf" | "-.INF" => Resolved::Float(f64::NEG_INFINITY),
            ".nan" | ".NaN" | ".NAN" => Resolved::Float(f64::NAN),
            _ => number::read(text).unwrap_or(Resolved::Text),
        },
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => {
            word(text, dialect)
        }
        _ => Resolved::Text,
    }
}

/// Returns whether a plain scalar is text to readers of YAML 1.1.
pub(super) fn is_plain_text(text: &str) -> bool {
    plain(text, Dialect::Kubernetes) == Resolved::Text
}

fn word(text: &str, dialect: Dialect) -> Resolved {
    match text {
        "~" | "null" | "Null" | "NULL" => return Resolved::Null,
        "true" | "True" | "TRUE" => return Resolved::Bool(true),
        "false" | "False" | "FALSE" => return Resolved::Bool(false),
        _ => {}
    }
    match (dialect, text) {
        (Dialect::Kubernetes, "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON") => {
            Resolved::Bool(true)
        }
        (Dialect::Kubernetes, "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF") => {
            Resolved::Bool(false)
        }
        _ => Resolved::Text,
    }
}
