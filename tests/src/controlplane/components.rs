//! The processes of one control plane: which there are, their flags, their
//! order, and the files they share.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use rcgen::KeyPair;
use serde_json::json;

use super::ControlPlaneOptions;
use crate::{
    leash::{self, Leashed, ScratchDir},
    ports,
    tls::{Authority, Certificate},
};

/// Of a member of `system:masters`. The server listens on loopback only.
pub(super) const TOKEN: &str = "leeward-tests";
/// Lines of each log that an error repeats.
const LOG_LINES: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Component {
    Etcd,
    ApiServer,
    ControllerManager,
    Scheduler,
    Nodes,
}

impl Component {
    /// Each may use those before it. The end comes in reverse, because an API
    /// server that has lost etcd hangs and keeps its port.
    const ALL: [Self; 5] =
        [Self::Etcd, Self::ApiServer, Self::ControllerManager, Self::Scheduler, Self::Nodes];

    fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Nodes => "nodes",
        }
    }
}

#[derive(Debug)]
pub(super) struct Components {
    // Fields are dropped in this order, and the folder must go last.
    running: Vec<(Component, Leashed)>,
    binary: PathBuf,
    options: ControlPlaneOptions,
    etcd_port: u16,
    peer_port: u16,
    api_port: u16,
    folder: ScratchDir,
}

