//! `leeward diff` between revisions of real repositories, made by the real `git`.

#![expect(clippy::unwrap_used, reason = "what tests are made of is there, or they fail")]

mod differences;
mod repositories;
mod secrets;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

struct Repository {
    outside: tempfile::TempDir,
}

#[derive(Debug)]
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Said {
    fn all(&self) -> String {
        format!("exit {}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

impl Repository {
    /// With one commit for each list of files; `""` as text removes one.
    fn of(commits: &[&[(&str, &str)]]) -> Self {
        let repository = Self { outside: tempfile::tempdir().unwrap() };
        fs::create_dir(repository.path()).unwrap();
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        for files in commits {
            repository.commit(files);
        }
        repository
    }

    fn path(&self) -> PathBuf {
        self.outside.path().join("fleet")
    }

    fn write(&self, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = self.path().join(path);
            if text.is_empty() {
                fs::remove_file(&path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, text).unwrap();
            }
        }
    }

    fn commit(&self, files: &[(&str, &str)]) {
        self.write(files);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message=change"]);
    }

    fn git(&self, arguments: &[&str]) {
        let output = git(&self.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    fn diff(&self, arguments: &[&str]) -> Said {
        diff_in(&self.path(), arguments)
    }
}

fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", "/nonexistent");
    command.args(["-c", "user.name=A", "-c", "user.email=a@example.com"]).current_dir(folder);
    command
}

fn diff_in(folder: &Path, arguments: &[&str]) -> Said {
    said(program(folder).arg("diff").args(arguments))
}

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leeward"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", "/nonexistent");
    command.current_dir(folder).stdin(Stdio::null());
    command
}

fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said {
        code: output.status.code().unwrap(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

fn map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  value: {value}\n")
}
