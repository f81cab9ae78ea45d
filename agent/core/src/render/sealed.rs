//! Files that SOPS encrypted, decrypted on their way into the renderer.
//!
//! Plaintext lives in memory only, from here to the API server: what is stored,
//! logged and reported are the encrypted files and their faults.

use std::cell::{Cell, OnceCell};

use leeward_sops::{Identities, Opened};
use leeward_yaml::{Dialect, Documents, Limits, Node};

use super::{Around, Boundary, FileContent, FileError, Files, Found};

/// A folder whose encrypted files read as what they were before.
pub struct Decrypted<'f> {
    files: &'f dyn Files,
    /// Asked once, and only when a file is encrypted.
    keys: &'f dyn Fn() -> Result<Identities, String>,
    identities: OnceCell<Result<Identities, String>>,
    needs_key: Cell<bool>,
    /// The folder's place in its repository, and what lies around it.
    around: Option<(&'f str, Box<Self>, &'f Boundary)>,
}

impl std::fmt::Debug for Decrypted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decrypted").field("needs_key", &self.needs_key).finish_non_exhaustive()
    }
}

impl<'f> Decrypted<'f> {
    /// `keys` gets the age keys, or says why there are none.
    pub fn new(files: &'f dyn Files, keys: &'f dyn Fn() -> Result<Identities, String>) -> Self {
        Self {
            files,
            keys,
            identities: OnceCell::new(),
            needs_key: Cell::new(false),
            around: files.around().map(|Around { at, others, boundary }| {
                (at, Box::new(Self::new(others, keys)), boundary)
            }),
        }
    }

    fn others(&self) -> Option<&Self> {
        self.around.as_ref().map(|(_, others, _)| &**others)
    }

    /// Returns whether a file could not be read for want of a key: the files may be fine.
    pub fn needs_key(&self) -> bool {
        self.needs_key.get() || self.others().is_some_and(Self::needs_key)
    }

    /// Opens a file; `None` when it is not encrypted.
    fn opened(&self, path: &str, content: &[u8]) -> Result<Option<FileContent>, FileError> {
        if !leeward_sops::is_encrypted(path, content) {
            return Ok(None);
        }
        let failed = |message: String| FileError { path: path.to_owned(), message, missing: false };
        let identities = match self.identities.get_or_init(|| (self.keys)()) {
            Ok(identities) => identities,
            Err(message) => {
                self.needs_key.set(true);
                return Err(failed(format!("it is encrypted with SOPS, and {message}")));
            }
        };
        match leeward_sops::open(path, content, identities) {
            Ok(Opened::Plain) => Ok(None),
            Ok(Opened::Decrypted(mut bytes)) => {
                // Secrets are shown to nobody anyway.
                let revealed = !holds_only_secrets(&bytes);
                Ok(Some(FileContent { bytes: std::mem::take(&mut *bytes), revealed }))
            }
            Err(error) => {
                self.needs_key.set(self.needs_key() || error.problem.needs_key());
                Err(failed(error.problem.to_string()))
            }
        }
    }
}

impl Files for Decrypted<'_> {
    fn list(&self) -> Result<Vec<String>, FileError> {
        self.files.list()
    }

    fn read(&self, path: &str) -> Result<FileContent, FileError> {
        let content = self.files.read(path)?;
        Ok(self.opened(path, &content.bytes)?.unwrap_or(content))
    }

    fn look(&self, path: &str) -> Result<Found, FileError> {
        self.files.look(path)
    }

    fn shown(&self, path: &str) -> String {
        self.files.shown(path)
    }

    fn around(&self) -> Option<Around<'_>> {
        let (at, others, boundary) = self.around.as_ref()?;
        Some(Around { at, others: &**others, boundary })
    }
}

fn holds_only_secrets(content: &[u8]) -> bool {
    let text = |node: &Node, field| {
        node.get(field).and_then(|value| value.text(Dialect::Kubernetes)).map(str::to_owned)
    };
    let is_secret = |document: Result<Node, _>| {
        document.is_ok_and(|node| {
            node.is_null(Dialect::Kubernetes)
                || (text(&node, "kind").as_deref() == Some("Secret")
                    && text(&node, "apiVersion").as_deref() == Some("v1"))
        })
    };
    Documents::new(content, Dialect::Kubernetes, Limits::default())
        .is_ok_and(|mut documents| documents.all(is_secret))
}

#[cfg(test)]
mod tests;
