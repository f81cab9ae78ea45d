//! One object: what every API server would refuse anyway, and what is taken
//! out because it is the cluster's to say.
//!
//! Nothing here knows kinds, with one exception: Secrets.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use leeward_yaml::{Content, Dialect, Mark, Node};
use serde_json::{Map, Value};

/// Metadata that the API server writes. `managedFields` makes it refuse an
/// apply; a uid or resourceVersion that was copied from a cluster makes the
/// apply fail for ever; the others are ignored by it and would read as drift.
const SERVER_OWNED: [&str; 6] =
    ["managedFields", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink"];

/// Longest name of any object (RFC 1123 subdomain).
const NAME_BYTES_MAX: usize = 253;

/// The dialect of plain folders.
const DIALECT: Dialect = Dialect::Kubernetes;

/// Something that is wrong with an object, and where.
pub(crate) type Fault = (Mark, String);

/// What is wrong with the frame of an object: kind, names, labels.
pub(crate) fn faults(object: &Node) -> Vec<Fault> {
    let mut faults = Vec::new();
    type_faults(object, &mut faults);
    if let Some(sops) = object.get("sops").filter(|sops| sops.get("mac").is_some()) {
        faults.push((
            sops.mark,
            "the object is encrypted with SOPS, but the file as a whole is not: \
             encrypt files, not what is generated from them"
                .to_owned(),
        ));
    }
    let Some(metadata) = object.get("metadata").filter(|node| !node.is_null(DIALECT)) else {
        faults.push((object.mark, "metadata.name is missing".to_owned()));
        return faults;
    };
    if !matches!(metadata.content, Content::Mapping(_)) {
        faults.push((metadata.mark, must_be("metadata", "a mapping", metadata)));
        return faults;
    }
    name_faults(metadata, &mut faults);
    for field in ["labels", "annotations"] {
        text_map_faults(metadata, field, &mut faults);
    }
    if is_secret(object)
        && let Some(data) = object.get("stringData")
        && !data.is_null(DIALECT)
    {
        string_data_faults(data, &mut faults);
    }
    faults
}

/// The body as it is applied.
///
/// - Server-owned metadata goes, and a `status` that is a mapping: what a
///   cluster reports is never what Git wants.
/// - Empty `labels`, `annotations` and `namespace` go, as null means absent.
/// - A Secret's `stringData` becomes `data`, which is what the API server
///   stores: drift is then seen in one place only.
pub(crate) fn normalised(mut body: Value) -> Value {
    let is_secret = body["kind"] == "Secret" && body["apiVersion"] == "v1";
    let Some(object) = body.as_object_mut() else { return body };
    if object.get("status").is_some_and(|status| status.is_object() || status.is_null()) {
        object.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|field, value| {
            let is_blank =
                matches!(field.as_str(), "labels" | "annotations" | "namespace") && value.is_null();
            !is_blank && !SERVER_OWNED.contains(&field.as_str())
        });
    }
    if is_secret {
        encode_string_data(object);
    }
    body
}

fn type_faults(object: &Node, faults: &mut Vec<Fault>) {
    for field in ["apiVersion", "kind"] {
        match object.get(field) {
            None => faults.push((object.mark, format!("{field} is missing"))),
            Some(node) => match node.text(DIALECT) {
                None => faults.push((node.mark, must_be(field, "a string", node))),
                Some("") => faults.push((node.mark, format!("{field} is empty"))),
                Some(text) if field == "apiVersion" && !is_api_version(text) => {
                    faults.push((node.mark, format!("{text:?} is not an apiVersion")));
                }
                Some(text) if field == "kind" && !is_path_segment(text) => {
                    faults.push((node.mark, format!("{text:?} is not a kind")));
                }
                Some(_) => {}
            },
        }
    }
}

fn is_api_version(text: &str) -> bool {
    let (group, version) = text.split_once('/').unwrap_or(("core", text));
    !group.is_empty() && !version.is_empty() && !version.contains('/')
}

