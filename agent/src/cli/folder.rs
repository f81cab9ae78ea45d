//! A folder as the renderer sees it, wherever it lies: files only, sorted,
//! bounded, and the other folders of the place for kustomizations to refer to.

use std::cell::Cell;

use camino::{Utf8Component, Utf8Path};
use leeward_core::render::{
    Around, Boundary, Decrypted, FileContent, FileError, Files, Found, path::join,
};
use leeward_kustomize::ReadError;

/// Bytes of one file. The limits of the renderer and of Kustomize are lower and say more.
pub(super) const MAX_FILE_SIZE: u64 = 64 << 20;

/// Where folders lie: this machine, or a revision of a repository.
pub(super) trait Place: leeward_kustomize::Files {
    /// Every file below a folder, as from the folder, sorted. Symbolic links are
    /// none: they are no files in Git, and may lead outside.
    fn list(&self, folder: &str) -> Result<Vec<String>, FileError>;
}

/// One folder of a place.
pub(super) struct Folder<'p> {
    place: &'p dyn Place,
    at: String,
    /// The place as a whole; none for itself.
    whole: Option<(Box<Self>, Boundary)>,
}

impl<'p> Folder<'p> {
    pub(super) fn new(place: &'p dyn Place, at: &str) -> Self {
        Self {
            place,
            at: at.to_owned(),
            whole: Some((Box::new(Self::whole(place)), Boundary::default())),
        }
    }

    /// All of a place.
    pub(super) fn whole(place: &'p dyn Place) -> Self {
        Self { place, at: String::new(), whole: None }
    }
}

impl Files for Folder<'_> {
    fn list(&self) -> Result<Vec<String>, FileError> {
        self.place.list(&self.at)
    }

    fn read(&self, path: &str) -> Result<FileContent, FileError> {
        let inside = |component| matches!(component, Utf8Component::Normal(_));
        if !Utf8Path::new(path).components().all(inside) {
            return Err(error(path, "it is not in the folder"));
        }
        let at = join(&self.at, path);
        match self.look(path)? {
            Found::File(real) if real == at => {
                let bytes = self.place.read(&at).map_err(|error| of_file(path, error))?;
                Ok(FileContent::from(bytes))
            }
            Found::File(_) => Err(error(path, "it is a symbolic link")),
            Found::Folder(_) => Err(error(path, "it is a folder")),
            Found::Nothing => Err(error(path, "no such file")),
        }
    }

    fn look(&self, path: &str) -> Result<Found, FileError> {
        self.place.look(&join(&self.at, path)).map_err(|error| of_file(path, error))
    }

    fn shown(&self, path: &str) -> String {
        self.place.shown(&join(&self.at, path))
    }

    fn around(&self) -> Option<Around<'_>> {
        let (whole, boundary) = self.whole.as_ref()?;
        Some(Around { at: &self.at, others: &**whole, boundary })
    }
}

/// A place as Kustomize looks at it, its encrypted files opened.
pub(super) struct Opened<'p> {
    place: &'p dyn Place,
    decrypted: Decrypted<'p>,
    revealed: Cell<bool>,
}

impl<'p> Opened<'p> {
    pub(super) fn new(place: &'p dyn Place, decrypted: Decrypted<'p>) -> Self {
        Self { place, decrypted, revealed: Cell::new(false) }
    }

    /// Whether a file that was read was decrypted to something that nobody may be shown.
    pub(super) fn revealed(&self) -> bool {
        self.revealed.get()
    }
}

impl leeward_kustomize::Files for Opened<'_> {
    fn look(&self, path: &str) -> Result<Found, ReadError> {
        self.place.look(path)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let content = self.decrypted.read(path).map_err(ReadError::from)?;
        self.revealed.set(self.revealed() || content.revealed);
        Ok(content.bytes)
    }

    fn shown(&self, path: &str) -> String {
        self.place.shown(path)
    }
}

/// Something that is wrong with a file; empty for the folder itself.
pub(super) fn error(path: &str, message: impl std::fmt::Display) -> FileError {
    FileError { path: path.to_owned(), message: message.to_string(), missing: false }
}

fn of_file(path: &str, error: ReadError) -> FileError {
    FileError { path: path.to_owned(), message: error.message, missing: error.missing }
}
