//! `build FOLDER`: prints what a kustomization on this machine builds to.
//!
//! The smallest use of the package, and what its bench measures.

#![expect(clippy::disallowed_methods, reason = "this is where files come from")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::{fs, path::PathBuf, process::ExitCode};

use leeward_kustomize::{Files, Found, Options, ReadError, build};

/// All files of this machine, below `/`.
struct Machine;

fn error(error: &std::io::Error) -> ReadError {
    ReadError { message: error.to_string(), missing: false }
}

impl Files for Machine {
    fn look(&self, path: &str) -> Result<Found, ReadError> {
        let Ok(real) = fs::canonicalize(format!("/{path}")) else { return Ok(Found::Nothing) };
        let is_folder = real.is_dir();
        let real = real.to_string_lossy().trim_start_matches('/').to_owned();
        Ok(if is_folder { Found::Folder(real) } else { Found::File(real) })
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        fs::read(format!("/{path}")).map_err(|source| error(&source))
    }

    fn shown(&self, path: &str) -> String {
        format!("/{path}")
    }
}

fn main() -> ExitCode {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let Ok(folder) = fs::canonicalize(folder) else {
        eprintln!("error: no such folder");
        return ExitCode::FAILURE;
    };
    match build(&Machine, &folder.to_string_lossy(), &Options::default()) {
        Ok(built) => {
            print!("{}", built.to_yaml());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
