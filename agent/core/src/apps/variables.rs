//! `substitute` and `substituteFrom`: the variables of an app.

use std::collections::BTreeMap;

use leeward_yaml::{Content, Node};

use super::reader::Reader;
use crate::{
    model::{VALUE_BYTES_MAX, VARIABLES_MAX, VariableKind, VariableSource, Variables},
    render::object::is_dns_label,
};

/// Flux's key for variables out of the cluster.
pub(super) const FROM: &str = "substituteFrom";

/// Objects that one app takes variables from; each is read at every look.
const SOURCES_MAX: usize = 20;

/// The app's own variables; with none, those of the agent and the cluster are
/// still substituted.
pub(super) fn own(
    reader: &mut Reader<'_>,
    node: &Node,
    path: &str,
) -> Option<BTreeMap<String, String>> {
    let Content::Mapping(entries) = &node.content else {
        reader.wrong(node, path, "a mapping of variables to texts (`{}` for none of its own)");
        return None;
    };
    if entries.len() > VARIABLES_MAX {
        let message = format!("{path} has {} variables, at most {VARIABLES_MAX}", entries.len());
        reader.fault(node.mark, message);
        return None;
    }
    let mut own = BTreeMap::new();
    for entry in entries {
        if let Err(error) = Variables::default().set(&entry.key, "") {
            reader.fault(entry.mark, format!("{path}: {error}"));
            continue;
        }
        if matches!(entry.key.as_str(), "true" | "false") {
            let message = format!("{path}: {} is a boolean in YAML, not a name", entry.key);
            reader.fault(entry.mark, message);
            continue;
        }
        let path = format!("{path}.{}", entry.key);
        let Some(value) = reader.text(&entry.value, &path) else { continue };
        if value.len() > VALUE_BYTES_MAX {
            let message = format!("{path} has {} bytes, at most {VALUE_BYTES_MAX}", value.len());
            reader.fault(entry.value.mark, message);
        }
        own.insert(entry.key.clone(), value.to_owned());
    }
    Some(own)
}

/// The objects of the cluster with more variables.
pub(super) fn from(
    reader: &mut Reader<'_>,
    node: &Node,
    path: &str,
) -> Option<Vec<VariableSource>> {
    let items = reader.items(node, path)?;
    if items.len() > SOURCES_MAX {
        let message = format!("{path} names {} objects, at most {SOURCES_MAX}", items.len());
        reader.fault(node.mark, message);
        return None;
    }
    let mut from: Vec<VariableSource> = Vec::new();
    for (item, path) in items {
        let Some(source) = source(reader, item, &path) else { continue };
        if from.iter().any(|other| other.key() == source.key()) {
            reader.fault(item.mark, format!("{path}: {} is named twice", source.key()));
        }
        from.push(source);
    }
    Some(from)
}

fn source(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<VariableSource> {
    let fields = reader.fields(node, path, &["kind", "name", "namespace", "optional"]);
    let kind = reader.required(&fields, "kind", |reader, node, path| {
        let kinds = [("ConfigMap", VariableKind::ConfigMap), ("Secret", VariableKind::Secret)];
        reader.one_of(node, path, &kinds)
    });
    let name = reader.required(&fields, "name", |reader, node, path| {
        let name = reader.text(node, path)?;
        if is_object_name(name) {
            return Some(name.to_owned());
        }
        reader.wrong(node, path, "the name of an object");
        None
    });
    // Unlike in Flux there is no namespace that an app lives in.
    let namespace = reader.required(&fields, "namespace", |reader, node, path| {
        let namespace = reader.text(node, path)?;
        if is_dns_label(namespace) {
            return Some(namespace.to_owned());
        }
        reader.wrong(node, path, "the name of a namespace");
        None
    });
    let optional = reader.optional(&fields, "optional", Reader::boolean);
    Some(VariableSource {
        kind: kind?,
        name: name?,
        namespace: namespace?,
        optional: optional.unwrap_or(false),
    })
}

/// A DNS subdomain (RFC 1123), as ConfigMaps and Secrets are named.
fn is_object_name(name: &str) -> bool {
    let is_edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_part = |part: &str| {
        part.starts_with(is_edge)
            && part.ends_with(is_edge)
            && part.chars().all(|c| is_edge(c) || c == '-')
    };
    name.len() <= 253 && name.split('.').all(is_part)
}
