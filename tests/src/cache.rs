//! What is made once and kept between runs, outside of every target folder.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::progress::Progress;

/// `$LEEWARD_CACHE`, else `leeward` in the user's cache folder. Safe to delete at any time.
pub fn folder() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("LEEWARD_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|home| home.join("leeward")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/leeward")))
        .context("neither $LEEWARD_CACHE nor $HOME says where to keep what is built for tests")
}

/// Returns the cached folder `kind/key`; the first caller of all processes
/// makes it, the others wait.
///
/// It is made under another name and moved, so one that is there is whole.
pub fn entry(
    kind: &str,
    key: &str,
    make: impl FnOnce(&Path, &Progress) -> Result<()>,
) -> Result<PathBuf> {
    let parent = folder()?.join(kind);
    let ready = parent.join(key);
    if ready.is_dir() {
        return Ok(ready);
    }
    fs::create_dir_all(&parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let progress = Progress::start(kind);
    let _lock = lock(&parent.join(format!("{key}.lock")), &progress)?;
    if ready.is_dir() {
        return Ok(ready);
    }
    let partial = parent.join(format!("{key}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial)
            .with_context(|| format!("cannot remove {}", partial.display()))?;
    }
    fs::create_dir(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
    make(&partial, &progress)?;
    fs::rename(&partial, &ready)
        .with_context(|| format!("cannot move {} into place", ready.display()))?;
    Ok(ready)
}

/// Held until the file is closed, which the end of the process does too.
fn lock(path: &Path, progress: &Progress) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => progress.step("somebody else makes it; waiting"),
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}
