//! A monorepo of 2,000 clusters: what a fleet's repository looks like after a
//! few years, made in seconds and kept between runs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::{
    COMMIT_INTERVAL, FIRST_COMMIT_AT, FleetRepo,
    import::{self, Change, CommitStream},
    manifests,
};
use crate::{Seed, cache};

/// Clusters in the monorepo, `edge-0000` to `edge-1999`.
pub const CLUSTERS: u32 = 2000;
/// Shards of the sharded layout, and clusters in each but the last.
const SHARD_CLUSTERS: u32 = 45;
/// Part of the cache's key: raise it when anything here or in `manifests` changes.
const VERSION: &str = "2";
/// Pictures, archives and other things that no manifest refers to.
const BALLAST_FILES: u32 = 80;
const BALLAST_FILE_BYTES: usize = 512 * 1024;
/// Clusters in the first commit, and in each that adds some: a fleet grows.
const FIRST_CLUSTERS: u32 = 500;
const CLUSTERS_A_GROWTH: u32 = 100;
/// Commits after the last growth, each of a few clusters.
const LATER_COMMITS: u32 = 60;
const CLUSTERS_A_COMMIT: u32 = 5;

/// Where a cluster's folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `clusters/edge-0042`: one wide folder.
    Flat,
    /// `clusters/00/edge-0042`: 45 folders of 45.
    Sharded,
}

/// The folder of one cluster.
pub fn cluster_path(layout: Layout, cluster: u32) -> String {
    match layout {
        Layout::Flat => format!("clusters/edge-{cluster:04}"),
        Layout::Sharded => format!("clusters/{:02}/edge-{cluster:04}", cluster / SHARD_CLUSTERS),
    }
}

/// What a commit to one cluster changes: one file, to the given version.
pub fn cluster_change(layout: Layout, cluster: u32, version: u32) -> Change {
    let (name, content) = manifests::changed_file(cluster, version);
    Change::write(format!("{}/{name}", cluster_path(layout, cluster)), content)
}

/// Makes a monorepo of one's own in `root`, as `NAME.git`. Its objects are
/// shared with the cached one, its commits are its own.
pub fn monorepo(root: &Path, name: &str, layout: Layout) -> Result<FleetRepo> {
    FleetRepo::create_on(root, name, &cached(layout)?)
}

fn cached(layout: Layout) -> Result<PathBuf> {
    let key = match layout {
        Layout::Flat => format!("flat-{VERSION}"),
        Layout::Sharded => format!("sharded-{VERSION}"),
    };
    let folder = cache::entry("monorepo", &key, |folder, progress| {
        let init = Command::new("git")
            .args(["init", "--quiet", "--bare", "--initial-branch=main"])
            .arg(folder.join("base.git"))
            .stdin(Stdio::null())
            .status()
            .context("cannot run git")?;
        if !init.success() {
            bail!("cannot make a repository in {}", folder.display());
        }
        progress.step("writing 2,000 clusters");
        let mut command = Command::new("git");
        command.arg("--git-dir").arg(folder.join("base.git")).args([
            "-c",
            "core.compression=6",
            "fast-import",
            "--quiet",
        ]);
        import::run(command, &history(layout))?;
        // Nothing may ever pack these objects anew under somebody who shares them.
        fs::write(folder.join("base.git/gc.pid"), "kept\n").context("cannot write gc.pid")
    })?;
    Ok(folder.join("base.git"))
}

fn history(layout: Layout) -> Vec<u8> {
    let mut seed = Seed::new(2000);
    let mut first = vec![Change::write("README.md", "# Fleet\n\nOne folder a cluster.\n")];
    first.extend(clusters(layout, 0..FIRST_CLUSTERS));
    for file in 0..BALLAST_FILES {
        let path = format!("media/{:02}/picture-{file:03}.bin", file / 10);
        first.push(Change::write(path, seed.bytes(BALLAST_FILE_BYTES)));
    }
    let mut stream = CommitStream::new();
    let mut at = FIRST_COMMIT_AT;
    stream.commit("Found the fleet", at, None, &first);
    for from in (FIRST_CLUSTERS..CLUSTERS).step_by(CLUSTERS_A_GROWTH as usize) {
        at += COMMIT_INTERVAL;
        let more = clusters(layout, from..CLUSTERS.min(from + CLUSTERS_A_GROWTH));
        stream.commit("More clusters", at, None, &more);
    }
    for commit in 0..LATER_COMMITS {
        let mut changes = Vec::new();
        for _ in 0..CLUSTERS_A_COMMIT {
            let cluster = u32::try_from(seed.below(u64::from(CLUSTERS))).unwrap_or(0);
            changes.push(cluster_change(layout, cluster, commit + 2));
        }
        at += COMMIT_INTERVAL;
        stream.commit(&format!("Change {CLUSTERS_A_COMMIT} clusters"), at, None, &changes);
    }
    stream.finish()
}

/// All files of some clusters.
fn clusters(layout: Layout, clusters: std::ops::Range<u32>) -> Vec<Change> {
    let of_one = |cluster| {
        let folder = cluster_path(layout, cluster);
        let files = manifests::of_cluster(cluster, 1).into_iter();
        files.map(move |(name, content)| Change::write(format!("{folder}/{name}"), content))
    };
    clusters.flat_map(of_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_hold_45_clusters() {
        let paths = [42, 44, 45, 1999].map(|cluster| cluster_path(Layout::Sharded, cluster));
        let expected = [
            "clusters/00/edge-0042",
            "clusters/00/edge-0044",
            "clusters/01/edge-0045",
            "clusters/44/edge-1999",
        ];
        assert_eq!(paths, expected);
    }
}
