//! Git without a repository: packs, deltas, trees, and what is still missing.
//!
//! Bytes in, objects out; facts in, the next request out. The `source` room
//! feeds it from the link and keeps what comes out. Nothing here reads a
//! socket, a file or a clock. Sources: gitformat-pack(5), gitprotocol-v2(5).

mod authorship;
mod capabilities;
mod decide;
mod delta;
mod folder;
mod hash;
mod ladder;
#[cfg(test)]
pub(crate) mod memory;
mod missing;
mod pack;
mod pktline;
mod request;
mod response;
mod tree;

use std::fmt;

pub use authorship::{Authorship, authorship};
pub use capabilities::{Capabilities, CapabilitiesError, Filters, Remembered, parse_capabilities};
pub use decide::{
    Ask, Base, Effort, End, GiveUp, Lesson, Purpose, Situation, Stop, Surplus, is_enough, learn,
    next, without_filters,
};
pub use delta::{DeltaError, apply_delta, delta_sizes};
pub use folder::{
    DEPTH_MAX, ENTRIES_MAX, Listed, Walk, WalkError, Walked, parse_path, read_as, subtree,
    subtree_at, walk,
};
pub use hash::{Collision, git_id, hash_object};
pub use ladder::{Ladder, Rung};
pub use missing::{Missing, Need, PathFault};
pub use pack::{Decoded, PackDecoder, PackError, PackLimits};
pub use pktline::{MAX_LINE, Packet, PktLineError, encode_line, packets};
pub use request::{FetchRequest, Filter, ls_refs_request};
pub use response::{RefLine, ResponseDecoder, ResponseError, parse_refs};
pub use tree::{
    Commit, EMPTY_TREE, EntryMode, TreeEntry, TreeError, commit_of, committed_at, parse_tree,
    referred_to,
};

use crate::model::GitId;

/// The type of a Git object.
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

    /// Returns whether the object is there, without reading it.
    fn contains(&self, id: GitId) -> Result<bool, Self::Error>;

    /// Keeps objects, durably when it returns. Grouping is the caller's business.
    fn write(&self, objects: &[Object]) -> Result<(), Self::Error>;
}

/// Whoever shares a store can fetch into it.
impl<T: Objects> Objects for &T {
    type Error = T::Error;

    fn read(&self, id: GitId) -> Result<Option<(ObjectType, Vec<u8>)>, Self::Error> {
        (*self).read(id)
    }

    fn contains(&self, id: GitId) -> Result<bool, Self::Error> {
        (*self).contains(id)
    }

    fn write(&self, objects: &[Object]) -> Result<(), Self::Error> {
        (*self).write(objects)
    }
}

impl<T: Objects> Objects for std::sync::Arc<T> {
    type Error = T::Error;

    fn read(&self, id: GitId) -> Result<Option<(ObjectType, Vec<u8>)>, Self::Error> {
        T::read(self, id)
    }

    fn contains(&self, id: GitId) -> Result<bool, Self::Error> {
        T::contains(self, id)
    }

    fn write(&self, objects: &[Object]) -> Result<(), Self::Error> {
        T::write(self, objects)
    }
}
