//! One agent that follows one repository, on a control plane that all
//! scenarios of a test binary share.
//!
//! A scenario's name is its cluster's name, its folder in the repository, its
//! namespace, and how the names of its apps and cluster-scoped objects begin;
//! so scenarios do not meet.

pub mod apart;
pub mod damage;
pub mod objects;
pub mod trouble;

use std::{
    process::Output,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use hyper::Method;
use leeward_core::model::{AppStatus, PhaseName, StatusDocument};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{
    agent::{Agent, AgentOptions},
    controlplane::{Api, ControlPlane, ControlPlaneOptions},
    fleet::{Change, FleetRepo},
    gitserver::{GitServer, GitServerOptions},
    leash::ScratchDir,
};

/// For anything that must happen at all; five times what a busy machine takes.
pub const SOON: Duration = Duration::from_secs(60);

const REPOSITORY: &str = "fleet";
/// Of everyone who meddles with the cluster besides the agent.
pub const MEDDLER: &str = "meddler";
/// How often a wait for a clause of the status asks again.
const AGAIN: Duration = Duration::from_millis(50);

/// Never dropped; what it leaves behind at the end of the process, the leash cleans up.
static PLANE: OnceCell<Option<ControlPlane>> = OnceCell::const_new();

/// The control plane that the scenarios of this process share; `None`, having
/// said so, where another cluster is to be used.
async fn plane(test: &str) -> Result<Option<&'static ControlPlane>> {
    let start = || ControlPlane::start_own(ControlPlaneOptions::default(), test);
    Ok(PLANE.get_or_try_init(start).await?.as_ref())
}

/// Dropping it ends the agent and the git server.
#[derive(Debug)]
pub struct Scenario {
    // The agent goes before what it talks to.
    pub agent: Agent,
    pub server: GitServer,
    pub repository: FleetRepo,
    pub api: Api,
    name: String,
    _folder: ScratchDir,
}

impl Scenario {
    /// Commits the files (below the cluster's path), makes the namespace, and
    /// starts an agent. `None`: not on this cluster, which has been said.
    pub async fn start(
        name: &str,
        files: &[(&str, String)],
        options: impl FnOnce(AgentOptions) -> AgentOptions,
    ) -> Result<Option<Self>> {
        let Some(mut scenario) = Self::prepare(name, files, options).await? else {
            return Ok(None);
        };
        scenario.api.apply(&objects::namespace(name), MEDDLER).await?;
        scenario.agent.start_again()?;
        Ok(Some(scenario))
    }

    /// As `start`, and returns once the first commit is good everywhere.
    pub async fn started(
        name: &str,
        files: &[(&str, String)],
        options: impl FnOnce(AgentOptions) -> AgentOptions,
    ) -> Result<Option<Self>> {
        let Some(mut scenario) = Self::start(name, files, options).await? else { return Ok(None) };
        let commit = scenario.repository.head()?.context("the repository is empty")?;
        scenario.good_at(&commit).await?;
        Ok(Some(scenario))
    }

    /// The uids of all pods in the namespace of the scenario, sorted.
    pub async fn pods(&self) -> Result<Vec<String>> {
        let path = format!("/api/v1/namespaces/{}/pods", self.name);
        let mut pods: Vec<String> = self.api.list(&path).await?.iter().map(objects::uid).collect();
        pods.sort();
        Ok(pods)
    }

    /// As `start`, but with no namespace yet, and the agent does not run.
    pub async fn prepare(
        name: &str,
        files: &[(&str, String)],
        options: impl FnOnce(AgentOptions) -> AgentOptions,
    ) -> Result<Option<Self>> {
        let Some(plane) = plane(name).await? else { return Ok(None) };
        Self::prepare_on(plane, name, files, options).await.map(Some)
    }

