//! Paths of replacements: `spec.containers.[name=web].ports.0.containerPort`.

use leeward_yaml::{Content, Node};
use regex::Regex;

use super::blank_scalar;
use crate::fieldspec::split_path;

/// What is made at the end of a path that leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Make {
    Scalar,
    Mapping,
    Sequence,
}

impl Make {
    pub(super) fn like(value: &Node) -> Self {
        match value.content {
            Content::Scalar(_) => Self::Scalar,
            Content::Mapping(_) => Self::Mapping,
            Content::Sequence(_) => Self::Sequence,
        }
    }

    /// What stands before `next`: a list before an index.
    fn before(self, next: Option<&String>) -> Node {
        let kind = match next {
            None => self,
            Some(next) if is_match(next) || is_index(next) => Self::Sequence,
            Some(_) => Self::Mapping,
        };
        match kind {
            Self::Scalar => blank_scalar(),
            Self::Mapping => Node::mapping(),
            Self::Sequence => Node::sequence(Vec::new()),
        }
    }
}

/// Splits at dots that are neither escaped nor in brackets.
pub(crate) fn split(path: &str) -> Vec<String> {
    let mut parts = split_path(path, '.').into_iter();
    let mut found = Vec::new();
    while let Some(part) = parts.next() {
        if !part.starts_with('[') || part.ends_with(']') {
            found.push(part);
            continue;
        }
        let mut whole = part;
        for part in parts.by_ref() {
            whole.push('.');
            whole.push_str(&part);
            if part.ends_with(']') {
                break;
            }
        }
        let is_condition = whole.contains('=');
        found.push(if is_condition { whole } else { whole.trim_matches(['[', ']']).to_owned() });
    }
    found
}

fn is_match(part: &str) -> bool {
    part.starts_with('[') && part.ends_with(']')
}

fn is_index(part: &str) -> bool {
    part.parse::<usize>().is_ok()
}

/// `[key=value]`; an empty key stands for the item itself.
fn condition(part: &str) -> Result<(&str, &str), String> {
    let inner = part.strip_suffix(']').unwrap_or(part);
    let inner = inner.strip_prefix('[').unwrap_or(inner);
    inner.split_once('=').ok_or_else(|| format!("{part:?} must be [field=value]"))
}

/// The value at a path, to be read. Conditions are exact.
pub(crate) fn look_up<'n>(node: &'n Node, path: &[String]) -> Result<Option<&'n Node>, String> {
    let mut found = node;
    for part in path.iter().map(|part| part.trim()).filter(|part| !part.is_empty()) {
        if found.is_nothing() {
            return Ok(None);
        }
        let next = match &found.content {
            Content::Sequence(items) if part == "-" => items.last(),
            Content::Sequence(items) if is_match(part) => {
                let (key, value) = condition(part)?;
                items.iter().find(|item| {
                    if key.is_empty() {
                        item.raw() == value
                    } else {
                        item.get(key).is_some_and(|found| found.raw() == value)
                    }
                })
            }
            Content::Sequence(items) => match part.parse::<usize>() {
                Ok(at) => items.get(at),
                Err(_) => return Err(format!("{part:?} is asked of a list")),
            },
            Content::Mapping(_) if !is_match(part) && !is_index(part) => found.get(part),
            Content::Mapping(_) | Content::Scalar(_) => {
                return Err(format!("{part:?} is asked of what does not have it"));
            }
        };
        match next {
            Some(next) => found = next,
            None => return Ok(None),
        }
    }
    Ok(Some(found))
}

type Visitor<'v> = &'v mut dyn FnMut(&mut Node) -> Result<(), String>;

