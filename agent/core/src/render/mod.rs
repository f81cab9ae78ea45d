//! Files in, manifests out; pure, and within budgets.

use crate::model::{Manifest, ObjectFault};

/// A folder that can be listed and read: a tree in the store, or a checkout.
pub trait Files {
    /// Every file below the folder, as `a/b.yaml`, sorted. Bounded by the implementation.
    fn list(&self) -> Result<Vec<String>, FileError>;
    /// The content of one of them.
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError>;
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {path}: {message}")]
pub struct FileError {
    pub path: String,
    pub message: String,
    /// The file is not in the store and would have to come over the link.
    pub missing: bool,
}

/// All that is wrong with a folder, not just the first thing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} of the files cannot be used: {}", faults.len(), faults.first().map_or("", |f| f.message.as_str()))]
pub struct RenderError {
    pub faults: Vec<ObjectFault>,
}

/// What a folder declares, in file order; keys are unique.
pub type Rendered = Vec<Manifest>;
