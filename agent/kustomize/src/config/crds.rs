//! CRDs in the form of `crds`: OpenAPI definitions whose fields carry marks.

use leeward_yaml::{Entry, Node};

use super::{Config, Reference, merge_specs};
use crate::{error::Outcome, fieldspec::FieldSpec, id::Gvk};

/// Definitions that refer to definitions are followed so far.
const DEPTH_MAX: usize = 20;

pub(super) fn read(document: &Node) -> Outcome<Config> {
    let mut config = Config::default();
    for entry in document.entries() {
        let properties = properties(&entry.value);
        let has = |name: &str| properties.iter().any(|property| property.key == name);
        if has("kind") && has("apiVersion") && has("metadata") {
            let kind = entry.key.rsplit('.').next().unwrap_or_default().to_owned();
            let gvk = Gvk { kind, ..Gvk::default() };
            definition(&mut config, &gvk, document, &entry.key, &mut Vec::new())?;
        }
    }
    Ok(config)
}

fn properties(definition: &Node) -> &[Entry] {
    get_any(definition, "Schema")
        .and_then(|schema| schema.get("properties"))
        .map_or(&[], Node::entries)
}

/// The value of a key, whatever its case.
fn get_any<'n>(mapping: &'n Node, key: &str) -> Option<&'n Node> {
    let found = mapping.entries().iter().find(|entry| entry.key.eq_ignore_ascii_case(key));
    found.map(|entry| &entry.value)
}

fn definition(
    config: &mut Config,
    gvk: &Gvk,
    document: &Node,
    name: &str,
    path: &mut Vec<String>,
) -> Outcome<()> {
    let Some(found) = document.get(name) else { return Ok(()) };
    if path.len() > DEPTH_MAX {
        return Ok(());
    }
    for property in properties(found) {
        path.push(property.key.clone());
        let spec =
            |path: &[String]| FieldSpec { gvk: gvk.clone(), path: path.join("/"), create: false };
        let mark = |name: &str| property.value.get(name).map(Node::raw);
        if mark("x-kubernetes-annotation").is_some() {
            merge_specs(&mut config.common_annotations, vec![spec(path)])?;
        }
        if mark("x-kubernetes-label-selector").is_some() {
            merge_specs(&mut config.common_labels, vec![spec(path)])?;
        }
        if mark("x-kubernetes-identity").is_some() {
            merge_specs(&mut config.name_prefix, vec![spec(path)])?;
        }
        if let (Some(version), Some(kind)) =
            (mark("x-kubernetes-object-ref-api-version"), mark("x-kubernetes-object-ref-kind"))
        {
            let mut path = path.clone();
            path.push(mark("x-kubernetes-object-ref-name-key").unwrap_or("name").to_owned());
            let referent =
                Gvk { group: String::new(), version: version.to_owned(), kind: kind.to_owned() };
            let more = Reference { referent, fields: vec![spec(&path)] };
            config.merge(Config { name_reference: vec![more], ..Config::default() })?;
        }
        if let Some(reference) = mark("$ref") {
            definition(config, gvk, document, reference, path)?;
        }
        path.pop();
    }
    Ok(())
}