/// Calls `set` with everything that the path leads to; how many that was.
/// Conditions are regular expressions here.
pub(super) fn visit(
    node: &mut Node,
    path: &[String],
    make: Option<Make>,
    set: Visitor<'_>,
) -> Result<usize, String> {
    let Some((first, rest)) = path.split_first() else {
        set(node)?;
        return Ok(1);
    };
    if is_index(first) {
        return at_index(node, first, rest, make, set);
    }
    if is_match(first) {
        return matching(node, first, rest, make, set);
    }
    if first == "*" {
        let Some(items) = items(node)? else { return Ok(0) };
        return items.iter_mut().try_fold(0, |sum, item| Ok(sum + visit(item, rest, make, set)?));
    }
    field(node, first, rest, make, set)
}

/// The items of a list; none of null.
fn items(node: &mut Node) -> Result<Option<&mut Vec<Node>>, String> {
    if node.is_nothing() {
        return Ok(None);
    }
    match &mut node.content {
        Content::Sequence(items) => Ok(Some(items)),
        Content::Mapping(_) | Content::Scalar(_) => Err("a list is expected".to_owned()),
    }
}

fn field(
    node: &mut Node,
    name: &str,
    rest: &[String],
    make: Option<Make>,
    set: Visitor<'_>,
) -> Result<usize, String> {
    if !node.is_nothing() && !node.is_mapping() {
        return Err(format!("{name:?} is asked of what is no mapping"));
    }
    if node.get(name).is_none() {
        let Some(make) = make else { return Ok(0) };
        if node.is_nothing() {
            return Ok(0);
        }
        node.put(name, make.before(rest.first()));
    }
    let Some(found) = node.get_mut(name) else { return Ok(0) };
    if found.as_scalar().is_some() && !rest.is_empty() {
        return Err(format!("{name:?} is a scalar"));
    }
    visit(found, rest, make, set)
}

fn at_index(
    node: &mut Node,
    index: &str,
    rest: &[String],
    make: Option<Make>,
    set: Visitor<'_>,
) -> Result<usize, String> {
    let at: usize = index.parse().map_err(|_| format!("{index:?} is no index"))?;
    let items = items(node)?.ok_or_else(|| "the list is null".to_owned())?;
    if let Some(make) = make
        && items.len() == at
    {
        items.push(make.before(rest.first()));
    }
    let count = items.len();
    let item =
        items.get_mut(at).ok_or_else(|| format!("index {at} is asked of a list of {count}"))?;
    visit(item, rest, make, set)
}

fn matching(
    node: &mut Node,
    part: &str,
    rest: &[String],
    make: Option<Make>,
    set: Visitor<'_>,
) -> Result<usize, String> {
    let (key, pattern) = condition(part)?;
    let regex =
        Regex::new(pattern).map_err(|_| format!("{pattern:?} is not a regular expression"))?;
    let Some(list) = items(node)? else { return Ok(0) };
    let mut found = 0;
    let mut visit_all = |list: &mut Vec<Node>| {
        for item in list {
            let fits = if key.is_empty() {
                item.as_scalar().is_some_and(|scalar| regex.is_match(scalar.text.trim()))
            } else {
                item.get(key).is_some_and(|value| regex.is_match(value.raw().trim()))
            };
            if fits {
                found += visit(item, if key.is_empty() { &[] } else { rest }, make, set)?;
            }
        }
        Ok::<_, String>(found)
    };
    if visit_all(list)? > 0 || make.is_none() {
        return Ok(found);
    }
    let mut item = Node::plain_of(pattern);
    if !key.is_empty() {
        let mut mapping = Node::mapping();
        mapping.put(key, item);
        item = mapping;
    }
    list.push(item);
    let at = list.len() - 1;
    visit(&mut list[at], if key.is_empty() { &[] } else { rest }, make, set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_in_brackets_and_behind_backslashes_do_not_split() {
        let parts = |path| split(path).join(" | ");
        assert_eq!(
            parts("spec.containers.[name=a.b].image"),
            "spec | containers | [name=a.b] | image"
        );
        assert_eq!(parts(r"metadata.annotations.x\.io/y"), "metadata | annotations | x.io/y");
        assert_eq!(parts("metadata.annotations.[x.io/y]"), "metadata | annotations | x.io/y");
    }
}
