//! Bad weather around a scenario: its links are cut, what it was told of is
//! looked up in its store, and what blocks it must be said by name.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use camino::Utf8PathBuf;
use leeward::store::{Inventory, Store};
use leeward_core::{
    model::{APP_LABEL, FIELD_MANAGER, ObjectKey},
    report::Entry,
};
use serde_json::Value;
use tokio::net::UnixDatagram;

use crate::{
    agent::Agent,
    controlplane::Api,
    faultproxy::{Counts, FaultProxy, Policy},
    progress,
    receiver::Receiver,
    scenario::{SOON, Scenario},
};

/// What an agent's store may take, when a test reads it.
const STORE_SIZE: u64 = 256 * 1024 * 1024;
const AGAIN: Duration = Duration::from_millis(50);

/// An agent's ways to Git and to its receiver, through proxies.
#[derive(Debug)]
pub struct Link {
    git: FaultProxy,
    report: Option<FaultProxy>,
}

impl Link {
    /// Leads the agent's way to Git, and to its receiver if there is one,
    /// through proxies. For an agent that does not run yet.
    pub fn lay(scenario: &mut Scenario, receiver: Option<&Receiver>) -> Result<Self> {
        let git = FaultProxy::start(scenario.server.port(), 1, Policy::default())?;
        let url = scenario.server.url_through(git.port(), "fleet.git");
        let report = receiver
            .map(|receiver| FaultProxy::start(receiver.port(), 2, Policy::default()))
            .transpose()?;
        let report_url = receiver
            .zip(report.as_ref())
            .map(|(receiver, proxy)| receiver.url_through(proxy.port()));
        scenario.agent.configure(|options| {
            let options = options.set("source.url", url);
            match report_url {
                Some(url) => options.set("report.url", url),
                None => options,
            }
        })?;
        Ok(Self { git, report })
    }

    /// Every connection is reset, and none is taken any more.
    pub async fn cut(&self) {
        self.git.go_away().await;
        if let Some(report) = &self.report {
            report.go_away().await;
        }
    }

    pub async fn restore(&self) -> Result<()> {
        self.git.come_back().await?;
        match &self.report {
            Some(report) => report.come_back().await,
            None => Ok(()),
        }
    }

    /// Of the way to Git, from the next chunk on.
    pub fn set_policy(&self, policy: Policy) {
        self.git.set_policy(policy);
    }

    /// What went to Git and came back.
    pub fn counts(&self) -> Counts {
        self.git.counts()
    }
}

/// Leads the agent's way to the API server through a proxy. For an agent that does
/// not run yet.
pub fn api_through_a_proxy(scenario: &mut Scenario) -> Result<FaultProxy> {
    let config = std::fs::read_to_string(scenario.agent.config_path())?;
    let config: toml::Table = config.parse()?;
    let kubeconfig = config["cluster"]["kubeconfig"].as_str().context("no kubeconfig")?;
    let text = std::fs::read_to_string(kubeconfig)?;
    let server = text.split("https://127.0.0.1:").nth(1).context("not on loopback")?;
    let port: String = server.chars().take_while(char::is_ascii_digit).collect();
    let proxy = FaultProxy::start(port.parse()?, 1, Policy::default())?;
    let own = scenario.agent.folder().join("kubeconfig");
    let through = format!("https://127.0.0.1:{}", proxy.port());
    std::fs::write(&own, text.replace(&format!("https://127.0.0.1:{port}"), &through))?;
    let own = own.display().to_string();
    scenario.agent.configure(|options| options.set("cluster.kubeconfig", own))?;
    Ok(proxy)
}

/// Waits until one blocker in `why` says all of these words, and returns it.
/// The table of `leeward why`, for people, must say them too.
pub async fn blocked_by(scenario: &Scenario, words: &[&str]) -> Result<Value> {
    let started = Instant::now();
    let blocker = loop {
        // Until the agent has made its store there is nobody to ask.
        let why = scenario
            .ask(&["why"])
            .await
            .map_or_else(|error| Value::from(format!("{error:#}")), |(why, _)| why);
        let named = why.as_array().into_iter().flatten().find(|blocker| {
            let text = blocker.to_string();
            words.iter().all(|word| text.contains(word))
        });
        if let Some(blocker) = named {
            let evidence = complete(blocker)?;
            // Another try may name another object first; both are asked in between then.
            if told(&scenario.tell(&["why"]).await?).contains(&evidence) {
                break blocker.clone();
            }
        }
        if started.elapsed() > SOON {
            bail!("`why` does not say {words:?}: {why:#}\n{}", scenario.agent.log_end());
        }
        tokio::time::sleep(AGAIN).await;
    };
    Ok(blocker)
}

