//! JSON patches (RFC 6902), with the liberties of the library that upstream
//! uses: negative indices count from the end.

use leeward_yaml::{self as yaml, Content, Dialect, Entry, Node};

use crate::{
    budget::Budget,
    error::{Outcome, Problem},
    loader::parse,
    resource::Resource,
};

/// Operations in order.
#[derive(Clone, Debug)]
pub(crate) struct JsonPatch {
    operations: Vec<Operation>,
}

#[derive(Clone, Debug)]
struct Operation {
    name: String,
    path: String,
    from: String,
    value: Option<Node>,
    mark: yaml::Mark,
}

/// Why a text is no JSON patch.
pub(crate) struct NotJson {
    pub(crate) error: Box<crate::BuildError>,
    /// It is a list, so it was meant to be one.
    pub(crate) looks_like_one: bool,
}

type Step<T> = Result<T, String>;

impl JsonPatch {
    pub(crate) fn read(bytes: &[u8], limits: yaml::Limits) -> Result<Self, NotJson> {
        let plain = |error| NotJson { error, looks_like_one: false };
        let document = parse(bytes, yaml::Duplicates::LastWins, limits).map_err(plain)?;
        let Some(Node { content: Content::Sequence(items), .. }) = document else {
            return Err(plain(super::problem("", "a JSON patch is a list of operations")));
        };
        let operations = items.iter().map(Operation::read).collect::<Outcome<_>>();
        let operations = operations.map_err(|error| NotJson { error, looks_like_one: true })?;
        Ok(Self { operations })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    pub(crate) fn apply(
        &self,
        resource: &mut Resource,
        budget: &Budget,
        name: &str,
    ) -> Outcome<()> {
        // Upstream keeps its notes in annotations, so that they are there to be added to.
        if resource.has_build_state()
            && let Some(metadata) = resource.node.mapping_at("metadata")
        {
            metadata.mapping_at("annotations");
        }
        let mark = resource.node.mark;
        let mut document = std::mem::replace(&mut resource.node, Node::mapping());
        document.through_json();
        for operation in &self.operations {
            operation.apply(&mut document, budget)?.map_err(|message| {
                let message = format!("{} {}: {message}", operation.name, operation.path);
                let problem = Problem::Patch {
                    patch: name.to_owned(),
                    message: format!("{message} (of {})", describe(&document)),
                };
                Box::<crate::BuildError>::from(problem).at(name, Some(operation.mark))
            })?;
        }
        document.mark = mark;
        resource.node = document;
        Ok(())
    }
}

fn describe(node: &Node) -> String {
    let text = |path: &[&str]| node.at(path).map(Node::raw).unwrap_or_default();
    format!("{} {}", text(&["kind"]), text(&["metadata", "name"]))
}

impl Operation {
    fn read(node: &Node) -> Outcome<Self> {
        let mark = node.mark;
        if !node.is_mapping() {
            return Err(super::problem("", "an operation must be a mapping").at("", Some(mark)));
        }
        let text = |key: &str| node.get(key).map(Node::raw).unwrap_or_default().to_owned();
        let (name, path, from) = (text("op"), text("path"), text("from"));
        let mut value = node.get("value").cloned();
        if let Some(value) = &mut value {
            value.each_scalar(&mut as_json);
        }
        Ok(Self { name, path, from, value, mark })
    }

    fn value(&self) -> Node {
        self.value.clone().unwrap_or_else(null)
    }

    fn apply(&self, document: &mut Node, budget: &Budget) -> Outcome<Step<()>> {
        let level = self.path.matches('/').count();
        match &self.value {
            Some(value) => budget.put(value, level)?,
            None => budget.put(&null(), level)?,
        }
        Ok(match self.name.as_str() {
            "add" => add(document, &self.path, self.value()),
            "remove" => remove(document, &self.path).map(drop),
            "replace" => replace(document, &self.path, self.value()),
            "test" => test(document, &self.path, self.value.as_ref()),
            "move" => match remove(document, &self.from) {
                Ok(value) => {
                    budget.put(&value, level)?;
                    add(document, &self.path, value)
                }
                Err(message) => Err(message),
            },
            "copy" => match find_to_copy(document, &self.from) {
                Ok(value) => {
                    budget.put(&value, level)?;
                    add(document, &self.path, value)
                }
                Err(message) => Err(message),
            },
            other => Err(format!("{:?} is no operation", crate::error::echo(other))),
        })
    }
}

fn null() -> Node {
    Node::scalar("null", yaml::Style::Plain, yaml::Tag::Null)
}

/// Fixes what a scalar is to the dialect of patches, which reads `yes` as true.
fn as_json(scalar: &mut yaml::Scalar) {
    if let Ok(yaml::Resolved::Bool(value)) = scalar.resolve(Dialect::Kubernetes) {
        scalar.text = value.to_string();
        scalar.tag = yaml::Tag::Bool;
        scalar.style = yaml::Style::Plain;
    } else {
        let was_timestamp_like = scalar.tag == yaml::Tag::None;
        scalar.settle();
        if was_timestamp_like && scalar.tag == yaml::Tag::Timestamp {
            scalar.tag = yaml::Tag::Str;
        }
    }
}

/// The names of a pointer, its escapes resolved.
fn segments(path: &str) -> Step<Vec<String>> {
    // What stands before the first slash is not looked at, as upstream has it.
    let Some((_, rest)) = path.split_once('/') else {
        return Err("the path has no slash".to_owned());
    };
    Ok(rest.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect())
}

fn parent<'n>(document: &'n mut Node, path: &str) -> Step<(&'n mut Node, String)> {
    let mut names = segments(path)?;
    let last = names.pop().unwrap_or_default();
    let mut node = document;
    for name in names {
        let found = match &mut node.content {
            Content::Mapping(entries) => {
                entries.iter_mut().find(|entry| entry.key == name).map(|entry| &mut entry.value)
            }
            Content::Sequence(items) => {
                let at = index(&name, items.len())?;
                items.get_mut(at)
            }
            Content::Scalar(_) => None,
        };
        node = found.ok_or_else(|| format!("there is no {name:?} on the way"))?;
    }
    Ok((node, last))
}