impl Components {
    /// Writes every file that the components share; starts nothing.
    pub(super) fn prepare(binary: PathBuf, options: ControlPlaneOptions) -> Result<Self> {
        let folder = ScratchDir::new("controlplane")?;
        let [etcd_port, peer_port, api_port] = ports::free().context("no free port on loopback")?;
        let components =
            Self { running: Vec::new(), binary, options, etcd_port, peer_port, api_port, folder };
        components.write_files()?;
        Ok(components)
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.api_port)
    }

    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    pub(super) fn start_all(&mut self) -> Result<()> {
        Component::ALL.into_iter().try_for_each(|component| self.start(component))
    }

    pub(super) fn start_api(&mut self) -> Result<()> {
        Component::ALL
            .into_iter()
            .filter(|component| *component != Component::Etcd)
            .try_for_each(|component| self.start(component))
    }

    pub(super) fn stop_api(&mut self) {
        // The last process is the one that depends on all others.
        while self.running.last().is_some_and(|(component, _)| *component != Component::Etcd) {
            self.running.pop();
        }
    }

    pub(super) fn stop_all(&mut self) {
        while self.running.pop().is_some() {}
    }

    pub(super) fn delete_data(&self) -> Result<()> {
        let data = self.folder.join("etcd");
        fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))
    }

    /// An error with the log's end if a component has died.
    pub(super) fn check_alive(&mut self) -> Result<()> {
        for (component, process) in &mut self.running {
            if let Some(status) = process.ended() {
                let log = self.folder.join(format!("{}.log", component.name()));
                bail!("{} has ended: {status}\n{}", component.name(), leash::tail(&log, LOG_LINES));
            }
        }
        Ok(())
    }

    pub(super) fn log_ends(&self) -> String {
        let ends = self.running.iter().map(|(component, _)| {
            let log = self.folder.join(format!("{}.log", component.name()));
            format!("{}:\n{}", log.display(), leash::tail(&log, LOG_LINES))
        });
        ends.collect::<Vec<_>>().join("\n")
    }

    fn start(&mut self, component: Component) -> Result<()> {
        if self.running.iter().any(|(running, _)| *running == component) {
            return Ok(());
        }
        let mut command = Command::new(&self.binary);
        command.arg(component.name()).args(self.arguments(component));
        // Five processes that start at once on a small machine: memory is
        // there, time is not.
        command.current_dir(self.folder.path()).env("GOGC", "400");
        let log = self.folder.join(format!("{}.log", component.name()));
        let process = Leashed::spawn_logged(component.name(), &mut command, &log)?;
        self.running.push((component, process));
        Ok(())
    }

    fn arguments(&self, component: Component) -> Vec<String> {
        let in_folder = |name: &str| self.folder.join(name).display().to_string();
        let kubeconfig = in_folder("kubeconfig");
        match component {
            Component::Etcd => vec![
                in_folder("etcd"),
                format!("http://127.0.0.1:{}", self.etcd_port),
                format!("http://127.0.0.1:{}", self.peer_port),
            ],
            Component::ApiServer => vec![
                format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
                format!("--secure-port={}", self.api_port),
                String::from("--bind-address=127.0.0.1"),
                String::from("--advertise-address=127.0.0.1"),
                format!("--tls-cert-file={}", in_folder("server.pem")),
                format!("--tls-private-key-file={}", in_folder("server.key")),
                format!("--service-account-key-file={}", in_folder("accounts.pub")),
                format!("--service-account-signing-key-file={}", in_folder("accounts.key")),
                String::from("--service-account-issuer=https://kubernetes.default.svc"),
                String::from("--service-cluster-ip-range=10.43.0.0/16"),
                format!("--token-auth-file={}", in_folder("tokens.csv")),
                String::from("--authorization-mode=Node,RBAC"),
                String::from("--allow-privileged=true"),
                String::from("--endpoint-reconciler-type=none"),
                format!("--audit-policy-file={}", in_folder("audit.json")),
                format!("--audit-log-path={}", in_folder("audit.log")),
            ],
            Component::ControllerManager => vec![
                format!("--kubeconfig={kubeconfig}"),
                String::from("--leader-elect=false"),
                String::from("--secure-port=0"),
                // The default of 20 requests a second is what large tests would measure.
                String::from("--kube-api-qps=500"),
                String::from("--kube-api-burst=1000"),
                format!("--service-account-private-key-file={}", in_folder("accounts.key")),
                format!("--root-ca-file={}", in_folder("ca.pem")),
                String::from("--use-service-account-credentials=true"),
            ],
            Component::Scheduler => vec![
                format!("--kubeconfig={kubeconfig}"),
                String::from("--leader-elect=false"),
                String::from("--secure-port=0"),
                String::from("--kube-api-qps=500"),
                String::from("--kube-api-burst=1000"),
            ],
            Component::Nodes => vec![
                format!("--kubeconfig={kubeconfig}"),
                format!("--count={}", self.options.nodes),
                format!("--images={}", self.options.images.join(",")),
            ],
        }
    }

    fn write_files(&self) -> Result<()> {
        let authority = Authority::new()?;
        let server = authority.server(Certificate::Good)?;
        let accounts = KeyPair::generate().context("cannot generate a key")?;
        self.write("ca.pem", &authority.pem())?;
        self.write("server.pem", &server.certificate_pem())?;
        self.write("server.key", &server.key_pem())?;
        self.write("accounts.key", &accounts.serialize_pem())?;
        self.write("accounts.pub", &accounts.public_key_pem())?;
        self.write("tokens.csv", &format!("{TOKEN},admin,admin,system:masters\n"))?;
        let audited: Vec<_> = self.options.audited_user.iter().collect();
        let audit = json!({
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived", "ResponseStarted"],
            "rules": [
                { "level": if audited.is_empty() { "None" } else { "Metadata" }, "users": audited },
                { "level": "None" },
            ],
        });
        self.write("audit.json", &audit.to_string())?;
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "tests", "cluster": {
                "server": self.url(),
                "certificate-authority-data": base64(authority.pem().as_bytes()),
            }}],
            "users": [{ "name": "admin", "user": { "token": TOKEN } }],
            "contexts": [{ "name": "tests", "context": { "cluster": "tests", "user": "admin" } }],
            "current-context": "tests",
        });
        self.write("kubeconfig", &format!("{kubeconfig:#}\n"))
    }

    fn write(&self, name: &str, content: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Drop for Components {
    fn drop(&mut self) {
        self.stop_all();
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}
