//! Folders in Git trees: one walk, one check of names, one set of limits.
//!
//! Everything that follows trees comes through here: what is fetched, what is
//! rendered, and what is kept in the store. A name that is refused by one of
//! them is refused by all, and a folder that is too large to be rendered is not
//! fetched in the first place.

use super::{
    ObjectType, Objects,
    tree::{EntryMode, TreeError, checked_name, commit_of, parse_tree},
};
use crate::model::GitId;

/// Files, links and folders in a folder and below it. An app of a small cluster has
/// hundreds; with more than this, somebody pointed us at the wrong folder.
pub const ENTRIES_MAX: usize = 20_000;

/// Levels of folders below a folder: no repository that people work with has half of it.
pub const DEPTH_MAX: usize = 64;

/// Why a folder cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum WalkError<E: std::error::Error + 'static> {
    #[error("cannot read object {id} from the store")]
    Store { id: GitId, source: E },
    #[error("object {id} is a {found}, not a {expected}")]
    Kind { id: GitId, expected: ObjectType, found: ObjectType },
    #[error("object {id} is unusable")]
    Object { id: GitId, source: TreeError },
    #[error("object {id} is not in the store")]
    Absent { id: GitId },
    #[error("the folder holds more than {ENTRIES_MAX} files and folders")]
    TooMany,
    #[error("the folder is nested deeper than {DEPTH_MAX}")]
    TooDeep,
}

/// The segments of a path; empty ones and `.` mean nothing.
pub fn parse_path(path: &str) -> Vec<String> {
    path.split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect()
}

/// An entry of a folder, with a name that leads nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'d> {
    pub(super) name: &'d str,
    pub(super) mode: EntryMode,
    pub(super) id: GitId,
}

/// The entries of a tree that lies `depth` levels below the folder, each with its name checked.
pub(super) fn entries<E: std::error::Error>(
    id: GitId,
    data: &[u8],
    depth: usize,
) -> Result<Vec<Entry<'_>>, WalkError<E>> {
    if depth > DEPTH_MAX {
        return Err(WalkError::TooDeep);
    }
    let checked = parse_tree(data).map(|entry| {
        let entry = entry?;
        Ok(Entry { name: checked_name(entry.name)?, mode: entry.mode, id: entry.id })
    });
    checked.collect::<Result<_, _>>().map_err(|source| WalkError::Object { id, source })
}

/// Reads an object that has to be there, and of this type.
pub fn read_as<O: Objects>(
    objects: &O,
    id: GitId,
    expected: ObjectType,
) -> Result<Vec<u8>, WalkError<O::Error>> {
    let stored = objects.read(id).map_err(|source| WalkError::Store { id, source })?;
    let (found, data) = stored.ok_or(WalkError::Absent { id })?;
    expect(id, expected, found)?;
    Ok(data)
}

pub(super) fn expect<E: std::error::Error>(
    id: GitId,
    expected: ObjectType,
    found: ObjectType,
) -> Result<(), WalkError<E>> {
    if found == expected { Ok(()) } else { Err(WalkError::Kind { id, expected, found }) }
}

/// The tree of the folder `path` below `tree`; `None` when there is no such folder.
/// The names beside the way are not checked: they lie outside of the folder.
pub fn subtree<O: Objects>(
    objects: &O,
    tree: GitId,
    path: &[String],
) -> Result<Option<GitId>, WalkError<O::Error>> {
    let mut found = tree;
    for name in path {
        let data = read_as(objects, found, ObjectType::Tree)?;
        let unusable = |source| WalkError::Object { id: found, source };
        match entry_named(&data, name).map_err(unusable)? {
            Some((EntryMode::Folder, id)) => found = id,
            _ => return Ok(None),
        }
    }
    Ok(Some(found))
}

/// The entry of a tree that has this name.
pub(super) fn entry_named(
    data: &[u8],
    name: &str,
) -> Result<Option<(EntryMode, GitId)>, TreeError> {
    for entry in parse_tree(data) {
        let entry = entry?;
        if entry.name == name.as_bytes() {
            return Ok(Some((entry.mode, entry.id)));
        }
    }
    Ok(None)
}

/// The tree of `path` at `commit`, when the store holds the whole way to it.
pub fn subtree_at<O: Objects>(
    objects: &O,
    commit: GitId,
    path: &[String],
) -> Result<Option<GitId>, WalkError<O::Error>> {
    let unusable = |source| WalkError::Object { id: commit, source };
    let found = read_as(objects, commit, ObjectType::Commit)
        .and_then(|data| commit_of(&data).map_err(unusable))
        .and_then(|commit| subtree(objects, commit.tree, path));
    match found {
        Err(WalkError::Absent { .. } | WalkError::Kind { .. }) => Ok(None),
        found => found,
    }
}

/// A file, link or submodule below a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// From the folder on, as `a/b.yaml`.
    pub path: String,
    pub mode: EntryMode,
    pub id: GitId,
}

/// The next thing that a walk comes to, or the folder that it cannot follow, and why.
pub type Walked<E> = Result<Listed, (String, WalkError<E>)>;

/// Everything below a tree whose trees are all in the store, in the order of the trees.
pub fn walk<O: Objects>(objects: &O, tree: GitId) -> impl Iterator<Item = Walked<O::Error>> {
    Walk::new(tree, |id| read_as(objects, id, ObjectType::Tree))
}

/// A walk over everything below a tree, in the order of the trees.
///
/// Depth is the choice of whoever wrote the trees, so the way back is a list and
/// not the stack. The walk ends with the first error.
#[derive(Debug)]
pub struct Walk<R> {
    /// Reads a tree.
    read: R,
    /// Entries that are still to be looked at, with their depth; the next one is the last.
    open: Vec<(Listed, usize)>,
    /// How many entries have been found.
    found: usize,
}

impl<R> Walk<R> {
    /// `read` gets the content of a tree.
    pub fn new(tree: GitId, read: R) -> Self {
        let folder = Listed { path: String::new(), mode: EntryMode::Folder, id: tree };
        Self { read, open: vec![(folder, 0)], found: 0 }
    }
}

impl<R, D, E> Walk<R>
where
    R: FnMut(GitId) -> Result<D, WalkError<E>>,
    D: AsRef<[u8]>,
    E: std::error::Error + 'static,
{
    /// Opens a folder: its entries come next.
    fn enter(&mut self, folder: &Listed, depth: usize) -> Result<(), WalkError<E>> {
        let data = (self.read)(folder.id)?;
        let entries = entries(folder.id, data.as_ref(), depth)?;
        self.found += entries.len();
        if self.found > ENTRIES_MAX {
            return Err(WalkError::TooMany);
        }
        self.open.extend(entries.into_iter().rev().map(|Entry { name, mode, id }| {
            let path = match folder.path.as_str() {
                "" => name.to_owned(),
                above => format!("{above}/{name}"),
            };
            (Listed { path, mode, id }, depth + 1)
        }));
        Ok(())
    }
}

impl<R, D, E> Iterator for Walk<R>
where
    R: FnMut(GitId) -> Result<D, WalkError<E>>,
    D: AsRef<[u8]>,
    E: std::error::Error + 'static,
{
    type Item = Walked<E>;

    fn next(&mut self) -> Option<Walked<E>> {
        while let Some((listed, depth)) = self.open.pop() {
            if listed.mode != EntryMode::Folder {
                return Some(Ok(listed));
            }
            if let Err(error) = self.enter(&listed, depth) {
                self.open.clear();
                return Some(Err((listed.path, error)));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
