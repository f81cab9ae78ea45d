//! One document while it grows, and the faults in it.

use std::collections::HashMap;

use super::Size;
use crate::{
    ECHO_MAX,
    dialect::Dialect,
    error::{Problem, YamlError},
    node::{Content, Entry, Mark, Node, Tag},
    unique::{Duplicates, UniqueEntries},
};

/// Faults of one document that are kept; nobody reads more.
const FAULTS_MAX: usize = 50;

/// A document that is being read.
#[derive(Default)]
pub(super) struct Tree {
    pub(super) root: Option<Node>,
    pub(super) open: Vec<Open>,
    pub(super) anchors: HashMap<usize, (Node, Size)>,
    pub(super) faults: Vec<YamlError>,
}

/// A collection whose end has not been seen.
pub(super) struct Open {
    pub(super) mark: Mark,
    pub(super) flow: bool,
    pub(super) anchor: usize,
    pub(super) items: Items,
}

pub(super) enum Items {
    Sequence(Vec<Node>),
    Mapping { entries: UniqueEntries, key: Option<Key> },
}

/// A key that waits for its value.
pub(super) enum Key {
    Named(String, Mark),
    Merge,
    /// Has been reported; its value is read and dropped.
    Faulty,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Shape {
    Scalar,
    Sequence,
    Mapping,
}

impl Tree {
    fn fault(&mut self, error: YamlError) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(error);
        }
    }

    pub(super) fn expects_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { items: Items::Mapping { key: None, .. }, .. }))
    }

    /// Puts a whole node into the innermost open collection.
    pub(super) fn add(&mut self, node: Node, dialect: Dialect, duplicates: Duplicates) {
        let mark = node.mark;
        let outcome = match self.open.last_mut().map(|open| &mut open.items) {
            None => {
                self.root = Some(node);
                Ok(())
            }
            Some(Items::Sequence(items)) => {
                items.push(node);
                Ok(())
            }
            Some(Items::Mapping { entries, key }) => match key.take() {
                None => {
                    let read = read_key(node, dialect, duplicates);
                    let outcome = read.as_ref().map(|_| ()).map_err(|p| p.clone().at(mark));
                    *key = Some(read.unwrap_or(Key::Faulty));
                    outcome
                }
                Some(Key::Named(key, mark)) => {
                    let entry = Entry { key, mark, value: node };
                    entries.add(entry, duplicates).map_err(|p| p.at(mark))
                }
                Some(Key::Faulty) => Ok(()),
                Some(Key::Merge) => merge(entries, node, dialect).map_err(|p| p.at(mark)),
            },
        };
        if let Err(error) = outcome {
            self.fault(error);
        }
    }

    pub(super) fn tag(
        &mut self,
        tag: Option<&granit_parser::Tag>,
        mark: Mark,
        shape: Shape,
    ) -> Tag {
        let Some(tag) = tag else { return Tag::None };
        let name = tag.suffix_in_namespace("tag:yaml.org,2002:");
        let known = match name.as_deref() {
            None if tag.original() == "!" => Some(Tag::Text),
            Some("str") => Some(Tag::Str),
            Some("int") => Some(Tag::Int),
            Some("float") => Some(Tag::Float),
            Some("bool") => Some(Tag::Bool),
            Some("null") => Some(Tag::Null),
            Some("binary") => Some(Tag::Binary),
            Some("timestamp") => Some(Tag::Timestamp),
            Some("merge") => Some(Tag::Merge),
            Some("seq") => Some(Tag::Seq),
            Some("map") => Some(Tag::Map),
            // Of some program that gives it a meaning; to everyone else it has none.
            _ => None,
        };
        let fits = match (shape, known) {
            (_, None | Some(Tag::Text)) | (Shape::Scalar, Some(_)) => true,
            (Shape::Sequence, Some(tag)) => tag == Tag::Seq,
            (Shape::Mapping, Some(tag)) => tag == Tag::Map,
        };
        if !fits {
            let shown: String = tag.original().chars().take(ECHO_MAX).collect();
            self.fault(Problem::MisplacedTag(shown).at(mark));
        }
        known.unwrap_or(Tag::Text)
    }
}

fn read_key(node: Node, dialect: Dialect, duplicates: Duplicates) -> Result<Key, Problem> {
    match node.content {
        Content::Sequence(_) => Err(Problem::KeyNotScalar("a list")),
        Content::Mapping(_) => Err(Problem::KeyNotScalar("a mapping")),
        Content::Scalar(scalar) if scalar.is_merge() => Ok(Key::Merge),
        Content::Scalar(scalar) => match scalar.key(dialect) {
            Err(Problem::KeyNotText(_)) if duplicates == Duplicates::FirstWins => {
                Ok(Key::Named(scalar.text, node.mark))
            }
            key => Ok(Key::Named(key?, node.mark)),
        },
    }
}

/// Merges what follows a merge key; of a list, the earlier mapping wins.
fn merge(into: &mut UniqueEntries, node: Node, dialect: Dialect) -> Result<(), Problem> {
    match node.content {
        Content::Mapping(entries) => into.merge(entries, dialect),
        Content::Scalar(_) => return Err(Problem::MergeNeedsMapping),
        Content::Sequence(items) => {
            for item in items.into_iter().rev() {
                let Content::Mapping(entries) = item.content else {
                    return Err(Problem::MergeNeedsMapping);
                };
                into.merge(entries, dialect);
            }
        }
    }
    Ok(())
}
