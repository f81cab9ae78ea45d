//! Who fetches: the agent, and git in the two ways in which people fetch little.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use leeward_core::model::StatusDocument;
use leeward_tests::agent::{Agent, AgentOptions};
use tokio::process::Command;

/// After so long without a byte a client has nothing more to say: the longest
/// silence within a fetch is a server that packs, some 100 ms.
pub(super) const QUIET: Duration = Duration::from_millis(700);
/// A first sync over a link that breaks takes back-offs.
const SYNC_TIMEOUT: Duration = Duration::from_secs(300);

/// Where to fetch from, what, and where to put it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) url: String,
    pub(super) path: String,
    pub(super) folder: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Leeward,
    Shallow,
    Sparse,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Leeward => "leeward",
            Self::Shallow => "git --depth 1",
            Self::Sparse => "git blob:none --sparse",
        }
    }
}

/// One that has made its first sync.
#[derive(Debug)]
pub(super) enum Client {
    Leeward(Box<Agent>),
    Git { kind: Kind, clone: PathBuf },
}

impl Client {
    pub(super) const KINDS: [Kind; 3] = [Kind::Leeward, Kind::Shallow, Kind::Sparse];

    pub(super) async fn start(kind: Kind, place: &Place, head: &str) -> Result<Self> {
        if kind == Kind::Leeward {
            return Self::start_agent(place, head).await;
        }
        let clone = place.folder.join(kind.name().replace([' ', ':'], "-"));
        // A clone that a weak link ended is gone; its folder may not be.
        if clone.exists() {
            fs::remove_dir_all(&clone).context("cannot remove an old clone")?;
        }
        let target = clone.display().to_string();
        let mut arguments = vec!["clone", "--quiet", "--depth=1"];
        if kind == Kind::Sparse {
            arguments.extend(["--filter=blob:none", "--sparse"]);
        }
        arguments.extend([place.url.as_str(), target.as_str()]);
        git(&place.folder, &arguments).await?;
        if kind == Kind::Sparse {
            git(&clone, &["sparse-checkout", "set", &place.path]).await?;
        }
        Ok(Self::Git { kind, clone })
    }

    /// An agent whose API server is not there: fetching is none of its business.
    async fn start_agent(place: &Place, head: &str) -> Result<Self> {
        let kubeconfig = place.folder.join("kubeconfig");
        fs::write(&kubeconfig, KUBECONFIG).context("cannot write a kubeconfig")?;
        let options = AgentOptions::new("figures", &kubeconfig, &place.url)
            .set("source.path", place.path.as_str())
            // It polls when it is told to.
            .set("source.interval", "1h");
        let mut agent = Box::new(Agent::start(options).await?);
        agent.wait_status(SYNC_TIMEOUT, |status| is_at(status, head)).await?;
        Ok(Self::Leeward(agent))
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Leeward(_) => Kind::Leeward.name(),
            Self::Git { kind, .. } => kind.name(),
        }
    }

    /// Asks whether there is anything new.
    pub(super) async fn poll(&mut self) -> Result<()> {
        match self {
            Self::Leeward(agent) => sync(agent).await,
            Self::Git { clone, .. } => {
                git(clone, &["ls-remote", "--quiet", "origin", "refs/heads/main"]).await
            }
        }
    }

    /// Fetches what `main` is now, and has the folder as it is there.
    pub(super) async fn update(&mut self, head: &str) -> Result<()> {
        match self {
            Self::Leeward(agent) => {
                sync(agent).await?;
                agent.wait_status(SYNC_TIMEOUT, |status| is_at(status, head)).await.map(drop)
            }
            Self::Git { clone, .. } => {
                git(clone, &["fetch", "--quiet", "--depth=1", "origin", "main"]).await?;
                git(clone, &["reset", "--quiet", "--hard", "FETCH_HEAD"]).await
            }
        }
    }
}

const KUBECONFIG: &str = "\
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{ name: nowhere, context: { cluster: nowhere, user: nobody } }]
clusters: [{ name: nowhere, cluster: { server: 'https://127.0.0.1:1' } }]
users: [{ name: nobody, user: { token: none } }]
";

fn is_at(status: &StatusDocument, head: &str) -> bool {
    status.source.commit.is_some_and(|commit| commit.to_string() == head)
}

async fn sync(agent: &Agent) -> Result<()> {
    let output = agent.cli(&["sync"]).await?;
    if !output.status.success() {
        bail!("leeward sync: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

async fn git(folder: &Path, arguments: &[&str]) -> Result<()> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .output()
        .await
        .context("cannot run git")?;
    if !output.status.success() {
        bail!("git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
