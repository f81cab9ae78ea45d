//! Mappings into structures, as Go's JSON decoder reads them: keys whatever
//! their case, null as absent, unknown keys refused where upstream does.

use std::{cell::RefCell, collections::BTreeMap};

use leeward_yaml::{Content, Dialect, Entry, Mark, Node, Resolved};

use crate::error::{Outcome, Problem};

const DIALECT: Dialect = Dialect::Kubernetes;

/// How strictly something is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode {
    /// Unknown keys are errors.
    pub(crate) strict: bool,
    /// Numbers and booleans pass for texts.
    pub(crate) coerce: bool,
}

/// `kustomization.yaml` itself.
pub(crate) const KUSTOMIZATION: Mode = Mode { strict: true, coerce: false };
/// Field specs of `configurations`.
pub(crate) const CONFIGURATION: Mode = Mode { strict: true, coerce: true };
/// Configurations of built-in generators and transformers.
pub(crate) const PLUGIN: Mode = Mode { strict: false, coerce: true };

/// A text, and where it stands: references are reported there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) text: String,
    pub(crate) mark: Mark,
}

/// A mapping that is read key by key.
pub(crate) struct Table<'n> {
    node: &'n Node,
    /// What it is called: `images[0]`.
    path: String,
    mode: Mode,
    used: RefCell<Vec<bool>>,
}

impl<'n> Table<'n> {
    pub(crate) fn of(node: &'n Node, path: impl Into<String>, mode: Mode) -> Outcome<Self> {
        let path = path.into();
        let Content::Mapping(entries) = &node.content else {
            return Err(wrong(node, &path, "must be a mapping"));
        };
        Ok(Self { node, path, mode, used: RefCell::new(vec![false; entries.len()]) })
    }

