//! The control plane's binary, built from `tests/controlplane` once per
//! version of its sources.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::{cache, gotool::Program};

/// As in go.mod; the API server would call itself v0.0.0 otherwise, which clients cannot parse.
const KUBERNETES_MAJOR: &str = "1";
const KUBERNETES_MINOR: &str = "37";
const KUBERNETES_PATCH: &str = "2";
/// Packages that a cold build compiles, for the progress line only.
const PACKAGES: usize = 1833;

/// Returns the binary, built now if these sources never were. Blocks: up to
/// ten minutes on two cores the very first time.
pub(super) fn build() -> Result<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("controlplane");
    let key = digest_of(&sources)?;
    let folder = cache::entry("controlplane", &key, |folder, progress| {
        let version = "k8s.io/component-base/version";
        let program = Program {
            name: "the control plane",
            module: &sources,
            package: ".",
            linker_flags: &format!(
                "-s -w -X {version}.gitMajor={KUBERNETES_MAJOR} -X {version}.gitMinor={KUBERNETES_MINOR} \
                 -X {version}.gitVersion=v{KUBERNETES_MAJOR}.{KUBERNETES_MINOR}.{KUBERNETES_PATCH}"
            ),
            packages: PACKAGES,
        };
        program.build(&folder.join("controlplane"), progress)
    })?;
    Ok(folder.join("controlplane"))
}

/// Names the sources, so that a change of any is another cache entry.
fn digest_of(sources: &Path) -> Result<String> {
    let mut files: Vec<PathBuf> = fs::read_dir(sources)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .with_context(|| format!("cannot list {}", sources.display()))?;
    files.retain(|file| {
        file.extension().is_some_and(|extension| extension == "go" || extension == "mod")
    });
    files.sort();
    let mut hash = Sha256::new();
    for file in &files {
        let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        hash.update(file.file_name().unwrap_or_default().as_encoded_bytes());
        hash.update(content.len().to_le_bytes());
        hash.update(&content);
    }
    let mut key = String::new();
    for byte in &hash.finalize()[..8] {
        write!(key, "{byte:02x}").context("cannot write to a string")?;
    }
    Ok(key)
}
