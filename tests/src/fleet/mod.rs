//! Repositories to follow: small ones that a test writes commit by commit,
//! and a monorepo of 2,000 clusters.

mod import;
mod manifests;
mod monorepo;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicI64, Ordering},
};

use anyhow::{Context, Result, bail};

pub use import::Change;
pub use monorepo::{CLUSTERS, Layout, cluster_change, cluster_path, monorepo};

use import::CommitStream;

/// Seconds since 1970 of the first commit; each one is a minute after the one before.
const FIRST_COMMIT_AT: i64 = 1_767_225_600;
const COMMIT_INTERVAL: i64 = 60;

/// A bare repository with one branch, `main`.
///
/// Everything in it follows from what it was told: same commits, same ids.
#[derive(Debug)]
pub struct FleetRepo {
    folder: PathBuf,
    clock: AtomicI64,
}

impl FleetRepo {
    /// Makes an empty repository in `root`, as `NAME.git`, which serves partial clones.
    pub fn create(root: &Path, name: &str) -> Result<Self> {
        let folder = root.join(format!("{name}.git"));
        let init = Command::new("git")
            .args(["init", "--quiet", "--bare", "--initial-branch=main"])
            .arg(&folder)
            .stdin(Stdio::null())
            .output()
            .context("cannot run git")?;
        check("init", &init)?;
        let repository = Self { folder, clock: AtomicI64::new(FIRST_COMMIT_AT) };
        repository.git(&["config", "uploadpack.allowFilter", "true"])?;
        repository.git(&["config", "gc.auto", "0"])?;
        Ok(repository)
    }

    /// As `create`, beginning with all commits of `base`, whose objects it shares.
    pub fn create_on(root: &Path, name: &str, base: &Path) -> Result<Self> {
        let repository = Self::create(root, name)?;
        let alternates = repository.folder.join("objects/info/alternates");
        std::fs::write(&alternates, format!("{}\n", base.join("objects").display()))
            .with_context(|| format!("cannot write {}", alternates.display()))?;
        let output = Command::new("git")
            .arg("--git-dir")
            .arg(base)
            .args(["log", "-1", "--format=%H %ct", "main"])
            .stdin(Stdio::null())
            .output()
            .context("cannot run git")?;
        let line = check("log", &output)?;
        let (commit, time) = line.split_once(' ').context("git log says no time")?;
        repository.git(&["update-ref", "refs/heads/main", commit])?;
        repository.clock.store(
            time.parse::<i64>().context("git log says no number")? + COMMIT_INTERVAL,
            Ordering::SeqCst,
        );
        Ok(repository)
    }

    /// The bare repository's folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Commits the changes onto `main` and returns the commit's id.
    pub fn commit(&self, message: &str, changes: &[Change]) -> Result<String> {
        let mut stream = CommitStream::new();
        stream.commit(message, self.tick(), self.head()?.as_deref(), changes);
        self.import(&stream.finish())?;
        self.head()?.context("the branch is empty after a commit")
    }

    /// Writes one file, in a commit of its own.
    pub fn write(&self, path: &str, content: &str) -> Result<String> {
        self.commit(&format!("Write {path}"), &[Change::write(path, content)])
    }

    /// Deletes a file or a folder, in a commit of its own.
    pub fn delete(&self, path: &str) -> Result<String> {
        self.commit(&format!("Delete {path}"), &[Change::delete(path)])
    }

    /// Commits the content that `main` had before its newest commit, as
    /// `git revert HEAD` does.
    pub fn revert(&self) -> Result<String> {
        self.commit_content_of("main~1", "Revert the newest commit")
    }

    /// Commits the content of another commit onto `main`.
    pub fn commit_content_of(&self, commit: &str, message: &str) -> Result<String> {
        let tree = self.git(&["rev-parse", "--verify", &format!("{commit}^{{tree}}")])?;
        let head = self.head()?.context("nothing to go on from")?;
        let commit = self.commit_tree(&tree, &head, message)?;
        self.git(&["update-ref", "refs/heads/main", &commit])?;
        Ok(commit)
    }