    pub(crate) fn node(&self) -> &'n Node {
        self.node
    }

    fn find(&self, key: &str) -> Option<&'n Entry> {
        let entries = self.node.entries();
        let mut found = None;
        for (at, entry) in entries.iter().enumerate() {
            if entry.key.eq_ignore_ascii_case(key) {
                self.used.borrow_mut()[at] = true;
                if found.is_none() || entry.key == key {
                    found = Some(entry);
                }
            }
        }
        found.filter(|entry| !entry.value.is_null(DIALECT))
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'n Node> {
        self.find(key).map(|entry| &entry.value)
    }

    fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(crate) fn text(&self, key: &str) -> Outcome<String> {
        self.get(key).map_or(Ok(String::new()), |node| self.text_of(node, &self.name(key)))
    }

    fn text_of(&self, node: &Node, name: &str) -> Outcome<String> {
        let Some(scalar) = node.as_scalar() else {
            return Err(wrong(node, name, "must be a string"));
        };
        let text = match scalar.resolve(DIALECT) {
            Ok(Resolved::Text) => Some(scalar.text.clone()),
            Ok(Resolved::Decoded(text)) => Some(text),
            Ok(Resolved::Null) => Some(String::new()),
            Ok(Resolved::Bool(value)) if self.mode.coerce => Some(value.to_string()),
            Ok(Resolved::Integer(value)) if self.mode.coerce => Some(value.to_string()),
            Ok(Resolved::Unsigned(value)) if self.mode.coerce => Some(value.to_string()),
            Ok(Resolved::Float(value)) if self.mode.coerce => Some(value.to_string()),
            _ => None,
        };
        text.ok_or_else(|| wrong(node, name, "must be a string: quote it"))
    }

    pub(crate) fn flag(&self, key: &str) -> Outcome<bool> {
        let Some(node) = self.get(key) else { return Ok(false) };
        match node.as_scalar().map(|scalar| scalar.resolve(DIALECT)) {
            Some(Ok(Resolved::Bool(value))) => Ok(value),
            _ => Err(wrong(node, &self.name(key), "must be true or false")),
        }
    }

    pub(crate) fn integer(&self, key: &str) -> Outcome<i64> {
        let Some(node) = self.get(key) else { return Ok(0) };
        let whole = match node.as_scalar().map(|scalar| scalar.resolve(DIALECT)) {
            Some(Ok(Resolved::Integer(value))) => Some(value),
            Some(Ok(Resolved::Float(value))) if value.fract() == 0.0 => {
                format!("{value}").parse().ok()
            }
            _ => None,
        };
        whole.ok_or_else(|| wrong(node, &self.name(key), "must be a whole number"))
    }

    pub(crate) fn list(&self, key: &str) -> Outcome<&'n [Node]> {
        match self.get(key) {
            None => Ok(&[]),
            Some(node) if node.is_sequence() => Ok(node.items()),
            Some(node) => Err(wrong(node, &self.name(key), "must be a list")),
        }
    }

    pub(crate) fn texts(&self, key: &str) -> Outcome<Vec<String>> {
        let item =
            |(at, node): (usize, &Node)| self.text_of(node, &format!("{}[{at}]", self.name(key)));
        self.list(key)?.iter().enumerate().map(item).collect()
    }

    pub(crate) fn located(&self, key: &str) -> Outcome<Vec<Located>> {
        let marks = self.list(key)?.iter().map(|node| node.mark);
        let texts = self.texts(key)?.into_iter();
        Ok(texts.zip(marks).map(|(text, mark)| Located { text, mark }).collect())
    }

    pub(crate) fn text_map(&self, key: &str) -> Outcome<BTreeMap<String, String>> {
        let Some(node) = self.get(key) else { return Ok(BTreeMap::new()) };
        if !node.is_mapping() {
            return Err(wrong(node, &self.name(key), "must be a mapping"));
        }
        let entry = |entry: &Entry| {
            let name = format!("{}.{}", self.name(key), entry.key);
            Ok((entry.key.clone(), self.text_of(&entry.value, &name)?))
        };
        node.entries().iter().map(entry).collect()
    }

    /// Each item of a list is a mapping that `read` understands.
    pub(crate) fn tables<T>(
        &self,
        key: &str,
        read: impl Fn(&Table<'n>) -> Outcome<T>,
    ) -> Outcome<Vec<T>> {
        let item = |(at, node): (usize, &'n Node)| {
            let table = Table::of(node, format!("{}[{at}]", self.name(key)), self.mode)?;
            table.read(&read)
        };
        self.list(key)?
            .iter()
            .enumerate()
            .filter(|(_, node)| !node.is_null(DIALECT))
            .map(item)
            .collect()
    }

    pub(crate) fn table<T>(
        &self,
        key: &str,
        read: impl Fn(&Table<'n>) -> Outcome<T>,
    ) -> Outcome<Option<T>> {
        let Some(node) = self.get(key) else { return Ok(None) };
        Table::of(node, self.name(key), self.mode)?.read(read).map(Some)
    }

    /// Reads, and refuses what was not asked for.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Self) -> Outcome<T>) -> Outcome<T> {
        let value = read(self)?;
        if self.mode.strict {
            let used = self.used.borrow();
            let unknown = self.node.entries().iter().zip(used.iter()).find(|(_, used)| !**used);
            if let Some((entry, _)) = unknown {
                return Err(wrong_at(entry.mark, &self.name(&entry.key), "no such field"));
            }
        }
        Ok(value)
    }

    /// An error about a key.
    pub(crate) fn wrong(&self, key: &str, message: &str) -> Box<crate::BuildError> {
        let mark = self.get(key).map_or(self.node.mark, |node| node.mark);
        wrong_at(mark, &self.name(key), message)
    }
}

fn wrong(node: &Node, field: &str, message: &str) -> Box<crate::BuildError> {
    let found = node.describe_type(DIALECT);
    wrong_at(node.mark, field, &format!("{message}, found {found}"))
}

fn wrong_at(mark: Mark, field: &str, message: &str) -> Box<crate::BuildError> {
    let problem = Problem::Field { field: field.to_owned(), message: message.to_owned() };
    Box::<crate::BuildError>::from(problem).at("", Some(mark))
}
