//! The control plane's binary, built from `tests/controlplane` once per
//! version of its sources.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::{cache, gotool, leash::Leashed, progress::Progress};

/// As in go.mod; the API server would call itself v0.0.0 otherwise, which clients cannot parse.
const KUBERNETES_MAJOR: &str = "1";
const KUBERNETES_MINOR: &str = "37";
const KUBERNETES_PATCH: &str = "2";
/// Packages that a cold build compiles, for the progress line only.
const PACKAGES: usize = 1833;
/// Lines of the compiler's output that an error repeats.
const ERROR_LINES: usize = 20;

/// Returns the binary, built now if these sources never were. Blocks: up to
/// ten minutes on two cores the very first time.
pub(super) fn build() -> Result<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("controlplane");
    let key = digest_of(&sources)?;
    let folder = cache::entry("controlplane", &key, |folder, progress| {
        let go = gotool::find(progress)?;
        compile(&go, &sources, &folder.join("controlplane"), progress)
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

fn compile(go: &Path, sources: &Path, binary: &Path, progress: &Progress) -> Result<()> {
    let version = "k8s.io/component-base/version";
    let flags = format!(
        "-s -w -X {version}.gitMajor={KUBERNETES_MAJOR} -X {version}.gitMinor={KUBERNETES_MINOR} \
         -X {version}.gitVersion=v{KUBERNETES_MAJOR}.{KUBERNETES_MINOR}.{KUBERNETES_PATCH}"
    );
    let mut command = Command::new(go);
    command
        .args(["build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", &flags, "-o"])
        .arg(binary)
        .arg(".")
        .current_dir(sources)
        // The tool-chain that was found is the one to use: it must not fetch another by itself.
        .env("GOTOOLCHAIN", "local")
        .env("CGO_ENABLED", "0")
        .env_remove("GOFLAGS")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    progress.step("looking at what there is");
    let mut build = Leashed::spawn("go build", &mut command)?;
    let (_, errors) = build.take_outputs();
    let errors = errors.context("the compiler's output is not a pipe")?;
    let (mut modules, mut packages) = (0_usize, 0_usize);
    let mut said = Vec::new();
    for line in BufReader::new(errors).lines() {
        let line = line.context("cannot read the compiler's output")?;
        if let Some(module) = line.strip_prefix("go: downloading ") {
            modules += 1;
            progress.step(format!("module {modules}, {module}"));
        } else if !line.contains(' ') {
            packages += 1;
            progress.step(format!("package {packages} of about {PACKAGES}, {line}"));
        } else {
            said.push(line);
        }
    }
    while build.is_running() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    if build.ended().is_some_and(|status| status.success()) {
        return Ok(());
    }
    let end = said[said.len().saturating_sub(ERROR_LINES)..].join("\n");
    bail!("cannot build the control plane in {} with {}:\n{end}", sources.display(), go.display())
}
