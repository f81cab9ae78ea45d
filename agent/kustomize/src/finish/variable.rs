//! `vars`: `$(NAME)` in fields of the table becomes a value of an object.

use std::collections::BTreeMap;

use leeward_yaml::{Content, Dialect, Node, Resolved, Scalar, Style, Tag};

use crate::{
    budget::Budget,
    config::Config,
    error::{Outcome, Problem},
    fieldspec::Create,
    kustomization::Variable,
    replacement::{look_up, split},
    resmap::ResMap,
};

/// Variables that were declared, by name.
pub(crate) type Variables = BTreeMap<String, Variable>;

pub(crate) fn resolve_variables(
    map: &mut ResMap,
    variables: &Variables,
    config: &Config,
    budget: &Budget,
) -> Outcome<()> {
    if variables.is_empty() {
        return Ok(());
    }
    let values = variables
        .values()
        .map(|variable| Ok((variable.name.clone(), value_of(map, variable)?)))
        .collect::<Outcome<BTreeMap<String, Option<Scalar>>>>()?;
    let expander = Expander { values, budget };
    for resource in &mut map.list {
        for spec in &config.var_reference {
            let outcome =
                spec.apply(&mut resource.node, Create::Nothing, &mut |node| expander.set(node));
            resource.locate(outcome)?;
        }
    }
    Ok(())
}

/// `None` for what is no scalar: such a variable is left as it is.
fn value_of(map: &ResMap, variable: &Variable) -> Outcome<Option<Scalar>> {
    let wrong = |message: String| -> Box<crate::BuildError> {
        Problem::Var { name: variable.name.clone(), message }.into()
    };
    let mut sources =
        map.list.iter().filter(|resource| resource.variables.contains(&variable.name));
    let Some(resource) = sources.next() else {
        return Err(wrong(format!("no object is {}", variable.object)));
    };
    let path = with_indices(split(&variable.field_path));
    match look_up(&resource.node, &path) {
        Ok(Some(node)) => Ok(node.as_scalar().cloned()),
        Ok(None) | Err(_) => {
            Err(wrong(format!("{} has no {}", variable.object, variable.field_path)))
        }
    }
}

/// `containers[0]` is two steps.
fn with_indices(path: Vec<String>) -> Vec<String> {
    let mut steps = Vec::with_capacity(path.len());
    for step in path {
        let index = step.strip_suffix(']').and_then(|rest| rest.rsplit_once('['));
        match index {
            Some((name, index)) if index.parse::<usize>().is_ok() => {
                if !name.is_empty() {
                    steps.push(name.to_owned());
                }
                steps.push(index.to_owned());
            }
            _ => steps.push(step),
        }
    }
    steps
}

struct Expander<'b> {
    values: BTreeMap<String, Option<Scalar>>,
    budget: &'b Budget,
}

impl Expander<'_> {
    fn set(&self, node: &mut Node) -> Outcome<()> {
        if node.is_nothing() {
            return Ok(());
        }
        match &mut node.content {
            Content::Scalar(scalar) => self.expand(scalar),
            Content::Mapping(entries) => {
                for entry in entries {
                    if let Some(scalar) = entry.value.as_scalar_mut() {
                        self.expand(scalar)?;
                    }
                }
                Ok(())
            }
            Content::Sequence(items) => {
                for item in items {
                    match item.as_scalar_mut() {
                        Some(scalar) if scalar.is_text() => self.expand(scalar)?,
                        _ => return Err(crate::transform::not("a list of strings")),
                    }
                }
                Ok(())
            }
        }
    }

    fn expand(&self, scalar: &mut Scalar) -> Outcome<()> {
        if !scalar.is_text() {
            return Ok(());
        }
        // A reference that is all of the text takes the type of the value.
        let whole = scalar.text.strip_prefix("$(").and_then(|rest| rest.strip_suffix(')'));
        if let Some(Some(value)) = whole.and_then(|name| self.values.get(name)) {
            self.budget.copied(value.text.len())?;
            *scalar = typed(value);
            return Ok(());
        }
        if scalar.text.contains('$') {
            scalar.text = self.replaced(&scalar.text)?;
        }
        scalar.style = Style::Plain;
        scalar.tag = Tag::Str;
        Ok(())
    }

    fn replaced(&self, text: &str) -> Outcome<String> {
        let mut found = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            found.push_str(&rest[..at]);
            let behind = &rest[at + 1..];
            if behind.is_empty() {
                rest = &rest[at..];
                break;
            }
            if let Some(more) = behind.strip_prefix('$') {
                found.push('$');
                rest = more;
            } else if let Some(inner) = behind.strip_prefix('(') {
                let Some(end) = inner.find(')') else {
                    found.push_str("$(");
                    rest = inner;
                    continue;
                };
                let name = &inner[..end];
                if let Some(Some(value)) = self.values.get(name) {
                    self.budget.copied(value.text.len())?;
                    found.push_str(&shown(value));
                } else {
                    found.push_str("$(");
                    found.push_str(name);
                    found.push(')');
                }
                rest = &inner[end + 1..];
            } else {
                found.push('$');
                rest = behind;
            }
        }
        found.push_str(rest);
        Ok(found)
    }
}

fn typed(value: &Scalar) -> Scalar {
    let tag = match value.tag {
        tag @ (Tag::Int | Tag::Float | Tag::Bool) => tag,
        _ => Tag::Str,
    };
    Scalar::new(shown(value), Style::Plain, tag)
}

/// A value within a text.
fn shown(value: &Scalar) -> String {
    match value.resolve(Dialect::Kustomize) {
        Ok(Resolved::Integer(number)) => number.to_string(),
        Ok(Resolved::Bool(flag)) => flag.to_string(),
        _ => value.text.clone(),
    }
}
