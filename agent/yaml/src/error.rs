//! Why a text is refused, and where.

use std::fmt;

use crate::node::Mark;

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
