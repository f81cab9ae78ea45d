//! Git without a repository: packs, deltas, trees, and what is still missing.
//!
//! Bytes in, objects out. Sources: gitformat-pack(5), gitprotocol-v2(5).

use std::fmt;

use crate::model::GitId;

/// What a Git object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectType {
    Commit,
    Tree,
    Blob,
    Tag,
}

impl fmt::Display for ObjectType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        })
    }
}

/// A Git object, its id computed from its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub id: GitId,
    pub kind: ObjectType,
    pub data: Vec<u8>,
}

/// Where objects are kept: the store, or a map in tests of this room.
///
/// `read` re-hashes: an object that rotted on disk is missing, not wrong.
pub trait Objects {
    type Error: std::error::Error + 'static;

    /// `None` when it is not there.
    fn read(&self, id: GitId) -> Result<Option<(ObjectType, Vec<u8>)>, Self::Error>;

    /// Whether it is there, without reading it.
    fn contains(&self, id: GitId) -> Result<bool, Self::Error>;

    /// Keeps objects, durably when it returns. Grouping is the caller's business.
    fn write(&self, objects: &[Object]) -> Result<(), Self::Error>;
}
