//! A Git tree in the store, seen as a folder of files.
//!
//! Symbolic links and submodules do not exist here: neither may lead a reader
//! out of the folder.

use std::{cell::OnceCell, collections::BTreeMap, error::Error};

use super::{Around, Boundary, FileContent, FileError, Files, Found, path::join};
use crate::{
    git::{self, EntryMode, ObjectType, Objects, WalkError, parse_path, walk},
    model::GitId,
};

/// [`Files`] of a tree. The tree is walked once, at the first use.
#[derive(Debug)]
pub struct TreeFiles<'a, O> {
    objects: &'a O,
    /// Trees by the folder that they are shown as; one that is empty for the root.
    trees: BTreeMap<String, GitId>,
    prefix: String,
    around: Option<(String, Box<Self>, Boundary)>,
    blobs: OnceCell<BTreeMap<String, GitId>>,
}

impl<'a, O: Objects> TreeFiles<'a, O> {
    /// `tree` is the folder; nothing is read yet.
    pub fn new(objects: &'a O, tree: GitId) -> Self {
        Self::of(objects, BTreeMap::from([(String::new(), tree)]))
    }

    fn of(objects: &'a O, trees: BTreeMap<String, GitId>) -> Self {
        Self { objects, trees, prefix: String::new(), around: None, blobs: OnceCell::new() }
    }

    /// Lets kustomizations see more of the repository: the folder is at `at`
    /// in it, the others are where their names say, and nothing is beyond the boundary.
    #[must_use]
    pub fn within(mut self, at: &str, others: BTreeMap<String, GitId>, boundary: Boundary) -> Self {
        let others = Self::of(self.objects, others);
        self.around = Some((at.trim_matches('/').to_owned(), Box::new(others), boundary));
        self
    }

    /// Names files to people as if they were below `folder`, as they are in the repository.
    #[must_use]
    pub fn shown_below(mut self, folder: &str) -> Self {
        folder.trim_matches('/').clone_into(&mut self.prefix);
        self
    }

    fn blobs(&self) -> Result<&BTreeMap<String, GitId>, FileError> {
        if let Some(blobs) = self.blobs.get() {
            return Ok(blobs);
        }
        let mut blobs = BTreeMap::new();
        for (folder, tree) in &self.trees {
            let found = self::blobs(self.objects, *tree)?;
            blobs.extend(found.into_iter().map(|(path, id)| (join(folder, &path), id)));
        }
        Ok(self.blobs.get_or_init(|| blobs))
    }
}

impl<O: Objects> Files for TreeFiles<'_, O> {
    fn list(&self) -> Result<Vec<String>, FileError> {
        Ok(self.blobs()?.keys().cloned().collect())
    }

    fn read(&self, path: &str) -> Result<FileContent, FileError> {
        let Some(id) = self.blobs()?.get(path) else {
            let message = "no such file".to_owned();
            return Err(FileError { path: path.to_owned(), message, missing: false });
        };
        git::read_as(self.objects, *id, ObjectType::Blob)
            .map(FileContent::from)
            .map_err(|error| unreadable(path, &error))
    }

    /// A folder that cannot be read is as good as absent; whoever refers to it says so.
    fn look(&self, path: &str) -> Result<Found, FileError> {
        Ok(self.blobs().map_or(Found::Nothing, |blobs| Found::among(blobs, path)))
    }

    fn shown(&self, path: &str) -> String {
        join(&self.prefix, path)
    }

    fn around(&self) -> Option<Around<'_>> {
        let (at, others, boundary) = self.around.as_ref()?;
        Some(Around { at, others: &**others, boundary })
    }
}

/// The tree of the folder `path` below `tree`; `None` when there is no such
/// folder. An empty path is `tree` itself.
pub fn subtree<O: Objects>(
    objects: &O,
    tree: GitId,
    path: &str,
) -> Result<Option<GitId>, FileError> {
    git::subtree(objects, tree, &parse_path(path)).map_err(|error| unreadable(path, &error))
}

/// All files below a tree by path.
fn blobs<O: Objects>(objects: &O, tree: GitId) -> Result<BTreeMap<String, GitId>, FileError> {
    let mut blobs = BTreeMap::new();
    for listed in walk(objects, tree) {
        let listed = listed.map_err(|(path, error)| unreadable(&path, &error))?;
        if matches!(listed.mode, EntryMode::File { .. }) {
            blobs.insert(listed.path, listed.id);
        }
    }
    Ok(blobs)
}

fn unreadable<E: Error + 'static>(path: &str, error: &WalkError<E>) -> FileError {
    let missing = matches!(error, WalkError::Absent { .. });
    let mut message = error.to_string();
    if let Some(source) = error.source() {
        message = format!("{message}: {source}");
    }
    FileError { path: path.to_owned(), message, missing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::memory::Memory;

    #[test]
    fn files_are_listed_by_path_without_links_and_submodules() {
        let store = Memory::default();
        let blob = store.add(ObjectType::Blob, b"text").id;
        let inner = store.tree(&[("100755", "run.sh", blob), ("120000", "link", blob)]).id;
        let root = store
            .tree(&[("100644", "a.yaml", blob), ("40000", "a", inner), ("160000", "module", blob)])
            .id;
        let files = TreeFiles::new(&store, root).shown_below("clusters/shop/");
        assert_eq!(files.list().unwrap(), ["a.yaml", "a/run.sh"]);
        assert_eq!(files.read("a/run.sh").unwrap().bytes, b"text");
        assert_eq!(files.shown("a/run.sh"), "clusters/shop/a/run.sh");
        assert!(!files.read("a/link").unwrap_err().missing);
        assert_eq!(subtree(&store, root, "a").unwrap(), Some(inner));
        assert_eq!(subtree(&store, root, "").unwrap(), Some(root));
        assert_eq!(subtree(&store, root, "a.yaml").unwrap(), None);
        assert_eq!(subtree(&store, root, "a/b").unwrap(), None);
    }

    #[test]
    fn an_object_that_has_not_arrived_is_missing() {
        let store = Memory::default();
        let blob = store.add(ObjectType::Blob, b"text").id;
        let inner = store.tree::<&str>(&[]).id;
        let root = store.tree(&[("40000", "a", inner), ("100644", "b", blob)]).id;
        store.remove(blob);
        let files = TreeFiles::new(&store, root);
        assert!(files.read("b").unwrap_err().missing);
        store.remove(inner);
        let error = TreeFiles::new(&store, root).list().unwrap_err();
        assert!(error.missing);
        assert_eq!(error.path, "a");
        assert!(subtree(&store, root, "a/b").unwrap_err().missing);
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let store = Memory::default();
        let blob = store.add(ObjectType::Blob, b"text").id;
        for name in [&b".."[..], b".", b"", b".git", b".GIT", b"a/b", b"\xff"] {
            let root = store.tree(&[("100644", name, blob)]).id;
            assert!(TreeFiles::new(&store, root).list().is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_tree_that_is_broken_or_no_tree_is_an_error() {
        let store = Memory::default();
        let broken = store.add(ObjectType::Tree, b"100644 a\0too short").id;
        let blob = store.add(ObjectType::Blob, b"text").id;
        let messages =
            [broken, blob].map(|id| TreeFiles::new(&store, id).list().unwrap_err().message);
        insta::assert_snapshot!(messages.join("\n"), @r"
        object fc9cbf68b9deb275f8e063de50942e9a9945f7ba is unusable: tree ends in the middle of an entry
        object f3a34851d44d6b97c90fbb99dd3d18c261b9a237 is a blob, not a tree
        ");
    }
}
