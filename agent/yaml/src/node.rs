//! The tree: values with the places where they were written.

use std::fmt;

use super::{Dialect, Resolved, Shared};

/// A position in a file, both counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    pub line: u32,
    /// In characters.
    pub column: u32,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A value and where it was written. What an alias stands for keeps the
/// positions of its definition below its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub mark: Mark,
    /// A collection that was written in braces or brackets.
    pub flow: bool,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    /// In the order of the file; keys are unique.
    Mapping(Vec<Entry>),
}

/// One key of a mapping, read as the dialect reads it: `yes` may be `true`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub mark: Mark,
    pub value: Node,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    /// Without quotes, escapes resolved.
    pub text: String,
    pub style: Style,
    pub tag: Tag,
    pub(crate) shared: Shared,
}

/// How a scalar was written: only plain ones can be anything but text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Single,
    /// Within double quotes.
    Quoted,
    Literal,
    Folded,
}

/// The tag before a node. Others than these are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// No tag: the style and the text decide.
    None,
    /// `!`: text, however it is written.
    Text,
    Str,
    Int,
    Float,
    Bool,
    Null,
    Binary,
    Timestamp,
    Merge,
    Seq,
    Map,
}

impl Node {
    /// A text that stands nowhere in a file, placed where it belongs.
    pub fn text_at(text: &str, mark: Mark) -> Self {
        let scalar = Scalar::new(text, Style::Quoted, Tag::None);
        Self { mark, flow: false, content: Content::Scalar(scalar) }
    }

    /// The value of a key; `None` also when this is not a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The entries of a mapping; none of anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Mapping(entries) => entries,
            Content::Scalar(_) | Content::Sequence(_) => &[],
        }
    }

    /// The text of a scalar that the dialect reads as text.
    pub fn text(&self, dialect: Dialect) -> Option<&str> {
        match &self.content {
            Content::Scalar(scalar) if scalar.resolve(dialect) == Ok(Resolved::Text) => {
                Some(&scalar.text)
            }
            _ => None,
        }
    }

    /// Whether the dialect reads it as null: an empty document or value, `~`.
    pub fn is_null(&self, dialect: Dialect) -> bool {
        matches!(&self.content, Content::Scalar(scalar) if scalar.resolve(dialect) == Ok(Resolved::Null))
    }

    /// What this is, for messages about values that may be secret: `a number`.
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

    /// What this is, for messages: `the number 5`, `a list`, `nothing`.
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
