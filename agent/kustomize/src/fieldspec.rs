//! Field specs: which fields of which kinds a transformation is about.

use std::fmt;

use leeward_yaml::{Content, Node, Style, Tag};

use crate::{
    error::{Outcome, Problem},
    id::{Gvk, split_api_version},
};

/// Names in a path. Those of Kubernetes have 12.
const PATH_MAX: usize = 100;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSpec {
    /// Empty parts stand for everything.
    pub(crate) gvk: Gvk,
    /// `spec/template/metadata/labels`; `\/` is a slash within a name.
    pub(crate) path: String,
    /// Whether missing fields are made.
    pub(crate) create: bool,
}

impl fmt::Display for FieldSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)
    }
}

/// What is made where a field is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Create {
    Nothing,
    Scalar,
    Mapping,
}

/// Changes one field.
pub(crate) type Set<'a> = &'a mut dyn FnMut(&mut Node) -> Outcome<()>;

impl FieldSpec {
    pub(crate) fn of_path(path: &str) -> Self {
        Self { gvk: Gvk::default(), path: path.to_owned(), create: true }
    }

    fn is_about(&self, object: &Node) -> bool {
        let text = |key| object.get(key).map(Node::raw).unwrap_or_default();
        let (group, version) = split_api_version(text("apiVersion"));
        let fits = |wanted: &str, own: &str| wanted.is_empty() || wanted == own;
        fits(&self.gvk.kind, text("kind"))
            && fits(&self.gvk.group, group)
            && fits(&self.gvk.version, version)
    }

    /// Calls `set` with every field of the object that the path leads to.
    pub(crate) fn apply(&self, object: &mut Node, create: Create, set: Set<'_>) -> Outcome<()> {
        if !self.is_about(object) {
            return Ok(());
        }
        let path = split_path(&self.path, '/');
        if path.len() > PATH_MAX {
            return Err(Problem::Limit { what: "names in a path", limit: PATH_MAX }.into());
        }
        let create = if self.create { create } else { Create::Nothing };
        walk(object, &path, create, set).map_err(|mut error| {
            if let Problem::Field { field, .. } = &mut error.problem
                && field.is_empty()
            {
                field.clone_from(&self.path);
            }
            error
        })
    }
}

/// Calls `set` for every spec in turn.
pub(crate) fn apply_all(
    specs: &[FieldSpec],
    object: &mut Node,
    create: Create,
    set: Set<'_>,
) -> Outcome<()> {
    specs.iter().try_for_each(|spec| spec.apply(object, create, set))
}

fn walk(node: &mut Node, path: &[String], create: Create, set: Set<'_>) -> Outcome<()> {
    let Some((first, rest)) = path.split_first() else { return set(node) };
    if node.is_nothing() {
        return Ok(());
    }
    match &mut node.content {
        Content::Sequence(items) => {
            items.iter_mut().try_for_each(|item| walk(item, path, create, set))
        }
        Content::Scalar(_) => {
            let message = "a mapping or a list is expected on the way to it".to_owned();
            Err(Problem::Field { field: String::new(), message }.into())
        }
        Content::Mapping(_) => {
            let (name, is_list) =
                first.strip_suffix("[]").map_or((first.as_str(), false), |name| (name, true));
            if name.is_empty() {
                let message = "the path has an empty name".to_owned();
                return Err(Problem::Field { field: String::new(), message }.into());
            }
            // These are questions to lists, and upstream takes nothing else for a wildcard.
            if matches!(name, "*" | "-") || name.parse::<i64>().is_ok() {
                let message = format!("{name:?} in the path is no name of a field");
                return Err(Problem::Field { field: String::new(), message }.into());
            }
            let creates = create != Create::Nothing && !is_list;
            let makes = if rest.is_empty() { create } else { Create::Mapping };
            let found = node.get(name).map(Node::is_nothing);
            match found {
                None if !creates => return Ok(()),
                None => node.put(name, made(makes)),
                Some(true) if creates => node.put(name, made(makes)),
                Some(true) if is_list => node.put(name, Node::sequence(Vec::new())),
                Some(_) => {}
            }
            node.get_mut(name).map_or(Ok(()), |field| walk(field, rest, create, set))
        }
    }
}

fn made(create: Create) -> Node {
    match create {
        Create::Mapping => Node::mapping(),
        Create::Scalar | Create::Nothing => Node::scalar("", Style::Plain, Tag::Str),
    }
}

/// Splits at a delimiter that has no backslash in front; a leading one is ignored.
pub(crate) fn split_path(path: &str, delimiter: char) -> Vec<String> {
    let mut parts: Vec<&str> = path.split(delimiter).collect();
    if parts.len() > 1 && parts[0].is_empty() {
        parts.remove(0);
    }
    let mut found: Vec<String> = Vec::new();
    for part in parts {
        match found.last_mut() {
            Some(last) if last.ends_with('\\') => {
                last.pop();
                last.push(delimiter);
                last.push_str(part);
            }
            _ => found.push(part.to_owned()),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backslash_keeps_a_delimiter_in_a_name() {
        let parts = |path| split_path(path, '/').join(" ");
        assert_eq!(parts("a/b"), "a b");
        assert_eq!(parts("/a/b"), "a b");
        assert_eq!(parts(r"metadata/annotations/x.io\/y"), "metadata annotations x.io/y");
    }
}
