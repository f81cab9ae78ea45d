//! The agent as a process: started, asked, killed and measured from outside,
//! as systemd and a person would.

mod binary;
mod footprint;
pub mod socket;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use leeward_core::model::StatusDocument;

pub use binary::{build, build_release};
pub use footprint::Footprint;

use crate::{
    leash::{self, Leashed, ScratchDir},
    ports,
};

/// How often a wait asks for the status again. Each question is a process.
const STATUS_INTERVAL: Duration = Duration::from_millis(50);
/// Lines of the log that an error repeats.
const LOG_LINES: usize = 30;

/// What goes into agent.toml.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    settings: toml::Table,
    environment: Vec<(String, String)>,
    /// A program and its first arguments, which runs what follows.
    launcher: Vec<String>,
    /// Instead of the one that is built.
    binary: Option<PathBuf>,
}

impl AgentOptions {
    /// An agent for the cluster `name`, following `clusters/NAME` of the
    /// repository, with times that suit a test.
    pub fn new(name: &str, kubeconfig: &Path, source_url: &str) -> Self {
        Self::empty()
            .set("cluster.name", name)
            .set("cluster.kubeconfig", kubeconfig.display().to_string())
            .set("source.url", source_url)
            .set("source.path", format!("clusters/{name}"))
            .set("source.interval", "1s")
            .set("apply.timeout", "20s")
            .set("apply.soak", "1s")
            .set("log.level", "info,leeward=debug")
            .set("log.format", "text")
    }

    fn empty() -> Self {
        Self {
            settings: toml::Table::new(),
            environment: Vec::new(),
            launcher: Vec::new(),
            binary: None,
        }
    }

    /// Takes this binary, or a program that becomes it, for all commands.
    #[must_use]
    pub fn binary(mut self, binary: &Path) -> Self {
        self.binary = Some(binary.to_owned());
        self
    }

    /// Has the daemon (not the other commands) started by another program,
    /// which must become what its last arguments name.
    #[must_use]
    pub fn launched_by(mut self, launcher: &[&str]) -> Self {
        self.launcher = launcher.iter().map(ToString::to_string).collect();
        self
    }

    /// Sets any key of the configuration, as `source.path`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<toml::Value>) -> Self {
        let mut table = &mut self.settings;
        let (sections, last) = key.rsplit_once('.').map_or(("", key), |(path, last)| (path, last));
        for section in sections.split('.').filter(|section| !section.is_empty()) {
            let value =
                table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if !value.is_table() {
                *value = toml::Value::Table(toml::Table::new());
            }
            table = value.as_table_mut().expect("anything else was replaced just now");
        }
        table.insert(last.to_owned(), value.into());
        self
    }

    /// Takes a key out, so that the agent's own default holds.
    #[must_use]
    pub fn unset(mut self, section: &str, key: &str) -> Self {
        if let Some(table) = self.settings.get_mut(section).and_then(toml::Value::as_table_mut) {
            table.remove(key);
        }
        self
    }

    /// Sets a variable in the agent's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// One agent with a folder of its own; dropping it kills the one and removes the other.
#[derive(Debug)]
pub struct Agent {
    // Fields are dropped in this order, and the folder must go last.
    process: Option<Leashed>,
    binary: PathBuf,
    options: AgentOptions,
    listen: SocketAddr,
    folder: ScratchDir,
}

impl Agent {
    /// Writes the configuration and starts `leeward run`.
    pub async fn start(options: AgentOptions) -> Result<Self> {
        let mut agent = Self::prepare(options).await?;
        agent.start_again()?;
        Ok(agent)
    }

    /// Writes the configuration and starts nothing, for the other commands.
    pub async fn prepare(options: AgentOptions) -> Result<Self> {
        let binary = match &options.binary {
            Some(binary) => binary.clone(),
            None => tokio::task::spawn_blocking(binary::build).await??,
        };
        let folder = ScratchDir::new("agent")?;
        let [port] = ports::free().context("no free port on loopback")?;
        let listen = SocketAddr::from(([127, 0, 0, 1], port));
        let agent = Self { process: None, binary, options, listen, folder };
        agent.write_configuration()?;
        Ok(agent)
    }