    /// As `prepare`, on a control plane that the caller may stop and wipe.
    pub async fn prepare_on(
        plane: &ControlPlane,
        name: &str,
        files: &[(&str, String)],
        options: impl FnOnce(AgentOptions) -> AgentOptions,
    ) -> Result<Self> {
        let folder = ScratchDir::new(name)?;
        let repository = FleetRepo::create(folder.path(), REPOSITORY)?;
        let server = GitServer::start(folder.path(), GitServerOptions::default())?;
        let url = server.url(&format!("{REPOSITORY}.git"));
        let standard =
            AgentOptions::new(name, plane.kubeconfig(), &url).set("apply.timeout", "10s");
        let agent = Agent::prepare(options(standard)).await?;
        let api = plane.api().await?;
        let scenario =
            Self { agent, server, repository, api, name: name.to_owned(), _folder: folder };
        scenario.commit(files)?;
        Ok(scenario)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes files below the cluster's path, in one commit; returns its id.
    pub fn commit(&self, files: &[(&str, String)]) -> Result<String> {
        let changes: Vec<Change> = files
            .iter()
            .map(|(path, content)| Change::write(self.path(path), content.clone()))
            .collect();
        self.repository.commit("Change the cluster", &changes)
    }

    /// Deletes files or folders and writes others, in one commit.
    pub fn rearrange(&self, gone: &[&str], files: &[(&str, String)]) -> Result<String> {
        let gone = gone.iter().map(|path| Change::delete(self.path(path)));
        let written =
            files.iter().map(|(path, content)| Change::write(self.path(path), content.clone()));
        self.repository.commit("Rearrange the cluster", &gone.chain(written).collect::<Vec<_>>())
    }

    /// Deletes files or folders below the cluster's path, in one commit.
    pub fn delete(&self, paths: &[&str]) -> Result<String> {
        let changes: Vec<Change> =
            paths.iter().map(|path| Change::delete(self.path(path))).collect();
        self.repository.commit("Delete from the cluster", &changes)
    }

    /// A commit that is about another cluster.
    pub fn foreign_commit(&self, content: &str) -> Result<String> {
        self.repository.write("clusters/another/note.yaml", content)
    }

    fn path(&self, path: &str) -> String {
        format!("clusters/{}/{path}", self.name)
    }

    /// Waits until every app is good in this very commit.
    pub async fn good_at(&mut self, commit: &str) -> Result<StatusDocument> {
        self.wait(|status| {
            !status.apps.is_empty() && status.apps.iter().all(|app| is_good_at(app, commit))
        })
        .await
        .with_context(|| format!("{}: not good at {commit}", self.name))
    }

    pub async fn wait(
        &mut self,
        wanted: impl Fn(&StatusDocument) -> bool,
    ) -> Result<StatusDocument> {
        self.agent.wait_status(SOON, wanted).await
    }

    /// Waits for something about the only app, or one that is named.
    pub async fn wait_app(
        &mut self,
        app: &str,
        wanted: impl Fn(&AppStatus) -> bool,
    ) -> Result<AppStatus> {
        let status = self
            .wait(|status| status.apps.iter().any(|one| one.name == app && wanted(one)))
            .await?;
        status.apps.into_iter().find(|one| one.name == app).context("it was there a moment ago")
    }

    /// The JSON document of a command, and its exit code.
    pub async fn ask(&self, arguments: &[&str]) -> Result<(Value, i32)> {
        let output = self.run(&[arguments, &["--output", "json"]].concat()).await?;
        let code = output.status.code().context("it was killed")?;
        let document = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{arguments:?}: {}", said(&output)))?;
        Ok((document, code))
    }

    /// Runs a command that must succeed.
    pub async fn tell(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments).await?;
        if !output.status.success() {
            bail!("{arguments:?}: {}: {}", output.status, said(&output));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub async fn run(&self, arguments: &[&str]) -> Result<Output> {
        self.agent.cli(arguments).await
    }

    /// Asks `why` until it is as wanted, and returns its evidence.
    pub async fn wait_why(&self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let started = Instant::now();
        loop {
            let (why, _) = self.ask(&["why"]).await?;
            if wanted(&why) {
                return Ok(why);
            }
            if started.elapsed() > SOON {
                bail!("`why` is not as wanted: {why:#}");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// The live object of a manifest.
    pub async fn live(&self, manifest: &Value) -> Result<Option<Value>> {
        Ok(self.api.get(&self.api.path_of(manifest).await?).await?)
    }

    /// Waits until the live object of a manifest is as wanted.
    pub async fn wait_live(
        &self,
        manifest: &Value,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let path = self.api.path_of(manifest).await?;
        self.api
            .wait_until(&path, SOON, |live| live.is_some_and(&wanted))
            .await?
            .context("it was there a moment ago")
    }

    pub async fn wait_gone(&self, manifest: &Value) -> Result<()> {
        let path = self.api.path_of(manifest).await?;
        self.api.wait_until(&path, SOON, |live| live.is_none()).await.map(drop)
    }

    /// A merge patch to the live object of a manifest, by somebody else.
    pub async fn meddle(&self, manifest: &Value, patch: &Value) -> Result<Value> {
        let path = self.api.path_of(manifest).await?;
        Ok(self.api.merge(&path, patch, MEDDLER).await?)
    }

    /// A JSON patch (RFC 6902) to the live object of a manifest, by somebody else.
    pub async fn patch(&self, manifest: &Value, patch: &Value) -> Result<()> {
        let path = self.api.path_of(manifest).await?;
        let path = format!("{path}?fieldManager={MEDDLER}");
        let body = patch.to_string().into_bytes();
        self.api.request(Method::PATCH, &path, "application/json-patch+json", body).await?;
        Ok(())
    }

    /// A merge patch to a subresource, as `scale`.
    pub async fn meddle_below(
        &self,
        manifest: &Value,
        subresource: &str,
        patch: &Value,
        manager: &str,
    ) -> Result<()> {
        let path = self.api.path_of(manifest).await?;
        let path = format!("{path}/{subresource}?fieldManager={manager}");
        let body = patch.to_string().into_bytes();
        self.api.request(Method::PATCH, &path, "application/merge-patch+json", body).await?;
        Ok(())
    }

    pub async fn remove(&self, manifest: &Value) -> Result<()> {
        Ok(self.api.delete(&self.api.path_of(manifest).await?).await?)
    }

    /// What changes with every write to an object, of each of these that is there.
    pub async fn versions(&self, manifests: &[Value]) -> Result<Vec<String>> {
        let mut versions = Vec::with_capacity(manifests.len());
        for manifest in manifests {
            let live = self.live(manifest).await?.context("an object is gone")?;
            versions.push(objects::text(&live, "/metadata/resourceVersion"));
        }
        Ok(versions)
    }
}

/// Whether an app is good, and at rest, in a commit.
pub fn is_good_at(app: &AppStatus, commit: &str) -> bool {
    app.phase == PhaseName::Good
        && app.good.as_ref().is_some_and(|good| good.commit.to_string() == commit)
}

/// What a command has said, for an error.
fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).trim().to_owned()
}
