//! The way around a tree that is larger than what one connection carries.
//!
//! Nothing can be resumed inside one object. But an old version of a wide tree
//! was small, and each later one is a small delta upon it: so fetch the
//! ancestors' commits, take the oldest one's trees, and climb to the target in
//! strides. Where on the ladder we stand is read from the store each time, so
//! a restart loses nothing but the stride.

use super::{
    ObjectType, Objects,
    decide::upon,
    folder::WalkError,
    request::{FetchRequest, Filter},
    tree::{EntryMode, commit_of, parse_tree},
};
use crate::model::GitId;

/// Commits that are looked at, by first parents: 512 cost some 100 KB to fetch, once.
const MAX_ANCESTORS: usize = 512;
/// Commits that are asked for at first.
const FIRST_HISTORY: usize = 64;
/// Commits that the first step spans.
const FIRST_STRIDE: usize = 16;

/// How boldly to climb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ladder {
    stride: usize,
    /// Tries in a row that left us on the same rung although the stride could shrink no more.
    failures: u32,
}

impl Default for Ladder {
    fn default() -> Self {
        Self { stride: FIRST_STRIDE, failures: 0 }
    }
}

/// Tries of the same smallest step before it is taken to be too large.
const MAX_FAILURES: u32 = 3;

/// The next step of the climb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rung {
    /// More commits of the past.
    History {
        from: GitId,
        count: usize,
    },
    /// A tree on the way to the folder in the oldest commit.
    Foot {
        commit: GitId,
        tree: GitId,
    },
    Step {
        from: GitId,
        to: GitId,
    },
    /// The target's trees are there.
    Top,
    /// A single step does not fit.
    Stuck,
}

impl Rung {
    /// Returns the next request; `None` where there is nothing to climb.
    pub fn request(&self, depth: usize) -> Option<FetchRequest> {
        let alone = |id, deepen| FetchRequest {
            wants: vec![id],
            deepen,
            filter: Some(Filter::TreeZero),
            ..FetchRequest::default()
        };
        match self {
            Self::History { from, count } => Some(alone(*from, u32::try_from(*count).ok())),
            Self::Foot { tree, .. } => Some(alone(*tree, None)),
            Self::Step { from, to } => Some(upon(*to, *from, Some(Filter::PathTrees { depth }))),
            Self::Top | Self::Stuck => None,
        }
    }
}

impl Ladder {
    /// Where we stand, and what comes next.
    pub fn rung<O: Objects>(
        &self,
        objects: &O,
        target: GitId,
        path: &[String],
    ) -> Result<Rung, WalkError<O::Error>> {
        if self.stride == 0 || self.failures >= MAX_FAILURES {
            return Ok(Rung::Stuck);
        }
        let Chain { commits, parent } = chain(objects, target)?;
        let mut newest_without_path = commits.len();
        let mut way_of = Vec::with_capacity(commits.len());
        for (index, (_, root)) in commits.iter().enumerate() {
            let way = way(objects, *root, path)?;
            match way {
                Way::Whole if index == 0 => return Ok(Rung::Top),
                Way::Whole => {
                    let to = index.saturating_sub(self.stride);
                    return Ok(Rung::Step { from: commits[index].0, to: commits[to].0 });
                }
                Way::Absent => newest_without_path = newest_without_path.min(index),
                Way::Missing(_) => {}
            }
            way_of.push(way);
        }
        if let Some(from) = parent
            && commits.len() < MAX_ANCESTORS
            && newest_without_path == commits.len()
        {
            // In growing pieces: a commit that we know may be near.
            let count = commits.len().max(FIRST_HISTORY).min(MAX_ANCESTORS - commits.len());
            return Ok(Rung::History { from, count });
        }
        // The oldest commit may not have had the path yet: look a quarter of the way up.
        let foot = match newest_without_path {
            whole if whole == commits.len() => whole.saturating_sub(1),
            without => without * 3 / 4,
        };
        Ok(match way_of.get(foot) {
            Some(Way::Missing(tree)) => Rung::Foot { commit: commits[foot].0, tree: *tree },
            _ => Rung::Stuck,
        })
    }

    /// The ladder after a step: bolder when it brought us on, else more careful.
    #[must_use]
    pub fn after(self, rung: &Rung, reached: bool, new: usize) -> Self {
        let stride = match (rung, reached) {
            (Rung::Step { .. }, true) => self.stride + self.stride.div_ceil(2),
            (Rung::Step { .. }, false) if self.stride > 1 => self.stride / 2,
            _ => self.stride,
        };
        let stays = !reached && new == 0 && stride == self.stride;
        let smallest = stays || (!reached && self.stride == 1 && matches!(rung, Rung::Step { .. }));
        Self { stride, failures: if smallest { self.failures + 1 } else { 0 } }
    }
}

struct Chain {
    /// Newest first, with their root trees.
    commits: Vec<(GitId, GitId)>,
    /// The first commit beyond, when there is one.
    parent: Option<GitId>,
}

fn chain<O: Objects>(objects: &O, target: GitId) -> Result<Chain, WalkError<O::Error>> {
    let mut commits = Vec::new();
    let mut parent = Some(target);
    while let Some(id) = parent
        && commits.len() < MAX_ANCESTORS
    {
        let stored = objects.read(id).map_err(|source| WalkError::Store { id, source })?;
        let Some((ObjectType::Commit, data)) = stored else { break };
        let commit = commit_of(&data).map_err(|source| WalkError::Object { id, source })?;
        commits.push((id, commit.tree));
        parent = commit.parents.first().copied();
    }
    Ok(Chain { commits, parent })
}

#[derive(Clone, Copy)]
enum Way {
    /// Every tree in front of the folder is there; the folder itself may not have existed.
    Whole,
    Missing(GitId),
    Absent,
}

fn way<O: Objects>(objects: &O, root: GitId, path: &[String]) -> Result<Way, WalkError<O::Error>> {
    let mut tree = root;
    for (level, name) in path.iter().enumerate() {
        let read = |id| objects.read(id).map_err(|source| WalkError::Store { id, source });
        let Some((ObjectType::Tree, data)) = read(tree)? else { return Ok(Way::Missing(tree)) };
        let folder = parse_tree(&data)
            .map_while(Result::ok)
            .find(|entry| entry.name == name.as_bytes() && entry.mode == EntryMode::Folder);
        match folder {
            Some(entry) => tree = entry.id,
            None if level + 1 == path.len() => return Ok(Way::Whole),
            None => return Ok(Way::Absent),
        }
    }
    Ok(Way::Whole)
}
