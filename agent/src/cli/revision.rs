//! The files of one revision of a repository, out of its objects.

use std::rc::Rc;

use leeward_core::{
    git::{EntryMode, TreeEntry, Walk, WalkError, parse_tree},
    model::GitId,
    render::{FileError, Found, path::join},
};
use leeward_kustomize::ReadError;

use super::{
    folder::{Place, error},
    git::Objects,
};

/// Links on the way to one file: what Linux follows.
const MAX_LINKS: usize = 40;
/// Bytes of a link's target: the longest path on Linux.
const MAX_LINK_BYTES: usize = 4096;

/// A tree, seen as the root of a file system.
pub(super) struct Revision<'g> {
    pub(super) objects: &'g Objects,
    pub(super) tree: GitId,
    /// What people call it.
    pub(super) name: String,
}

/// What a path leads to; its real path, and the object.
enum Leaf {
    File(String, GitId),
    Folder(String, GitId),
    Nothing,
}

impl Revision<'_> {
    /// Follows a path from the root, symbolic links included, as the file system
    /// of a checkout would. What lies outside of the repository is not there.
    fn find(&self, path: &str) -> Result<Leaf, ReadError> {
        let mut ahead: Vec<String> = path.rsplit('/').map(str::to_owned).collect();
        let mut way: Vec<String> = Vec::new();
        let mut trees = vec![self.tree];
        let mut links = 0;
        while let Some(segment) = ahead.pop() {
            match segment.as_str() {
                "" | "." => continue,
                ".." if way.pop().is_none() => return Ok(Leaf::Nothing),
                ".." => {
                    trees.pop();
                    continue;
                }
                _ => {}
            }
            let tree = trees.last().copied().unwrap_or(self.tree);
            match self.entry(tree, &segment)? {
                None => return Ok(Leaf::Nothing),
                Some((EntryMode::Folder, id)) => {
                    way.push(segment);
                    trees.push(id);
                }
                Some((EntryMode::File { .. }, id)) => {
                    way.push(segment);
                    let is_last = ahead.is_empty();
                    return Ok(if is_last { Leaf::File(way.join("/"), id) } else { Leaf::Nothing });
                }
                Some((EntryMode::Symlink, id)) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(refused("too many symbolic links"));
                    }
                    let Some(target) = self.target(id)? else { return Ok(Leaf::Nothing) };
                    ahead.extend(target.rsplit('/').map(str::to_owned));
                }
                Some((EntryMode::Submodule, _)) => {
                    let at = join(&way.join("/"), &segment);
                    let message =
                        format!("{at} is a submodule, whose files are in another repository");
                    return Err(refused(message));
                }
            }
        }
        let tree = trees.last().copied().unwrap_or(self.tree);
        Ok(Leaf::Folder(way.join("/"), tree))
    }

    fn entry(&self, tree: GitId, name: &str) -> Result<Option<(EntryMode, GitId)>, ReadError> {
        let data = self.tree(tree)?;
        for entry in parse_tree(&data) {
            let TreeEntry { mode, name: found, id } = entry.map_err(refused)?;
            if found == name.as_bytes() {
                return Ok(Some((mode, id)));
            }
        }
        Ok(None)
    }

    /// Where a link leads; `None` for what is nowhere in the repository.
    fn target(&self, id: GitId) -> Result<Option<String>, ReadError> {
        let bytes = self.blob(id)?;
        let target = String::from_utf8(bytes).ok();
        Ok(target.filter(|path| path.len() <= MAX_LINK_BYTES && !path.starts_with('/')))
    }

    fn tree(&self, id: GitId) -> Result<Rc<[u8]>, ReadError> {
        self.objects.tree(id).map_err(refused)?.ok_or_else(|| not_here("tree", id))
    }

    fn blob(&self, id: GitId) -> Result<Vec<u8>, ReadError> {
        self.objects.blob(id).map_err(refused)?.ok_or_else(|| not_here("blob", id))
    }
}

impl leeward_kustomize::Files for Revision<'_> {
    fn look(&self, path: &str) -> Result<Found, ReadError> {
        Ok(match self.find(path)? {
            Leaf::File(path, _) => Found::File(path),
            Leaf::Folder(path, _) => Found::Folder(path),
            Leaf::Nothing => Found::Nothing,
        })
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        match self.find(path)? {
            Leaf::File(_, id) => self.blob(id),
            Leaf::Folder(..) | Leaf::Nothing => Err(refused("it is not a regular file")),
        }
    }

    /// As `git show` takes it.
    fn shown(&self, path: &str) -> String {
        format!("{}:{path}", self.name)
    }
}

impl Place for Revision<'_> {
    fn list(&self, folder: &str) -> Result<Vec<String>, FileError> {
        let failed = |path: &str, refused: ReadError| error(path, refused.message);
        let root = match self.find(folder).map_err(|refused| failed("", refused))? {
            Leaf::Folder(_, tree) => tree,
            Leaf::File(..) | Leaf::Nothing => return Err(error("", "no such folder")),
        };
        let read = |id| self.tree(id).map_err(|source| WalkError::Store { id, source });
        let mut found = Vec::new();
        for listed in Walk::new(root, read) {
            let listed = listed.map_err(|(folder, fault)| match fault {
                WalkError::Store { source, .. } => failed(&folder, source),
                WalkError::Object { source, .. } => error(&folder, source),
                other => error(&folder, other),
            })?;
            if matches!(listed.mode, EntryMode::File { .. }) {
                found.push(listed.path);
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

fn refused(message: impl std::fmt::Display) -> ReadError {
    ReadError { message: message.to_string(), missing: false }
}

/// In a partial clone. It is not fetched: nothing may be started by looking.
fn not_here(kind: &str, id: GitId) -> ReadError {
    refused(format!(
        "{kind} {id} is not in this clone: clone without a filter, or `git checkout` it once"
    ))
}
