//! Libraries that are loaded before the C library, for an agent whose machine
//! misbehaves in a way that cannot be had otherwise.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

/// Compiles one from C, for `LD_PRELOAD`.
pub fn library(folder: &Path, name: &str, source: &str) -> Result<PathBuf> {
    let (file, library) = (folder.join(format!("{name}.c")), folder.join(format!("lib{name}.so")));
    std::fs::write(&file, source)?;
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&file).arg("-ldl");
    let output = command.output().context("a C compiler is needed")?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(library)
}
