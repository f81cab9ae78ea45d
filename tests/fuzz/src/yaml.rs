//! YAML: what is written reads back the same, whoever reads it.

use std::collections::BTreeMap;

use leeward_core::render::{self, Request};
use leeward_yaml::{
    Content, Dialect, Documents, Duplicates, Limits, Node, Style, edit, emit, restyle,
};
use serde_json::Value;

const DIALECTS: [Dialect; 2] = [Dialect::Kubernetes, Dialect::Kustomize];

const LIMITS: Limits =
    Limits { bytes: 64 << 10, depth: 60, nodes: 20_000, text: 512 << 10, documents: 200 };

/// Room for what a text needs when it is written differently: more text, as
/// aliases are expanded, and no fewer levels.
const ROOM: Limits =
    Limits { bytes: 64 << 20, depth: 100, nodes: 100_000, text: 64 << 20, documents: 200 };

/// The claim about any text.
pub fn yaml(bytes: &[u8]) {
    for dialect in DIALECTS {
        for duplicates in [Duplicates::Refused, Duplicates::FirstWins, Duplicates::LastWins] {
            let Ok(documents) = Documents::new(bytes, dialect, LIMITS) else { continue };
            for document in documents.with_duplicates(duplicates) {
                match document {
                    Err(errors) => {
                        assert!(!errors.is_empty());
                        for error in errors {
                            assert!(error.to_string().len() < 2_000, "{error}");
                        }
                    }
                    Ok(node) if duplicates == Duplicates::Refused => document_holds(node, dialect),
                    Ok(_) => {}
                }
            }
        }
    }
    manifests_hold(bytes);
}

fn document_holds(node: Node, dialect: Dialect) {
    if dialect == Dialect::Kustomize {
        restyled_is_the_same(node.clone());
    }
    let Ok(value) = node.into_json(dialect) else { return };
    let text = emit::document(&value);
    for reader in DIALECTS {
        assert_eq!(read(&text, reader), value, "written as\n{text}");
    }
    assert_eq!(emit::document_within(&value, text.len()).as_ref(), Some(&text));
    assert_eq!(emit::document_within(&value, text.len() - 1), None);
}

/// The one value of a text that was written here.
fn read(text: &str, dialect: Dialect) -> Value {
    let documents = Documents::new(text.as_bytes(), dialect, ROOM);
    let mut documents = documents.unwrap_or_else(|error| panic!("{error} in\n{text}"));
    let document = match documents.next() {
        None => return Value::Null,
        Some(document) => document.unwrap_or_else(|error| panic!("{error:?} in\n{text}")),
    };
    assert!(documents.next().is_none(), "two documents in\n{text}");
    document.into_json(dialect).unwrap_or_else(|error| panic!("{error:?} in\n{text}"))
}

fn restyled_is_the_same(mut node: Node) {
    edit::settle(&mut node);
    let text = restyle::document_within(&node, ROOM.bytes).expect("it is short");
    unfold(&mut node);
    let Ok(value) = node.into_json(Dialect::Kustomize) else { return };
    assert_eq!(read(&text, Dialect::Kustomize), value, "restyled as\n{text}");
}

/// A folded text is written as it is, but reads as what upstream makes of it
/// when it writes it folded.
fn unfold(node: &mut Node) {
    match &mut node.content {
        Content::Scalar(scalar) if scalar.style == Style::Folded => scalar.style = Style::Literal,
        Content::Scalar(_) => {}
        Content::Sequence(items) => items.iter_mut().for_each(unfold),
        Content::Mapping(entries) => entries.iter_mut().for_each(|entry| unfold(&mut entry.value)),
    }
}

/// A file of manifests is read to objects that, written anew, are read to the same.
fn manifests_hold(bytes: &[u8]) {
    let limits = render::Limits { yaml: LIMITS, ..render::Limits::default() };
    let folder = |bytes: &[u8]| BTreeMap::from([("a.yaml".to_owned(), bytes.to_vec())]);
    let rendered = match render::folder(&Request { limits, ..Request::of(&folder(bytes)) }) {
        Ok(rendered) => rendered,
        Err(error) => {
            assert!(!error.faults.is_empty() && !error.missing);
            for fault in &error.faults {
                assert!(fault.to_string().len() < 10_000, "{fault}");
            }
            return;
        }
    };
    let bodies: Vec<&Value> = rendered.iter().map(|manifest| &manifest.body).collect();
    let text = emit::stream(bodies.iter().copied());
    let room = render::Limits { yaml: ROOM, bytes: 64 << 20, ..render::Limits::default() };
    let again = render::folder(&Request { limits: room, ..Request::of(&folder(text.as_bytes())) });
    let again = again.unwrap_or_else(|error| panic!("{error} in\n{text}"));
    let again: Vec<&Value> = again.iter().map(|manifest| &manifest.body).collect();
    assert_eq!(again, bodies, "written as\n{text}");
}
