//! Which files SOPS encrypted, and in which of its formats.
//!
//! The name of a file says its format, as it does to SOPS; where the content
//! says otherwise (`--input-type`, a generator's `settings.conf`), the content
//! decides. What is none of SOPS is told apart cheaply: most files are.

use leeward_yaml::{Content, Dialect, Documents, Limits, Node};

use crate::{error::Problem, value};

/// How SOPS wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Yaml,
    Json,
    Dotenv,
    /// Any bytes, as the one value of a JSON document.
    Binary,
}

/// Bytes of an encrypted file; a cluster takes objects of up to 1.5 MB.
pub(crate) const BYTES_MAX: usize = 5 << 20;

pub(crate) const LIMITS: Limits =
    Limits { bytes: BYTES_MAX, depth: 100, nodes: 200_000, text: 16 << 20, documents: 5_000 };

pub(crate) const KEY: &str = "sops";
pub(crate) const DOTENV_PREFIX: &str = "sops_";

/// The format of a file of SOPS; `None` of any other.
pub(crate) fn recognised(path: &str, content: &[u8]) -> Result<Option<Format>, Problem> {
    let has_metadata = contains(content, KEY.as_bytes());
    let has_values = contains(content, value::PREFIX.as_bytes());
    if !has_metadata && !has_values {
        return Ok(None);
    }
    if content.len() > BYTES_MAX {
        let is_sealed = has_metadata && has_values && contains(content, b"lastmodified");
        let problem = Problem::TooLarge { bytes: content.len(), limit: BYTES_MAX };
        return if is_sealed { Err(problem) } else { Ok(None) };
    }
    // SOPS goes by the extension alone.
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    let is_tree = matches!(extension, "yaml" | "yml" | "json") || is_json(content);
    let documents = match documents(content) {
        Err(problem @ Problem::Yaml(_)) if has_metadata && has_values && is_tree => {
            return Err(problem);
        }
        documents => documents.unwrap_or_default(),
    };
    let found = match extension {
        "env" => dotenv(content),
        _ => structured(&documents, content, extension).or_else(|| dotenv(content)),
    };
    match found {
        None if ini(content) => Err(Problem::Ini),
        // What is left of a file of SOPS must not pass for a plain one.
        None if has_values && (documents.iter().any(is_sealed) || has_sealed_line(content)) => {
            Err(Problem::NoMetadata)
        }
        found => Ok(found),
    }
}

/// The documents of a file, as SOPS reads them.
pub(crate) fn documents(content: &[u8]) -> Result<Vec<Node>, Problem> {
    let documents = Documents::new(content, Dialect::Kustomize, LIMITS).map_err(Problem::Yaml)?;
    let read: Result<Vec<Node>, _> = documents.collect();
    read.map_err(|errors| match errors.into_iter().next() {
        Some(error) => Problem::Yaml(error),
        None => Problem::Metadata("the file is empty".to_owned()),
    })
}

/// YAML, JSON or binary: a `sops` with a MAC at the top of a document.
fn structured(documents: &[Node], content: &[u8], extension: &str) -> Option<Format> {
    let has_mac = |node: &Node| node.get(KEY).is_some_and(|sops| sops.get("mac").is_some());
    if !documents.iter().any(has_mac) {
        return None;
    }
    let is_json = is_json(content);
    let is_one_value = matches!(documents, [only] if only.entries().len() == 2)
        && documents[0].get("data").is_some();
    Some(match extension {
        "yaml" | "yml" => Format::Yaml,
        "json" => Format::Json,
        _ if is_json && is_one_value => Format::Binary,
        _ if is_json => Format::Json,
        _ => Format::Yaml,
    })
}

fn is_json(content: &[u8]) -> bool {
    content.trim_ascii_start().starts_with(b"{")
}

fn dotenv(content: &[u8]) -> Option<Format> {
    let mac = [DOTENV_PREFIX.as_bytes(), b"mac="].concat();
    lines(content).any(|line| line.starts_with(&mac)).then_some(Format::Dotenv)
}

fn ini(content: &[u8]) -> bool {
    lines(content).any(|line| line.trim_ascii() == b"[sops]")
}

fn is_sealed(node: &Node) -> bool {
    match &node.content {
        Content::Scalar(scalar) => scalar.text.starts_with(value::PREFIX),
        Content::Sequence(items) => items.iter().any(is_sealed),
        Content::Mapping(entries) => entries.iter().any(|entry| is_sealed(&entry.value)),
    }
}

/// `KEY=ENC[…`.
fn has_sealed_line(content: &[u8]) -> bool {
    let sealed = [b"=", value::PREFIX.as_bytes()].concat();
    lines(content).any(|line| !line.starts_with(b"#") && contains(line, &sealed))
}

fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split(|byte| *byte == b'\n')
}

fn contains(content: &[u8], part: &[u8]) -> bool {
    content.windows(part.len()).any(|window| window == part)
}