fn name_faults(metadata: &Node, faults: &mut Vec<Fault>) {
    match metadata.get("name") {
        None => {
            let message = match metadata.get("generateName") {
                Some(_) => {
                    "metadata.generateName makes a new object at every apply: \
                     give it a metadata.name"
                }
                None => "metadata.name is missing",
            };
            faults.push((metadata.mark, message.to_owned()));
        }
        Some(node) => match node.text(DIALECT) {
            None => faults.push((node.mark, must_be("metadata.name", "a string", node))),
            Some(name) if name.len() <= NAME_BYTES_MAX && is_path_segment(name) => {}
            Some(name) => {
                let name: String = name.chars().take(NAME_BYTES_MAX).collect();
                faults.push((node.mark, format!("{name:?} is not a name for an object")));
            }
        },
    }
    let Some(node) = metadata.get("namespace").filter(|node| !node.is_null(DIALECT)) else {
        return;
    };
    match node.text(DIALECT) {
        None => faults.push((node.mark, must_be("metadata.namespace", "a string", node))),
        Some(name) if name.is_empty() || is_dns_label(name) => {}
        Some(name) => {
            let name: String = name.chars().take(NAME_BYTES_MAX).collect();
            faults.push((node.mark, format!("{name:?} is not a name for a namespace")));
        }
    }
}

/// What any kind needs of a name: it stands in a URL. Most kinds ask for more.
fn is_path_segment(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && !name.contains(['/', '%'])
        && !name.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// A DNS label (RFC 1123): the name of a namespace, or of an app.
pub(crate) fn is_dns_label(name: &str) -> bool {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= 63
        && name.bytes().next().is_some_and(is_alphanumeric)
        && name.bytes().next_back().is_some_and(is_alphanumeric)
        && name.bytes().all(|byte| is_alphanumeric(byte) || byte == b'-')
}

fn text_map_faults(metadata: &Node, field: &str, faults: &mut Vec<Fault>) {
    let Some(node) = metadata.get(field).filter(|node| !node.is_null(DIALECT)) else { return };
    if !matches!(node.content, Content::Mapping(_)) {
        faults.push((node.mark, must_be(&format!("metadata.{field}"), "a mapping", node)));
    }
    for (path, value) in not_texts(node, &format!("metadata.{field}")) {
        faults.push((value.mark, must_be(&path, "a string", value)));
    }
}

/// Says where and what kind of value, never the value: it is a secret.
fn string_data_faults(node: &Node, faults: &mut Vec<Fault>) {
    let found = |path: &str, wanted: &str, node: &Node| {
        format!("{path} must be {wanted}, found {}", node.describe_type(DIALECT))
    };
    if !matches!(node.content, Content::Mapping(_)) {
        faults.push((node.mark, found("stringData", "a mapping", node)));
    }
    for (path, value) in not_texts(node, "stringData") {
        faults.push((value.mark, found(&path, "a string (quote it)", value)));
    }
}

/// The entries of a mapping whose values are anything but text, with their paths.
fn not_texts<'n>(node: &'n Node, path: &str) -> Vec<(String, &'n Node)> {
    let wrong = node.entries().iter().filter(|entry| entry.value.text(DIALECT).is_none());
    wrong.map(|entry| (format!("{path}.{}", entry.key), &entry.value)).collect()
}

/// `metadata.name must be a string, found the number 7: quote it`.
pub(crate) fn must_be(path: &str, wanted: &str, found: &Node) -> String {
    let hint = match &found.content {
        Content::Scalar(_) if wanted == "a string" && !found.is_null(DIALECT) => ": quote it",
        _ => "",
    };
    format!("{path} must be {wanted}, found {}{hint}", found.describe(DIALECT))
}

fn is_secret(object: &Node) -> bool {
    let text = |field| object.get(field).and_then(|node| node.text(DIALECT));
    text("apiVersion") == Some("v1") && text("kind") == Some("Secret")
}

fn encode_string_data(secret: &mut Map<String, Value>) {
    let Some(plain) = secret.remove("stringData") else { return };
    let Value::Object(plain) = plain else { return };
    let data = secret.entry("data").or_insert(Value::Null);
    if data.is_null() {
        *data = Value::Object(Map::new());
    }
    let Some(data) = data.as_object_mut() else { return };
    for (key, value) in plain {
        // `faults` has refused anything but texts.
        if let Value::String(text) = value {
            data.insert(key, Value::String(STANDARD.encode(text)));
        }
    }
}
