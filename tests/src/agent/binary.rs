//! The agent's binary: `$LEEWARD_BIN`, or built once by the cargo and into the
//! target folder that built this test; for benches as it is released.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, bail};

use crate::{leash::Leashed, progress::Progress};

/// Variables, by prefix, in which cargo tells a test about its own package.
const OF_THE_TEST: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"];

static BUILT: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Returns the binary, building it at the first call of this process. Blocks.
pub fn build() -> Result<PathBuf> {
    // The whole workspace decides the features of every dependency, as it does
    // for `cargo test --workspace`; for the agent alone all would be compiled again.
    build_as("--workspace", |place| place)
}

/// As `build`, but as it is shipped: optimised, and with no feature that only
/// tests ask for. Every later call of `build` in this process returns it too.
pub fn build_release() -> Result<PathBuf> {
    build_as("--package=leeward", Place::released)
}

fn build_as(packages: &str, at: impl FnOnce(Place) -> Place) -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("LEEWARD_BIN").filter(|given| !given.is_empty()) {
        let given = PathBuf::from(given);
        return given.canonicalize().with_context(|| format!("no {}", given.display()));
    }
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(binary) = built.as_ref() {
        return Ok(binary.clone());
    }
    let test = std::env::current_exe().context("cannot tell where this test is")?;
    let place = Place::of(&test)
        .with_context(|| format!("{} is not in a target folder", test.display()))?;
    let place = at(place);
    compile(packages, &place)?;
    let binary = place.profile_folder.join("leeward");
    *built = Some(binary.clone());
    Ok(binary)
}

/// Where cargo has put a test, and so how it was told to build.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    target_folder: PathBuf,
    /// Only with `--target`.
    triple: Option<OsString>,
    profile_folder: PathBuf,
    profile: String,
}

impl Place {
    /// From `target[/TRIPLE]/PROFILE/deps/TEST` or `target[/TRIPLE]/PROFILE/PROGRAM`.
    fn of(test: &Path) -> Option<Self> {
        let folder = test.parent()?;
        let profile_folder =
            if folder.ends_with("deps") { folder.parent()? } else { folder }.to_owned();
        let name = profile_folder.file_name()?.to_str()?;
        let profile = if name == "debug" { "dev" } else { name }.to_owned();
        let above = profile_folder.parent()?;
        // Triples are the only names with two dashes or more among cargo's folders.
        let triple = above
            .file_name()
            .filter(|name| name.to_str().is_some_and(|name| name.matches('-').count() >= 2));
        let target_folder = if triple.is_some() { above.parent()? } else { above }.to_owned();
        Some(Self { triple: triple.map(ToOwned::to_owned), target_folder, profile, profile_folder })
    }

    /// Of the same target folder and triple, in profile `release`.
    fn released(mut self) -> Self {
        self.profile_folder.set_file_name("release");
        "release".clone_into(&mut self.profile);
        self
    }
}

fn compile(packages: &str, place: &Place) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", packages, "--bin", "leeward", "--profile", &place.profile])
        .arg("--target-dir")
        .arg(&place.target_folder)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdout(Stdio::null());
    // Build scripts watch these variables: left in, they would have this cargo
    // and the one that runs the tests compile half of the tree again in turn.
    for (name, _) in std::env::vars_os() {
        if OF_THE_TEST.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    if let Some(triple) = &place.triple {
        command.arg("--target").arg(triple);
    }
    let progress = Progress::start("agent");
    progress.step("cargo build");
    let mut build = Leashed::spawn("cargo build", &mut command)?;
    while build.is_running() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    match build.ended() {
        Some(status) if status.success() => Ok(()),
        _ => bail!("cannot build the agent; cargo has said why"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_in_a_target_folder_tells_profile_and_triple() {
        let place =
            Place::of(Path::new("/t/aarch64-unknown-linux-musl/release/deps/parts-1f")).unwrap();
        let expected = Place {
            target_folder: PathBuf::from("/t"),
            triple: Some(OsString::from("aarch64-unknown-linux-musl")),
            profile_folder: PathBuf::from("/t/aarch64-unknown-linux-musl/release"),
            profile: String::from("release"),
        };
        assert_eq!(place, expected);
    }

    #[test]
    fn program_beside_the_deps_folder_tells_the_same() {
        let place = Place::of(Path::new("/t/debug/demo")).unwrap();
        assert_eq!((place.profile.as_str(), place.target_folder.to_str()), ("dev", Some("/t")));
        assert_eq!(place.released().profile_folder, Path::new("/t/release"));
    }
}
