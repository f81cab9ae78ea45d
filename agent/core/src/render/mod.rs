//! Files in, manifests out; pure, and within budgets.
//!
//! [`apps`] reads `leeward.yaml`, [`folder`] renders the folder of one app, plain
//! or with kustomizations, [`substitute`] puts variables into it, [`Decrypted`]
//! opens its encrypted files. All
//! read through [`Files`], name every fault with its place, and refuse rather
//! than guess: what is rendered here is what will exist.

mod apps;
mod boundary;
mod faults;
mod ignore;
mod kustomization;
mod object;
mod outside;
pub mod path;
mod plain;
mod sealed;
pub mod substitute;
mod tree;

use std::collections::BTreeMap;

pub use apps::{APPS_FILE, AppDefaults, app_name, apps};
pub use boundary::Boundary;
pub use leeward_kustomize::Found;
pub use outside::{Outside, outside};
pub use plain::{IGNORE_FILE, Limits, folder, folder_with_secrets};
pub use sealed::Decrypted;
pub use tree::{TreeFiles, subtree};

/// The tree that manifests are read into is the kustomizer's, so that both read alike.
pub use leeward_kustomize::yaml;
/// The age keys that encrypted files are opened with.
pub use leeward_sops::{Identities, IdentityError};

use crate::model::{Manifest, ObjectFault};

/// A folder that can be listed and read: a tree in the store, or a checkout.
pub trait Files {
    /// Every file below the folder, as `a/b.yaml`, sorted. Bounded by the implementation.
    fn list(&self) -> Result<Vec<String>, FileError>;

    /// The content of one of them.
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError>;

    /// What is at a path: a file, a folder with files below it, or nothing.
    fn look(&self, path: &str) -> Result<Found, FileError> {
        Ok(kustomization::look(&self.list()?, path, path))
    }

    /// What a path is called in messages and origins, when people see the
    /// folder as part of a larger one.
    fn shown(&self, path: &str) -> String {
        path.to_owned()
    }

    /// Whether the file was decrypted to something that nobody may be shown; of
    /// the empty path, whether any was.
    fn reveals(&self, _path: &str) -> bool {
        false
    }

    /// What else of the repository kustomizations may refer to, if anything.
    fn around(&self) -> Option<Around<'_>> {
        None
    }
}

/// A folder's place among other folders of its repository.
#[derive(Clone, Copy)]
pub struct Around<'f> {
    /// The folder itself, from the root of the repository.
    pub at: &'f str,
    /// Files of the others, from the root of the repository.
    pub others: &'f dyn Files,
    /// How far they may reach.
    pub boundary: &'f Boundary,
}

impl std::fmt::Debug for Around<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Around").field("at", &self.at).finish_non_exhaustive()
    }
}

/// A folder in memory: content by path.
impl Files for BTreeMap<String, Vec<u8>> {
    fn list(&self) -> Result<Vec<String>, FileError> {
        Ok(self.keys().cloned().collect())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        self.get(path).cloned().ok_or_else(|| FileError {
            path: path.to_owned(),
            message: "no such file".to_owned(),
            missing: false,
        })
    }
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
#[error("{}", faults::summary(faults))]
pub struct RenderError {
    /// Never empty.
    pub faults: Vec<ObjectFault>,
    /// A file is not in the store: a fetch may bring it, nobody has to change anything.
    pub missing: bool,
}

/// What a folder declares, in file order; keys are unique.
pub type Rendered = Vec<Manifest>;
