//! Finds what the store lacks of a folder at a commit, from the commit down to the last blob.
//!
//! It is computed anew after every answer, whole or cut, so nothing about a
//! fetch has to be remembered: a process that was killed asks for the rest.

use std::collections::{BTreeMap, HashSet};

use super::{
    Object, ObjectType, Objects,
    folder::{ENTRIES_MAX, Entry, WalkError, entries, entry_named, expect},
    tree::{EntryMode, TreeError, commit_of, parse_tree},
};
use crate::model::GitId;

/// Names of a folder that are compared with one that it lacks.
const MAX_COMPARED_NAMES: usize = 20_000;
/// How alike two names must be for one to be suggested, of 1.
const LIKENESS: f64 = 0.8;

/// The next objects to ask the remote for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// Everything is there; the tree is that of the folder.
    Nothing {
        tree: GitId,
    },
    Commit,
    /// A tree on the way to the folder; the root tree is at level 0.
    PathTree {
        level: usize,
        id: GitId,
    },
    /// Objects of the folder itself. `salvaged` are blobs of it that the store has already.
    Contents {
        tree: GitId,
        trees: Vec<GitId>,
        blobs: Vec<GitId>,
        salvaged: Vec<GitId>,
    },
    /// There is no such folder in the commit: nothing that can be fetched helps.
    NoFolder(PathFault),
}

/// Why the path leads to no folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    #[error("{}", no_entry(folder, name))]
    NoEntry {
        /// Empty for the root of the repository.
        folder: String,
        name: String,
        /// An entry of the folder with a similar name.
        nearest: Option<String>,
    },
    #[error("`{path}` is {what}, not a folder")]
    NotAFolder { path: String, what: &'static str },
}

fn no_entry(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        format!("the repository has no `{name}` at its root")
    } else {
        format!("folder `{folder}` has no `{name}`")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Commit,
    PathTree(usize),
    Tree(usize),
    Blob,
}

impl Role {
    fn kind(self) -> ObjectType {
        match self {
            Self::Commit => ObjectType::Commit,
            Self::PathTree(_) | Self::Tree(_) => ObjectType::Tree,
            Self::Blob => ObjectType::Blob,
        }
    }
}

/// The objects of one folder at one commit that are not in the store yet,
/// as far as what is there tells.
#[derive(Debug)]
pub struct Missing {
    path: Vec<String>,
    wanted: BTreeMap<GitId, Role>,
    salvaged: Vec<GitId>,
    seen: HashSet<GitId>,
    folder: Option<GitId>,
    fault: Option<PathFault>,
}

impl Missing {
    /// Walks what the store holds of `path` at `commit`.
    pub fn of<O: Objects>(
        objects: &O,
        commit: GitId,
        path: &[String],
    ) -> Result<Self, WalkError<O::Error>> {
        let mut missing = Self {
            path: path.to_vec(),
            wanted: BTreeMap::new(),
            salvaged: Vec::new(),
            seen: HashSet::new(),
            folder: None,
            fault: None,
        };
        missing.visit(objects, vec![(commit, Role::Commit)])?;
        Ok(missing)
    }

    /// Takes an object that arrived. `None`: it is not one of ours. Else the ids
    /// that it made us want; some of them may have arrived before it.
    pub fn accept<O: Objects>(
        &mut self,
        objects: &O,
        object: &Object,
    ) -> Result<Option<Vec<GitId>>, WalkError<O::Error>> {
        let Some(role) = self.wanted.get(&object.id).copied() else { return Ok(None) };
        expect(object.id, role.kind(), object.kind)?;
        self.wanted.remove(&object.id);
        let children = self.children(object.id, role, &object.data)?;
        self.visit(objects, children).map(Some)
    }

    /// Returns whether this object is one of those that are missing.
    pub fn wants(&self, id: GitId) -> bool {
        self.wanted.contains_key(&id)
    }

    /// The way to the folder is known, or known to lead nowhere.
    pub fn is_path_known(&self) -> bool {
        self.folder.is_some() || self.fault.is_some()
    }

