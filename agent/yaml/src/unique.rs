//! The entries of a mapping, each key once.

use std::collections::HashMap;

use crate::{dialect::Dialect, error::Problem, node::Entry};

/// A mapping with more keys than this is searched by hash.
const LINEAR_SEARCH_MAX: usize = 16;

/// How a key that stands twice in a mapping is handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duplicates {
    #[default]
    Refused,
    /// The last value counts, as for Go's readers of configuration.
    LastWins,
    /// The first value counts, as for upstream's walk over a patch, which takes any key for
    /// a string.
    FirstWins,
}

#[derive(Default)]
pub(super) struct UniqueEntries {
    entries: Vec<Entry>,
    /// Beside `entries`: came from a merge key, so it may be replaced.
    merged: Vec<bool>,
    /// The place of each key in `entries`. It is brought up to date only when it is used.
    index: HashMap<String, usize>,
}

impl UniqueEntries {
    /// Adds an entry that stands in the mapping itself.
    pub(super) fn add(&mut self, entry: Entry, duplicates: Duplicates) -> Result<(), Problem> {
        match self.find(&entry.key) {
            Some(at) if !self.merged[at] => match duplicates {
                Duplicates::Refused => {
                    let first = self.entries[at].mark;
                    Err(Problem::DuplicateKey { key: entry.key, first })
                }
                Duplicates::FirstWins => Ok(()),
                Duplicates::LastWins => {
                    self.entries[at] = entry;
                    Ok(())
                }
            },
            Some(at) => {
                self.entries[at] = entry;
                self.merged[at] = false;
                Ok(())
            }
            None => {
                self.push(entry, false);
                Ok(())
            }
        }
    }

    /// Adds entries that a merge key brings. As in go-yaml, they override what
    /// stands before the merge key and are overridden by what follows it;
    /// Kustomize lets what stands in the mapping itself win, wherever it stands.
    pub(super) fn merge(&mut self, entries: Vec<Entry>, dialect: Dialect) {
        for entry in entries {
            match self.find(&entry.key) {
                Some(at) if dialect == Dialect::Kustomize && !self.merged[at] => {}
                // The key keeps its place, for the message about a duplicate.
                Some(at) => self.entries[at].value = entry.value,
                None => self.push(entry, true),
            }
        }
    }

    pub(super) fn into_vec(self) -> Vec<Entry> {
        self.entries
    }

    fn push(&mut self, entry: Entry, merged: bool) {
        self.entries.push(entry);
        self.merged.push(merged);
    }

    fn find(&mut self, key: &str) -> Option<usize> {
        if self.entries.len() <= LINEAR_SEARCH_MAX {
            return self.entries.iter().position(|entry| entry.key == key);
        }
        for at in self.index.len()..self.entries.len() {
            self.index.insert(self.entries[at].key.clone(), at);
        }
        self.index.get(key).copied()
    }
}
