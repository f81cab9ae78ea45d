//! What `packaging/daemonset` puts into a cluster, and an agent that may do no
//! more than its ServiceAccount.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use hyper::Method;
use kube::config::{AuthInfo, Kubeconfig, NamedAuthInfo};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    agent,
    controlplane::{Api, ControlPlane},
};

/// Where the packaging has the agent live.
pub const NAMESPACE: &str = "leeward-system";
/// The control plane fills an aggregated role in within a moment.
const AGGREGATION: Duration = Duration::from_secs(30);

/// The objects of an overlay, `base` or `cluster-admin` for example, as
/// `leeward render` gives them.
pub async fn rendered(overlay: &Path) -> Result<Vec<Value>> {
    let binary = tokio::task::spawn_blocking(agent::build).await??;
    let output = Command::new(binary)
        .args(["render", "--output", "json"])
        .arg(overlay)
        .output()
        .await
        .context("cannot run leeward render")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "leeward render: {errors}");
    serde_json::from_slice(&output.stdout).context("leeward render gives no list of objects")
}

/// `packaging/daemonset` of this checkout, or a folder in it.
pub fn overlay(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/daemonset").join(name)
}

/// Installs everything but the DaemonSet, and returns a kubeconfig for its ServiceAccount.
pub async fn service_account(plane: &ControlPlane, api: &Api, folder: &Path) -> Result<PathBuf> {
    for object in rendered(&overlay("")).await? {
        if object["kind"] != "DaemonSet" {
            api.apply(&object, "installer").await?;
        }
    }
    let role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/leeward";
    let filled = |role: &Value| role["rules"].as_array().is_some_and(|rules| !rules.is_empty());
    api.wait_until(role, AGGREGATION, |role| role.is_some_and(filled)).await?;
    let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/leeward/token");
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": { "expirationSeconds": 3600 },
    });
    let body = request.to_string().into_bytes();
    let answer = api.request(Method::POST, &path, "application/json", body).await?;
    let answer: Value = serde_json::from_str(&answer)?;
    let token = answer["status"]["token"].as_str().context("no token was made")?;
    let mut kubeconfig = Kubeconfig::read_from(plane.kubeconfig())?;
    for context in &mut kubeconfig.contexts {
        if let Some(context) = &mut context.context {
            context.user = Some("leeward".to_owned());
        }
    }
    let auth = AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() };
    kubeconfig.auth_infos = vec![NamedAuthInfo {
        name: "leeward".to_owned(),
        auth_info: Some(auth),
        other: BTreeMap::new(),
    }];
    let file = folder.join("service-account.kubeconfig");
    fs::write(&file, serde_json::to_string(&kubeconfig)?).context("cannot write a kubeconfig")?;
    Ok(file)
}