    pub fn need(&self) -> Need {
        if let Some(fault) = &self.fault {
            return Need::NoFolder(fault.clone());
        }
        let of = |wanted: fn(Role) -> bool| -> Vec<GitId> {
            self.wanted.iter().filter(|(_, role)| wanted(**role)).map(|(id, _)| *id).collect()
        };
        match self.folder {
            None => self
                .wanted
                .iter()
                .find_map(|(id, role)| match role {
                    Role::PathTree(level) => Some(Need::PathTree { level: *level, id: *id }),
                    _ => None,
                })
                .unwrap_or(Need::Commit),
            Some(tree) if self.wanted.is_empty() => Need::Nothing { tree },
            Some(tree) => Need::Contents {
                tree,
                trees: of(|role| matches!(role, Role::Tree(_))),
                blobs: of(|role| role == Role::Blob),
                salvaged: self.salvaged.clone(),
            },
        }
    }

    /// Follows every object that is there; what is not becomes wanted, and is returned.
    fn visit<O: Objects>(
        &mut self,
        objects: &O,
        mut open: Vec<(GitId, Role)>,
    ) -> Result<Vec<GitId>, WalkError<O::Error>> {
        let mut wanted = Vec::new();
        let failed = |id| move |source| WalkError::Store { id, source };
        while let Some((id, role)) = open.pop() {
            if !self.seen.insert(id) {
                continue;
            }
            // Beside the entries: the commit, the trees on the way, and that of the folder.
            if self.seen.len() > ENTRIES_MAX + self.path.len() + 2 {
                return Err(WalkError::TooMany);
            }
            if role == Role::Blob && objects.contains(id).map_err(failed(id))? {
                self.salvaged.push(id);
                continue;
            }
            let stored = match role {
                Role::Blob => None,
                _ => objects.read(id).map_err(failed(id))?,
            };
            if let Some((kind, data)) = stored {
                expect(id, role.kind(), kind)?;
                open.extend(self.children(id, role, &data)?);
            } else {
                self.wanted.insert(id, role);
                wanted.push(id);
            }
        }
        Ok(wanted)
    }

    fn children<E: std::error::Error>(
        &mut self,
        id: GitId,
        role: Role,
        data: &[u8],
    ) -> Result<Vec<(GitId, Role)>, WalkError<E>> {
        let failed = |source| WalkError::Object { id, source };
        match role {
            Role::Blob => Ok(Vec::new()),
            Role::Commit => {
                let tree = commit_of(data).map_err(failed)?.tree;
                Ok(vec![self.step(tree, 0)])
            }
            Role::PathTree(level) => {
                match find(data, &self.path[..level], &self.path[level]).map_err(failed)? {
                    Ok(tree) => Ok(vec![self.step(tree, level + 1)]),
                    Err(fault) => {
                        self.fault = Some(fault);
                        Ok(Vec::new())
                    }
                }
            }
            Role::Tree(depth) => {
                let below = |entry: Entry<'_>| match entry.mode {
                    EntryMode::Folder => Some((entry.id, Role::Tree(depth + 1))),
                    EntryMode::File { .. } => Some((entry.id, Role::Blob)),
                    EntryMode::Symlink | EntryMode::Submodule => None,
                };
                Ok(entries(id, data, depth)?.into_iter().filter_map(below).collect())
            }
        }
    }

    fn step(&mut self, tree: GitId, level: usize) -> (GitId, Role) {
        if level == self.path.len() {
            self.folder = Some(tree);
            (tree, Role::Tree(0))
        } else {
            (tree, Role::PathTree(level))
        }
    }
}

/// Looks a folder up in a tree on the way. Names of its siblings are none of our business.
fn find(data: &[u8], above: &[String], name: &str) -> Result<Result<GitId, PathFault>, TreeError> {
    if let Some((mode, id)) = entry_named(data, name)? {
        let what = match mode {
            EntryMode::Folder => return Ok(Ok(id)),
            EntryMode::File { .. } => "a file",
            EntryMode::Symlink => "a symbolic link",
            EntryMode::Submodule => "a submodule",
        };
        let path = [above, &[name.to_owned()]].concat().join("/");
        return Ok(Err(PathFault::NotAFolder { path, what }));
    }
    let nearest = parse_tree(data)
        .filter_map(|entry| String::from_utf8(entry.ok()?.name.to_vec()).ok())
        .take(MAX_COMPARED_NAMES)
        .map(|other| (strsim::jaro_winkler(&other, name), other))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, other)| other);
    Ok(Err(PathFault::NoEntry { folder: above.join("/"), name: name.to_owned(), nearest }))
}

#[cfg(test)]
mod tests;
