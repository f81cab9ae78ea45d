//! Commits as streams for `git fast-import`, which is as fast as git gets.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

pub(super) const NAME: &str = "Fleet";
pub(super) const EMAIL: &str = "fleet@example.com";

/// One path of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Write {
        path: String,
        content: Vec<u8>,
    },
    /// A file, or a folder with all that is in it.
    Delete {
        path: String,
    },
}

impl Change {
    pub fn write(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self::Write { path: path.into(), content: content.into() }
    }

    pub fn delete(path: impl Into<String>) -> Self {
        Self::Delete { path: path.into() }
    }
}

/// Commits onto `main`, one after the other.
#[derive(Debug, Default)]
pub(super) struct CommitStream(Vec<u8>);

impl CommitStream {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// `parent` is wanted for the first commit of a stream only; the next ones go on from it.
    pub(super) fn commit(
        &mut self,
        message: &str,
        at: i64,
        parent: Option<&str>,
        changes: &[Change],
    ) {
        self.line("commit refs/heads/main");
        self.line(&format!("author {NAME} <{EMAIL}> {at} +0000"));
        self.line(&format!("committer {NAME} <{EMAIL}> {at} +0000"));
        self.data(message.as_bytes());
        if let Some(parent) = parent {
            self.line(&format!("from {parent}"));
        }
        for change in changes {
            match change {
                Change::Write { path, content } => {
                    self.line(&format!("M 100644 inline {path}"));
                    self.data(content);
                }
                Change::Delete { path } => self.line(&format!("D {path}")),
            }
        }
        self.line("");
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.line("done");
        self.0
    }

    fn line(&mut self, line: &str) {
        self.0.extend_from_slice(line.as_bytes());
        self.0.push(b'\n');
    }

    fn data(&mut self, bytes: &[u8]) {
        self.line(&format!("data {}", bytes.len()));
        self.0.extend_from_slice(bytes);
        self.0.push(b'\n');
    }
}

/// Feeds the stream to a `git fast-import` command.
pub(super) fn run(mut command: Command, stream: &[u8]) -> Result<()> {
    let mut import = command
        .arg("--done")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run git")?;
    let mut pipe = import.stdin.take().context("git fast-import has no pipe")?;
    let written = pipe.write_all(stream);
    drop(pipe);
    let output = import.wait_with_output().context("cannot wait for git fast-import")?;
    if !output.status.success() {
        bail!("git fast-import: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    written.context("cannot write to git fast-import")
}
