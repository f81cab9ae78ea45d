//! A folder with a kustomization: what it builds to, from what has been fetched.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
};

use leeward_kustomize::{BuildError, Found, Object, Options, ReadError, build};
use leeward_yaml as yaml;

use super::{
    Around, FileError, Files,
    path::{below, join},
};

/// A kustomization that was built.
pub(super) struct Built {
    pub(super) objects: Vec<Object>,
    /// A file that it read was decrypted to something that nobody may be shown. A
    /// generator, patch or replacement may have carried that into any of the objects.
    pub(super) revealed: bool,
}

/// Builds the kustomization in `folder`. `paths` are all files below the root
/// of `files`, sorted; what a kustomization refers to must be one of them, or
/// lie around the folder.
pub(super) fn built(
    files: &dyn Files,
    paths: &[String],
    folder: &str,
) -> Result<Built, Box<BuildError>> {
    watched(files, paths, folder, &RefCell::default())
}

/// The paths that a build has looked for outside of the folder, from the root of the repository.
#[derive(Default)]
pub(super) struct Looks {
    pub(super) found: BTreeSet<String>,
    pub(super) missed: BTreeSet<String>,
    pub(super) refused: BTreeSet<String>,
}

/// Builds like [`built`], and notes in `looks` the paths outside that the build looks for.
pub(super) fn watched(
    files: &dyn Files,
    paths: &[String],
    folder: &str,
    looks: &RefCell<Looks>,
) -> Result<Built, Box<BuildError>> {
    let around = files.around();
    let fetched = Fetched { files, paths, around, looks, revealed: Cell::new(false) };
    let folder = around.map_or_else(|| folder.to_owned(), |around| join(around.at, folder));
    // The plan has an order of its own.
    let objects = build(&fetched, &folder, &Options::default())?.objects;
    Ok(Built { objects, revealed: fetched.revealed.get() })
}

/// The object as a tree again, for the checks that every manifest passes.
pub(super) fn node(object: &Object) -> yaml::Node {
    let mark = yaml::Mark { line: object.line, column: u32::from(object.line > 0) };
    yaml::Node::of_json(&object.value, mark)
}

/// The files that have been fetched, as Kustomize looks at them: from the root of the
/// repository where that is known, else from the folder.
struct Fetched<'f> {
    files: &'f dyn Files,
    paths: &'f [String],
    around: Option<Around<'f>>,
    looks: &'f RefCell<Looks>,
    revealed: Cell<bool>,
}

/// Where a path leads.
enum Side<'f> {
    /// Into the folder; the path is from there.
    Own(&'f str),
    Other(&'f dyn Files),
}

impl<'f> Fetched<'f> {
    fn side<'p>(&self, path: &'p str) -> Side<'p>
    where
        'f: 'p,
    {
        let Some(around) = self.around else { return Side::Own(path) };
        match below(path, around.at) {
            Some(own) => Side::Own(own),
            None => Side::Other(around.others),
        }
    }
}

impl leeward_kustomize::Files for Fetched<'_> {
    fn look(&self, path: &str) -> Result<Found, ReadError> {
        let others = match self.side(path) {
            Side::Own(own) => return Ok(look(self.paths, own, path)),
            Side::Other(others) => others,
        };
        if let Some(message) = self.around.and_then(|around| around.boundary.refusal(path)) {
            self.looks.borrow_mut().refused.insert(path.to_owned());
            return Err(ReadError { message, missing: false });
        }
        let found = others.look(path).map_err(ReadError::from)?;
        let mut looks = self.looks.borrow_mut();
        match found {
            Found::Nothing => looks.missed.insert(path.to_owned()),
            Found::File(_) | Found::Folder(_) => looks.found.insert(path.to_owned()),
        };
        Ok(found)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let read = match self.side(path) {
            Side::Own(own) => self.files.read(own),
            Side::Other(others) => others.read(path),
        };
        let content = read.map_err(ReadError::from)?;
        self.revealed.set(self.revealed.get() || content.revealed);
        Ok(content.bytes)
    }

    fn shown(&self, path: &str) -> String {
        let shown = match self.side(path) {
            Side::Own(own) => self.files.shown(own),
            Side::Other(others) => others.shown(path),
        };
        if shown.is_empty() { ".".to_owned() } else { shown }
    }
}

impl From<FileError> for ReadError {
    fn from(error: FileError) -> Self {
        Self { message: error.message, missing: error.missing }
    }
}

/// Looks up `at` among the sorted paths. The answer carries the name `path`.
pub(super) fn look(paths: &[String], at: &str, path: &str) -> Found {
    let place = paths.partition_point(|known| known.as_str() < at);
    if paths.get(place).is_some_and(|known| known == at) {
        return Found::File(path.to_owned());
    }
    let folder = format!("{at}/");
    let place = paths.partition_point(|known| known.as_str() < folder.as_str());
    let is_folder =
        at.is_empty() || paths.get(place).is_some_and(|known| known.starts_with(&folder));
    if is_folder { Found::Folder(path.to_owned()) } else { Found::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_what_files_lie_below() {
        let paths = ["a-b.yaml", "a.yaml", "a/b/c.yaml"].map(str::to_owned);
        let is_there = |path: &str| look(&paths, path, path) != Found::Nothing;
        assert_eq!(["", "a", "a/b", "a/b/c.yaml", "a.yaml"].map(is_there), [true; 5]);
        assert_eq!(["b", "a/c", "a/b/c", "a-b"].map(is_there), [false; 4]);
    }
}