    /// Where configuration, log, store and control socket are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn config_path(&self) -> PathBuf {
        self.folder.join("agent.toml")
    }

    pub fn log_path(&self) -> PathBuf {
        self.folder.join("agent.log")
    }

    /// The folder of the store.
    pub fn store_path(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// Where the control socket is while the agent runs.
    pub fn socket_path(&self) -> PathBuf {
        self.folder.join("control.sock")
    }

    /// Where `/healthz`, `/readyz` and `/metrics` are.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.listen)
    }

    pub fn log(&self) -> Result<String> {
        let path = self.log_path();
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Changes the configuration file; the agent reads it when it starts or is sent SIGHUP.
    pub fn configure(&mut self, change: impl FnOnce(AgentOptions) -> AgentOptions) -> Result<()> {
        self.options = change(self.options.clone());
        self.write_configuration()
    }

    /// Starts it on what it left behind; nothing to do for one that runs.
    pub fn start_again(&mut self) -> Result<()> {
        if self.process.as_mut().is_some_and(Leashed::is_running) {
            return Ok(());
        }
        let mut command = self.command(&self.options.launcher, &["run"]);
        self.process = Some(Leashed::spawn_logged("leeward run", &mut command, &self.log_path())?);
        Ok(())
    }

    /// SIGKILL, as a power cut or the out-of-memory killer would.
    pub fn kill(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill();
        }
    }

    /// SIGTERM; returns how it ended.
    pub async fn stop(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let process = self.process()?;
        process.terminate()?;
        process.wait(timeout).await
    }

    /// Waits for its end, for one that ends by itself.
    pub async fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        self.process()?.wait(timeout).await
    }

    /// SIGHUP: read the configuration again.
    pub fn reload(&mut self) -> Result<()> {
        self.process()?.hang_up()
    }

    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Leashed::is_running)
    }

    /// The running process, to freeze, thaw or signal.
    pub fn process(&mut self) -> Result<&mut Leashed> {
        self.process.as_mut().context("the agent was never started")
    }

    /// What it costs at this moment.
    pub fn footprint(&self) -> Result<Footprint> {
        let process = self.process.as_ref().context("the agent was never started")?;
        Footprint::of(process.pid())
    }

    /// Runs another command of the CLI with the same configuration.
    pub async fn cli(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = tokio::process::Command::from(self.command(&[], arguments));
        command.stdin(Stdio::null()).kill_on_drop(true);
        command.output().await.context("cannot run leeward")
    }

    /// The document of `leeward status --output json`; answers with the daemon down too.
    pub async fn status(&self) -> Result<StatusDocument> {
        let output = self.cli(&["status", "--output", "json"]).await?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            let errors = String::from_utf8_lossy(&output.stderr);
            format!("leeward status, {}: {}", output.status, errors.trim())
        })
    }

    /// Asks until the status is as wanted, and returns it.
    pub async fn wait_status(
        &mut self,
        timeout: Duration,
        wanted: impl Fn(&StatusDocument) -> bool,
    ) -> Result<StatusDocument> {
        let started = Instant::now();
        let mut last = String::from("no answer");
        while started.elapsed() < timeout {
            match self.status().await {
                Ok(status) if wanted(&status) => return Ok(status),
                Ok(status) => last = serde_json::to_string_pretty(&status)?,
                Err(error) => last = format!("{error:#}"),
            }
            if let Some(status) = self.process.as_mut().and_then(Leashed::ended) {
                bail!("the agent has ended: {status}\n{}", self.log_end());
            }
            tokio::time::sleep(STATUS_INTERVAL).await;
        }
        bail!("not as wanted after {timeout:?}; the status is\n{last}\n{}", self.log_end())
    }

    /// The newest lines of the log, for the message of an error.
    pub fn log_end(&self) -> String {
        leash::tail(&self.log_path(), LOG_LINES)
    }

    fn command(&self, launcher: &[String], arguments: &[&str]) -> Command {
        let mut command = match launcher {
            [] => Command::new(&self.binary),
            [program, first @ ..] => {
                let mut command = Command::new(program);
                command.args(first).arg(&self.binary);
                command
            }
        };
        command
            .args(arguments)
            .arg("--config")
            .arg(self.config_path())
            .current_dir(self.folder.path())
            .envs(self.options.environment.iter().map(|(name, value)| (name, value)));
        // What the developer's machine has set must not decide a test.
        for name in
            ["RUST_LOG", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "KUBECONFIG", "NOTIFY_SOCKET"]
        {
            if !self.options.environment.iter().any(|(set, _)| set == name) {
                command.env_remove(name).env_remove(name.to_lowercase());
            }
        }
        command
    }

    fn write_configuration(&self) -> Result<()> {
        let options = self.options.clone();
        let path = |name: &str| self.folder.join(name).display().to_string();
        let mut settings = AgentOptions::empty()
            .set("store.path", path("store"))
            .set("http.listen", self.listen.to_string())
            .set("control.socket", path("control.sock"))
            .settings;
        merge(&mut settings, options.settings);
        let text = toml::to_string(&settings).context("cannot write agent.toml")?;
        let file = self.config_path();
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    }
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(into)), toml::Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_keys_become_sections_and_the_last_value_wins() {
        let options = AgentOptions::new("edge", Path::new("/k"), "http://127.0.0.1:1/fleet.git")
            .set("apply.timeout", "5s")
            .set("cluster.labels.region", "north")
            .unset("log", "level");
        insta::assert_snapshot!(toml::to_string(&options.settings).unwrap(), @r#"
        [apply]
        soak = "1s"
        timeout = "5s"

        [cluster]
        kubeconfig = "/k"
        name = "edge"

        [cluster.labels]
        region = "north"

        [log]
        format = "text"

        [source]
        interval = "1s"
        path = "clusters/edge"
        url = "http://127.0.0.1:1/fleet.git"
        "#);
    }
}
