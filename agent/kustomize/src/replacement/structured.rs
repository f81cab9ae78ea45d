//! Replacements within JSON or YAML that is the text of a field.

use serde_json::Value;

use super::{
    path::{Make, look_up, visit},
    write_value,
};
use crate::{
    budget::{Budget, weigh},
    error::Outcome,
    json::go_json,
    yaml::{Content, Dialect, Documents, Node, edit, emit},
};

/// Writes behind the first scalar on the path that holds a document. Whether
/// there was one; if not, the path is an ordinary one.
pub(super) fn write(
    object: &mut Node,
    path: &[String],
    make: Option<Make>,
    value: &Node,
    budget: &Budget,
) -> Outcome<bool> {
    let Some((at, mut document)) = find(object, path, budget) else { return Ok(false) };
    let Ok(Some(scalar)) = look_up(object, &path[..at]) else { return Ok(false) };
    let original = scalar.raw().to_owned();
    budget.copied(original.len() + weigh(value).bytes)?;
    let found = visit(&mut document, &path[at..], make, &mut |target| {
        write_value(target, value, value.raw());
        Ok(())
    });
    if !matches!(found, Ok(1..)) {
        return Ok(false);
    }
    let Some(text) = serialise(document, &original) else { return Ok(false) };
    let written = visit(object, &path[..at], None, &mut |target| {
        if let Some(scalar) = target.as_scalar_mut() {
            scalar.text.clone_from(&text);
        }
        Ok(())
    });
    Ok(matches!(written, Ok(1..)))
}

/// How many parts of the path lead to the text, and what it holds.
fn find(object: &Node, path: &[String], budget: &Budget) -> Option<(usize, Node)> {
    for at in 1..path.len() {
        let Ok(Some(node)) = look_up(object, &path[..at]) else { continue };
        let Some(scalar) = node.as_scalar() else { continue };
        let documents =
            Documents::new(scalar.text.as_bytes(), Dialect::Kustomize, budget.limits.yaml);
        if let Ok(mut documents) = documents
            && let Some(Ok(mut document)) = documents.next()
        {
            edit::settle(&mut document);
            return Some((at, document));
        }
    }
    None
}

/// In the notation that it had.
fn serialise(document: Node, original: &str) -> Option<String> {
    if !original.trim_start().starts_with(['{', '[']) {
        return Some(yaml(&document));
    }
    let value = document.into_json(Dialect::Kustomize).ok()?;
    let is_pretty = original.contains('\n') && original.contains("  ");
    Some(go_json(&value, is_pretty.then_some(0)))
}

/// YAML in the order that it had. Comments are lost.
fn yaml(document: &Node) -> String {
    let mut text = String::new();
    block(document, 0, &mut text);
    text.trim().to_owned()
}

fn block(node: &Node, indent: usize, text: &mut String) {
    match &node.content {
        Content::Mapping(entries) if !entries.is_empty() => {
            for (at, entry) in entries.iter().enumerate() {
                if at > 0 {
                    text.extend(std::iter::repeat_n(' ', indent));
                }
                text.push_str(emit::document(&Value::String(entry.key.clone())).trim_end());
                text.push(':');
                child(&entry.value, indent, text);
            }
        }
        Content::Sequence(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.extend(std::iter::repeat_n(' ', indent));
                }
                text.push_str("- ");
                block(item, indent + 2, text);
            }
        }
        _ => leaf(node, indent, text),
    }
}

fn child(node: &Node, indent: usize, text: &mut String) {
    let deeper = if node.is_mapping() { indent + 2 } else { indent };
    if node.as_scalar().is_some() || node.is_blank() {
        text.push(' ');
        leaf(node, indent, text);
    } else {
        text.push('\n');
        text.extend(std::iter::repeat_n(' ', deeper));
        block(node, deeper, text);
    }
}

fn leaf(node: &Node, indent: usize, text: &mut String) {
    let written = match &node.content {
        Content::Mapping(_) => "{}".to_owned(),
        Content::Sequence(_) => "[]".to_owned(),
        Content::Scalar(scalar)
            if scalar.style != crate::yaml::Style::Plain && !scalar.text.contains('\n') =>
        {
            format!("{:?}", scalar.text)
        }
        Content::Scalar(scalar) if scalar.is_text() && scalar.tag != crate::yaml::Tag::None => {
            emit::document(&Value::String(scalar.text.clone())).trim_end().to_owned()
        }
        Content::Scalar(scalar) if scalar.text.contains('\n') => {
            emit::document(&Value::String(scalar.text.clone())).trim_end().to_owned()
        }
        Content::Scalar(scalar) => scalar.text.clone(),
    };
    let mut lines = written.split('\n');
    text.push_str(lines.next().unwrap_or_default());
    for line in lines {
        text.push('\n');
        if !line.is_empty() {
            text.extend(std::iter::repeat_n(' ', indent));
            text.push_str(line);
        }
    }
    text.push('\n');
}
