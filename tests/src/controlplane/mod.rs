//! A real control plane, without a container engine: etcd, kube-apiserver,
//! controller-manager and scheduler as processes of one binary, and simulated
//! nodes whose Pods do what their images' names say.
//!
//! `LEEWARD_TEST_KUBECONFIG` names another disposable cluster to use instead;
//! such a cluster is never stopped or wiped.

mod api;
mod binary;
mod components;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

pub use api::{Api, ApiError};

use components::Components;

/// From nothing to a node that takes Pods; a few seconds on an idle machine.
const READY_TIMEOUT: Duration = Duration::from_secs(90);
const READY_INTERVAL: Duration = Duration::from_millis(25);
/// One question to an API server that may hang.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);

const EXTERNAL: &str = "LEEWARD_TEST_KUBECONFIG";

#[derive(Clone, Debug)]
pub struct ControlPlaneOptions {
    pub nodes: u32,
    /// Images that every node says it holds already.
    pub images: Vec<String>,
    /// Whose requests the API server writes down, one JSON object a line, in
    /// `audit.log` of the folder.
    pub audited_user: Option<String>,
}

impl Default for ControlPlaneOptions {
    fn default() -> Self {
        Self { nodes: 1, images: Vec::new(), audited_user: None }
    }
}

/// A running control plane; dropping it ends it.
#[derive(Debug)]
pub struct ControlPlane {
    kubeconfig: PathBuf,
    own: Option<Components>,
}

impl ControlPlane {
    /// Starts one, or takes the cluster that `LEEWARD_TEST_KUBECONFIG` names.
    pub async fn start(options: ControlPlaneOptions) -> Result<Self> {
        if let Some(kubeconfig) = external() {
            let mut plane = Self { kubeconfig, own: None };
            plane.wait_until_usable().await?;
            return Ok(plane);
        }
        let binary = tokio::task::spawn_blocking(binary::build).await??;
        let mut own = Components::prepare(binary, options)?;
        own.start_all()?;
        let mut plane = Self { kubeconfig: own.kubeconfig(), own: Some(own) };
        plane.wait_until_usable().await?;
        Ok(plane)
    }

    /// As `start`, for a test that stops, wipes or counts on simulated nodes.
    /// Returns `None`, and says why, when the cluster is not ours to do that with.
    pub async fn start_own(options: ControlPlaneOptions, test: &str) -> Result<Option<Self>> {
        if let Some(kubeconfig) = external() {
            crate::progress::write_stderr(&format!(
                "skipped: {test}: needs a control plane of its own, and ${EXTERNAL} is {}\n",
                kubeconfig.display()
            ));
            return Ok(None);
        }
        Self::start(options).await.map(Some)
    }

    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Where logs, certificates and etcd's data are; `None` for a cluster that is not ours.
    pub fn folder(&self) -> Option<&Path> {
        self.own.as_ref().map(Components::folder)
    }

    /// `https://127.0.0.1:PORT`; `None` for a cluster that is not ours.
    pub fn url(&self) -> Option<String> {
        self.own.as_ref().map(Components::url)
    }

    /// A bearer token for a member of `system:masters`; `None` for a cluster that is not ours.
    pub fn token(&self) -> Option<&str> {
        self.own.as_ref().map(|_| components::TOKEN)
    }

    /// A client of the caller's runtime.
    pub async fn api(&self) -> Result<Api> {
        Api::from_kubeconfig(&self.kubeconfig).await
    }

    /// The API server goes, and with it what would only cry for it, as when
    /// k3s stops: controllers, scheduler and kubelets. The data stays.
    pub fn stop_api(&mut self) -> Result<()> {
        self.own()?.stop_api();
        Ok(())
    }

    /// Brings back what `stop_api` ended.
    pub async fn start_api(&mut self) -> Result<()> {
        self.own()?.start_api()?;
        self.wait_until_usable().await
    }

    /// The whole cluster's state is gone, as after a new installation at the
    /// same address, with the same certificates and tokens.
    pub async fn wipe(&mut self) -> Result<()> {
        let own = self.own()?;
        own.stop_all();
        own.delete_data()?;
        own.start_all()?;
        self.wait_until_usable().await
    }

    fn own(&mut self) -> Result<&mut Components> {
        self.own.as_mut().with_context(|| format!("the cluster of ${EXTERNAL} is not ours to stop"))
    }

    async fn wait_until_usable(&mut self) -> Result<()> {
        let started = Instant::now();
        let api = self.api().await?;
        let mut missing = "API server";
        loop {
            if missing == "API server" && answers(api.get_text("/readyz")).await.is_some() {
                missing = "ServiceAccount default";
            }
            if missing == "ServiceAccount default"
                && answers(api.get("/api/v1/namespaces/default/serviceaccounts/default"))
                    .await
                    .flatten()
                    .is_some()
            {
                missing = "ready node";
            }
            if missing == "ready node"
                && answers(api.list("/api/v1/nodes"))
                    .await
                    .is_some_and(|nodes| nodes.iter().any(node_takes_pods))
            {
                return Ok(());
            }
            if let Some(own) = &mut self.own {
                own.check_alive()?;
            }
            if started.elapsed() > READY_TIMEOUT {
                let logs = self.own.as_ref().map(Components::log_ends).unwrap_or_default();
                bail!("no {missing} after {READY_TIMEOUT:?}\n{logs}");
            }
            tokio::time::sleep(READY_INTERVAL).await;
        }
    }
}

/// The answer, unless there was an error or none in time.
async fn answers<T>(question: impl Future<Output = Result<T, ApiError>>) -> Option<T> {
    tokio::time::timeout(QUESTION_TIMEOUT, question).await.ok()?.ok()
}

fn node_takes_pods(node: &Value) -> bool {
    let ready = node["status"]["conditions"].as_array().is_some_and(|conditions| {
        conditions
            .iter()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    });
    ready && node["spec"]["taints"].as_array().is_none_or(Vec::is_empty)
}

fn external() -> Option<PathBuf> {
    std::env::var_os(EXTERNAL).filter(|value| !value.is_empty()).map(PathBuf::from)
}
