//! The tree: values with the places where they were written.

use std::fmt;

use crate::shared::Shared;

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
}

impl Scalar {
    pub fn new(text: impl Into<String>, style: Style, tag: Tag) -> Self {
        Self { text: text.into(), style, tag, shared: Shared::default() }
    }
}
