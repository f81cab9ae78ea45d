//! Reads a mapping strictly: known keys, right types, every fault with its place.

use std::time::Duration;

use leeward_yaml::{Content, Dialect, Entry, Mark, Node, Resolved};

use crate::{
    model::parse_duration,
    render::{
        faults::{Faults, Place},
        object::must_be,
    },
};

/// How alike (0 to 1) a known key must be to be suggested for an unknown one.
const SUGGEST_MIN: f64 = 0.7;

/// Collects the faults of one file.
pub(super) struct Reader<'f> {
    file: &'f str,
    pub(super) faults: Faults,
}

/// A mapping that has been checked for unknown keys.
pub(super) struct Fields<'n> {
    path: String,
    mark: Mark,
    is_mapping: bool,
    entries: &'n [Entry],
}

impl<'n> Fields<'n> {
    fn find(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Where the value of a key is, or the mapping when it is missing.
    pub(super) fn mark_of(&self, key: &str) -> Mark {
        self.find(key).map_or(self.mark, |node| node.mark)
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl<'f> Reader<'f> {
    pub(super) fn new(file: &'f str, faults: Faults) -> Self {
        Self { file, faults }
    }

    pub(super) fn fault(&mut self, mark: Mark, message: impl Into<String>) {
        self.faults.at(Place { file: self.file, mark }, message);
    }

    /// Opens a mapping; `path` names it in messages, empty for the document.
    pub(super) fn fields<'n>(&mut self, node: &'n Node, path: &str, known: &[&str]) -> Fields<'n> {
        let is_mapping = matches!(node.content, Content::Mapping(_));
        if !is_mapping {
            let path = if path.is_empty() { "the document" } else { path };
            self.wrong(node, path, &format!("a mapping of {}", known.join(", ")));
        }
        for entry in node.entries().iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            self.fault(entry.mark, unknown_key(&entry.key, known));
        }
        Fields { path: path.to_owned(), mark: node.mark, is_mapping, entries: node.entries() }
    }

    pub(super) fn optional<'n, T>(
        &mut self,
        fields: &Fields<'n>,
        key: &str,
        read: impl FnOnce(&mut Self, &'n Node, &str) -> Option<T>,
    ) -> Option<T> {
        let node = fields.find(key)?;
        read(self, node, &fields.path_of(key))
    }

    pub(super) fn required<'n, T>(
        &mut self,
        fields: &Fields<'n>,
        key: &str,
        read: impl FnOnce(&mut Self, &'n Node, &str) -> Option<T>,
    ) -> Option<T> {
        // Nothing is missing from what is not a mapping: that has been said.
        if !fields.has(key) && fields.is_mapping {
            self.fault(fields.mark, format!("{} is missing", fields.path_of(key)));
        }
        self.optional(fields, key, read)
    }

    pub(super) fn text<'n>(&mut self, node: &'n Node, path: &str) -> Option<&'n str> {
        let text = node.text(Dialect::Kubernetes);
        if text.is_none() {
            self.wrong(node, path, "a string");
        }
        text
    }

    /// A list of strings, each with its place.
    pub(super) fn texts(&mut self, node: &Node, path: &str) -> Option<Vec<(String, Mark)>> {
        let items = self.items(node, path)?;
        let read = items.iter().filter_map(|(item, path)| {
            self.text(item, path).map(|text| (text.to_owned(), item.mark))
        });
        Some(read.collect())
    }

    /// The items of a list, each with its path.
    pub(super) fn items<'n>(
        &mut self,
        node: &'n Node,
        path: &str,
    ) -> Option<Vec<(&'n Node, String)>> {
        let Content::Sequence(items) = &node.content else {
            self.wrong(node, path, "a list");
            return None;
        };
        let named = items.iter().enumerate();
        Some(named.map(|(index, item)| (item, format!("{path}[{index}]"))).collect())
    }

    pub(super) fn one_of<T: Clone>(
        &mut self,
        node: &Node,
        path: &str,
        allowed: &[(&str, T)],
    ) -> Option<T> {
        let text = node.text(Dialect::Kubernetes);
        if let Some((_, value)) = allowed.iter().find(|(name, _)| Some(*name) == text) {
            return Some(value.clone());
        }
        let names: Vec<&str> = allowed.iter().map(|(name, _)| *name).collect();
        let found = node.describe(Dialect::Kubernetes);
        self.fault(node.mark, format!("{path} must be {}, found {found}", names.join(" or ")));
        None
    }

    pub(super) fn duration(&mut self, node: &Node, path: &str) -> Option<Duration> {
        let Some(text) = node.text(Dialect::Kubernetes) else {
            self.wrong(node, path, "a duration such as 30s, 5m or 1h30m");
            return None;
        };
        parse_duration(text)
            .map_err(|message| self.fault(node.mark, format!("{path}: {message}")))
            .ok()
    }

    pub(super) fn boolean(&mut self, node: &Node, path: &str) -> Option<bool> {
        let Some(Resolved::Bool(value)) = number(node) else {
            self.wrong(node, path, "true or false");
            return None;
        };
        Some(value)
    }

    pub(super) fn count(&mut self, node: &Node, path: &str) -> Option<u32> {
        let count = match number(node) {
            Some(Resolved::Integer(value)) => u32::try_from(value).ok(),
            _ => None,
        };
        if count.is_none() {
            self.wrong(node, path, "a whole number from 0");
        }
        count
    }

    pub(super) fn share(&mut self, node: &Node, path: &str) -> Option<f64> {
        let share = match number(node) {
            Some(Resolved::Integer(0)) => Some(0.0),
            Some(Resolved::Integer(1)) => Some(1.0),
            Some(Resolved::Float(value)) if (0.0..=1.0).contains(&value) => Some(value),
            _ => None,
        };
        if share.is_none() {
            self.wrong(node, path, "a number from 0 to 1");
        }
        share
    }

    pub(super) fn wrong(&mut self, node: &Node, path: &str, wanted: &str) {
        self.fault(node.mark, must_be(path, wanted, node));
    }
}

fn number(node: &Node) -> Option<Resolved> {
    match &node.content {
        Content::Scalar(scalar) => scalar.resolve(Dialect::Kubernetes).ok(),
        Content::Sequence(_) | Content::Mapping(_) => None,
    }
}

fn unknown_key(key: &str, known: &[&str]) -> String {
    let shown: String = key.chars().take(60).collect();
    let likeness = |candidate: &str| {
        strsim::normalized_damerau_levenshtein(&shown.to_lowercase(), &candidate.to_lowercase())
    };
    let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|nearest| likeness(nearest) >= SUGGEST_MIN) {
        Some(nearest) => format!("unknown key {shown:?}: did you mean {nearest:?}?"),
        None => format!("unknown key {shown:?}: known are {}", known.join(", ")),
    }
}