/// The evidence of a blocker, which has to have a hint as well.
fn complete(blocker: &Value) -> Result<String> {
    for text in ["evidence", "hint"] {
        if blocker[text].as_str().is_none_or(str::is_empty) {
            bail!("a blocker without {text}: {blocker:#}");
        }
    }
    Ok(told(blocker["evidence"].as_str().unwrap_or_default()))
}

/// For people the lines are broken to fit a terminal.
fn told(text: &str) -> String {
    text.split_whitespace().collect()
}

/// Waits until nothing blocks.
pub async fn unblocked(scenario: &Scenario) -> Result<()> {
    scenario.wait_why(|why| why.as_array().is_some_and(Vec::is_empty)).await.map(drop)
}

/// A listener where `$NOTIFY_SOCKET` points, as the service manager has one.
#[derive(Debug)]
pub struct ServiceManager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl ServiceManager {
    pub fn listen(path: &Path) -> Result<Self> {
        let socket = UnixDatagram::bind(path)
            .with_context(|| format!("cannot listen on {}", path.display()))?;
        Ok(Self { socket, heard: Vec::new() })
    }

    /// Waits until one more line like this has come, as `READY=1`.
    pub async fn wait_for(&mut self, line: &str) -> Result<()> {
        let mut buffer = [0; 4096];
        let heard = tokio::time::timeout(SOON, async {
            loop {
                let length = self.socket.recv(&mut buffer).await?;
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let found = text.lines().any(|one| one == line);
                self.heard.push(text);
                if found {
                    return anyhow::Ok(());
                }
            }
        });
        heard.await.with_context(|| format!("no {line} among {:?}", self.heard))?
    }
}

/// What an agent that does not run believes to own, by app.
pub fn inventory(agent: &Agent) -> Result<BTreeMap<String, Inventory>> {
    Ok(store(agent)?.inventory_all()?)
}

/// The events that wait in the store of an agent that does not run.
pub fn outbox(agent: &Agent) -> Result<Vec<Entry>> {
    Ok(store(agent)?.outbox_head(u64::MAX)?)
}

fn store(agent: &Agent) -> Result<Store> {
    let path = Utf8PathBuf::from_path_buf(agent.store_path())
        .map_err(|path| anyhow::anyhow!("{} is not UTF-8", path.display()))?;
    Ok(Store::open_existing(&path, STORE_SIZE).context("cannot open the agent's store")?.store)
}

/// Every object in the lists that carries an app's label and our field manager.
pub async fn owned(api: &Api, lists: &[String], app: &str) -> Result<BTreeSet<ObjectKey>> {
    let mut owned = BTreeSet::new();
    for list in lists {
        let Some(answer) = api.get(list).await? else { continue };
        // Items of a list carry neither kind nor version.
        let kind = answer["kind"].as_str().unwrap_or_default().trim_end_matches("List");
        for item in answer["items"].as_array().into_iter().flatten() {
            let mut item = item.clone();
            item["kind"] = Value::from(kind);
            item["apiVersion"] = answer["apiVersion"].clone();
            let labelled = item["metadata"]["labels"][APP_LABEL] == app;
            let managed = item["metadata"]["managedFields"]
                .as_array()
                .is_some_and(|entries| entries.iter().any(|one| one["manager"] == FIELD_MANAGER));
            if labelled && managed {
                owned.insert(ObjectKey::of(&item).context("an object without a name")?);
            }
        }
    }
    Ok(owned)
}

/// A measured figure, or what a message was, for whoever reads a test's output.
pub fn say(line: &str) {
    progress::write_stderr(&format!("{line}\n"));
}

/// The middle one.
pub fn median(times: Vec<Duration>) -> Duration {
    percentile(times, 50)
}

/// The time that `percent` in a hundred do not exceed.
pub fn percentile(mut times: Vec<Duration>, percent: usize) -> Duration {
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(rank).copied().unwrap_or_default()
}
