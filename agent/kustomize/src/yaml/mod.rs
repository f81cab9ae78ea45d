//! A YAML tree with positions, and how its scalars are read.
//!
//! No YAML crate that deserialises touches a manifest: each of them reads
//! `0644`, `yes` or merge keys in its own way. The events of `granit-parser`
//! become a tree here; keys are read, aliases expanded and merge keys merged
//! while it grows, so that what is left is plain JSON with positions.
//!
//! Input is not trusted: every text ends in a tree within [`Limits`] or in an
//! error with a position. JSON is read by the same way, being a subset.

mod build;
pub mod edit;
pub mod emit;
mod fold;
mod json;
pub(crate) mod number;
mod resolve;
pub mod restyle;
mod shared;
mod timestamp;
mod unique;

use std::fmt;

pub use build::{Documents, Duplicates};
pub use resolve::{Dialect, Resolved};
pub(crate) use shared::Shared;

/// What a file may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file. The largest bundles of CRDs in use have under 4 MB.
    pub bytes: usize,
    /// Levels of nesting. CRD schemas reach 40; beyond 100 the stack is at risk.
    pub depth: usize,
    /// Values of one file with aliases expanded (billion laughs). Dense manifests have one
    /// for 40 bytes, so 4 MB has half of it.
    pub nodes: usize,
    /// Bytes of scalars of one file with aliases expanded: many aliases of one long text.
    pub text: usize,
    /// Documents of one file; at the shortest that is of use (80 bytes), 5,000 have 400 KB.
    pub documents: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 4 << 20, depth: 100, nodes: 200_000, text: 16 << 20, documents: 5_000 }
    }
}

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

/// Why a text cannot be used, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{mark}: {problem}")]
pub struct YamlError {
    pub mark: Mark,
    pub problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("{0}")]
    Syntax(String),
    #[error("the file is not UTF-8")]
    NotUtf8,
    #[error("duplicate key {key:?} (first at {first})")]
    DuplicateKey { key: String, first: Mark },
    #[error("a key must be a scalar, found {0}")]
    KeyNotScalar(&'static str),
    #[error("a key must not be null")]
    NullKey,
    #[error("the key {0} is not a string: quote it")]
    KeyNotText(String),
    #[error("the tag {0} is not one of what stands behind it")]
    MisplacedTag(String),
    /// Does not repeat the value: it may be a secret.
    #[error("the value cannot be read as {0}")]
    WrongTag(&'static str),
    #[error("{0} cannot be written as JSON: quote it if it is a text")]
    NotFinite(String),
    #[error("the anchor contains itself")]
    RecursiveAnchor,
    #[error("the merge key `<<` needs a mapping or a list of mappings")]
    MergeNeedsMapping,
    #[error("nested more than {limit} deep")]
    TooDeep { limit: usize },
    #[error("more than {limit} values with aliases expanded")]
    TooManyNodes { limit: usize },
    #[error("more than {} of text with aliases expanded", Bytes(*.limit))]
    TooMuchText { limit: usize },
    #[error("more than {limit} documents in one file")]
    TooManyDocuments { limit: usize },
    #[error("the file has {bytes} bytes, at most {} are read", Bytes(*.limit))]
    TooLarge { bytes: usize, limit: usize },
}

/// A number of bytes as people read it.
struct Bytes(usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes @ 0..0x400 => write!(f, "{bytes} bytes"),
            bytes @ 0x400..0x10_0000 => write!(f, "{} KiB", bytes >> 10),
            bytes => write!(f, "{} MiB", bytes >> 20),
        }
    }
}

impl Problem {
    pub fn at(self, mark: Mark) -> YamlError {
        YamlError { mark, problem: self }
    }
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

/// How much of a wrong value is repeated in a message, in characters.
const ECHO_MAX: usize = 60;

#[cfg(test)]
mod tests;
