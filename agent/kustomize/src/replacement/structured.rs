//! Replacements within JSON or YAML that is the text of a field.

use leeward_yaml::{Dialect, Documents, Node, edit, restyle};

use super::{
    path::{Make, look_up, visit},
    write_value,
};
use crate::{
    budget::{Budget, weigh},
    error::{Outcome, Problem},
    json::go_json,
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
    let Some(text) = serialise(document, &original, budget)? else { return Ok(false) };
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
fn serialise(document: Node, original: &str, budget: &Budget) -> Outcome<Option<String>> {
    if !original.trim_start().starts_with(['{', '[']) {
        let limit = budget.limits.yaml.text;
        let text = restyle::document_within(&document, limit);
        let text = text.ok_or(Problem::Limit { what: "bytes of YAML within a text", limit })?;
        return Ok(Some(text.trim().to_owned()));
    }
    let Ok(value) = document.into_json(Dialect::Kustomize) else { return Ok(None) };
    let is_pretty = original.contains('\n') && original.contains("  ");
    Ok(Some(go_json(&value, is_pretty.then_some(0))))
}