fn find<'n>(document: &'n Node, path: &str) -> Step<&'n Node> {
    let mut node = document;
    if path.is_empty() {
        return Ok(node);
    }
    for name in segments(path)? {
        let found = match &node.content {
            Content::Mapping(_) => node.get(&name),
            Content::Sequence(items) => items.get(index(&name, items.len())?),
            Content::Scalar(_) => None,
        };
        node = found.ok_or_else(|| format!("there is no {name:?}"))?;
    }
    Ok(node)
}

/// A key that is not there is copied as null: so does the library of upstream.
fn find_to_copy(document: &Node, path: &str) -> Step<Node> {
    find(document, path).cloned().or_else(|message| {
        let (folder, _) = path.rsplit_once('/').ok_or_else(|| message.clone())?;
        let is_there = find(document, folder).is_ok_and(Node::is_mapping);
        if is_there { Ok(null()) } else { Err(message) }
    })
}

/// An index into a list of so many items; negative ones count from the end.
fn index(name: &str, len: usize) -> Step<usize> {
    let number: i64 = name.parse().map_err(|_| format!("{name:?} is no index"))?;
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let at = if number < 0 { number + len } else { number };
    usize::try_from(at).map_err(|_| format!("the list has no item {number}"))
}

fn add(document: &mut Node, path: &str, value: Node) -> Step<()> {
    let (node, name) = parent(document, path)?;
    match &mut node.content {
        Content::Mapping(entries) => {
            match entries.iter_mut().find(|entry| entry.key == name) {
                Some(entry) => entry.value = value,
                None => entries.push(Entry { key: name, mark: value.mark, value }),
            }
            Ok(())
        }
        Content::Sequence(items) if name == "-" => {
            items.push(value);
            Ok(())
        }
        Content::Sequence(items) => {
            let at = index(&name, items.len() + 1)?;
            if at > items.len() {
                return Err(format!("the list has {} items", items.len()));
            }
            items.insert(at, value);
            Ok(())
        }
        Content::Scalar(_) => Err("there is neither a mapping nor a list".to_owned()),
    }
}

fn remove(document: &mut Node, path: &str) -> Step<Node> {
    let (node, name) = parent(document, path)?;
    match &mut node.content {
        Content::Mapping(_) => node.remove(&name).ok_or_else(|| format!("there is no {name:?}")),
        Content::Sequence(items) => {
            let at = index(&name, items.len())?;
            if at >= items.len() {
                return Err(format!("the list has {} items", items.len()));
            }
            Ok(items.remove(at))
        }
        Content::Scalar(_) => Err("there is neither a mapping nor a list".to_owned()),
    }
}

fn replace(document: &mut Node, path: &str, value: Node) -> Step<()> {
    if path.is_empty() {
        *document = value;
        return Ok(());
    }
    let (node, name) = parent(document, path)?;
    match &mut node.content {
        // A key that is not there is made: so does the library of upstream.
        Content::Mapping(_) => node.put(&name, value),
        Content::Sequence(items) => {
            let at = index(&name, items.len())?;
            *items.get_mut(at).ok_or_else(|| format!("there is no item {name:?}"))? = value;
        }
        Content::Scalar(_) => return Err("there is neither a mapping nor a list".to_owned()),
    }
    Ok(())
}

fn test(document: &Node, path: &str, value: Option<&Node>) -> Step<()> {
    let json = |node: Node| node.into_json(Dialect::Kustomize).ok();
    let wanted = value.cloned().unwrap_or_else(null);
    let found = match find(document, path) {
        Ok(found) => found.clone(),
        Err(_) if wanted.is_nothing() => return Ok(()),
        Err(message) => return Err(message),
    };
    if json(found) == json(wanted) { Ok(()) } else { Err("the value is another".to_owned()) }
}