    /// Moves `main` to any commit, as a forced push does.
    pub fn force_to(&self, commit: &str) -> Result<()> {
        let commit = self.resolve(commit)?;
        self.git(&["update-ref", "refs/heads/main", &commit]).map(drop)
    }

    /// Moves any other ref, as `refs/tags/v1`.
    pub fn set_ref(&self, reference: &str, commit: &str) -> Result<()> {
        let commit = self.resolve(commit)?;
        self.git(&["update-ref", reference, &commit]).map(drop)
    }

    pub fn delete_ref(&self, reference: &str) -> Result<()> {
        self.git(&["update-ref", "-d", reference]).map(drop)
    }

    /// The newest commit of `main`.
    pub fn head(&self) -> Result<Option<String>> {
        let listed = self.git(&["for-each-ref", "--format=%(objectname)", "refs/heads/main"])?;
        Ok(Some(listed).filter(|id| !id.is_empty()))
    }

    /// The object id of any name that git understands, as `main:clusters/a`.
    pub fn resolve(&self, name: &str) -> Result<String> {
        self.git(&["rev-parse", "--verify", name])
    }

    /// The content of a file on `main`.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        let output = self.run(&["cat-file", "blob", &format!("main:{path}")])?;
        check("cat-file", &output)?;
        Ok(output.stdout)
    }

    /// Every file below a folder of a commit, by name.
    pub fn files(&self, commit: &str, folder: &str) -> Result<Vec<String>> {
        let listed = self.git(&["ls-tree", "-r", "--name-only", commit, "--", folder])?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// Runs git in the repository, and returns what it says.
    pub fn git(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        check(arguments.first().copied().unwrap_or_default(), &output)
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        self.command(arguments).stdin(Stdio::null()).output().context("cannot run git")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.arg("--git-dir").arg(&self.folder).args(arguments);
        command
    }

    fn import(&self, stream: &[u8]) -> Result<()> {
        import::run(self.command(&["fast-import", "--quiet", "--force"]), stream)
    }

    fn commit_tree(&self, tree: &str, parent: &str, message: &str) -> Result<String> {
        let date = format!("{} +0000", self.tick());
        let output = self
            .command(&["commit-tree", tree, "-p", parent, "-m", message])
            .envs([("GIT_AUTHOR_DATE", &date), ("GIT_COMMITTER_DATE", &date)])
            .envs([("GIT_AUTHOR_NAME", import::NAME), ("GIT_COMMITTER_NAME", import::NAME)])
            .envs([("GIT_AUTHOR_EMAIL", import::EMAIL), ("GIT_COMMITTER_EMAIL", import::EMAIL)])
            .stdin(Stdio::null())
            .output()
            .context("cannot run git")?;
        check("commit-tree", &output)
    }

    fn tick(&self) -> i64 {
        self.clock.fetch_add(COMMIT_INTERVAL, Ordering::SeqCst)
    }
}

fn check(what: &str, output: &Output) -> Result<String> {
    if !output.status.success() {
        bail!("git {what}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leash::ScratchDir;

    #[test]
    fn same_commits_have_the_same_ids_in_every_repository() {
        let scratch = ScratchDir::new("fleet").unwrap();
        let ids = ["a", "b"].map(|name| {
            let repository = FleetRepo::create(scratch.path(), name).unwrap();
            repository.write("clusters/edge/a.yaml", "a: 1\n").unwrap();
            repository.revert().unwrap_err();
            repository.write("clusters/edge/a.yaml", "a: 2\n").unwrap();
            repository.revert().unwrap()
        });
        assert_eq!(ids[0], ids[1]);
    }

    #[test]
    fn revert_brings_back_the_content_before_the_newest_commit() {
        let scratch = ScratchDir::new("fleet").unwrap();
        let repository = FleetRepo::create(scratch.path(), "fleet").unwrap();
        repository.write("a.yaml", "a: 1\n").unwrap();
        repository.delete("a.yaml").unwrap();
        repository.write("b.yaml", "b: 1\n").unwrap();
        repository.commit_content_of("main~2", "Back to the start").unwrap();
        assert_eq!(repository.files("main", ".").unwrap(), ["a.yaml"]);
    }
}
