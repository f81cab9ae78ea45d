//! A folder in memory, from one text with a line `--- FILE: path` before each file.

use std::collections::BTreeMap;

use leeward_kustomize::{Limits, Options, Reorder};
use leeward_yaml as yaml;

const SEPARATOR: &str = "--- FILE: ";

/// Files of one input; small, so that inputs stay small.
const FILES_MAX: usize = 32;

pub(crate) type Folder = BTreeMap<String, Vec<u8>>;

/// What stands before the first separator is `kustomization.yaml`.
pub(crate) fn parse(bytes: &[u8]) -> Folder {
    let mut files = Folder::new();
    let mut current = "kustomization.yaml".to_owned();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let named = line.strip_prefix(SEPARATOR.as_bytes()).and_then(|path| {
            let path = str::from_utf8(path).ok()?.trim();
            is_path(path).then(|| path.to_owned())
        });
        match named {
            Some(path) if files.len() < FILES_MAX => current = path,
            _ => files.entry(current.clone()).or_default().extend_from_slice(line),
        }
    }
    files
}

/// What a listing of a tree can name.
fn is_path(path: &str) -> bool {
    !path.is_empty()
        && path.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
        && !path.contains(['\0', '\n'])
}

/// Limits that a fuzzer reaches, and within which an input takes milliseconds.
pub(crate) const LIMITS: Limits = Limits {
    files: 100,
    file_bytes: 64 << 10,
    bytes: 256 << 10,
    kustomizations: 50,
    depth: 8,
    objects: 200,
    nodes: 20_000,
    copied: 1 << 20,
    work: 20_000,
    output: 1 << 20,
    yaml: yaml::Limits {
        bytes: 64 << 10,
        depth: 60,
        nodes: 10_000,
        text: 256 << 10,
        documents: 100,
    },
};

pub(crate) fn options(reorder: Reorder) -> Options {
    Options { limits: LIMITS, reorder, ..Options::default() }
}
