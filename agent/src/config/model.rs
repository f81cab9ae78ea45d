//! The configuration after every layer has been merged and checked.

use std::{collections::BTreeMap, time::Duration};

use camino::Utf8PathBuf;
use leeward_core::{model::Heal, render::Boundary};

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub cluster: ClusterConfig,
    pub source: SourceConfig,
    pub store: StoreConfig,
    pub apply: ApplyConfig,
    pub substitute: SubstituteConfig,
    pub sops: SopsConfig,
    /// `None`: reports stay in the outbox until somebody configures a receiver.
    pub report: Option<ReportConfig>,
    pub http: HttpConfig,
    pub control: ControlConfig,
    pub log: LogConfig,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ClusterConfig {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// `None`: the mounted service account, else `$KUBECONFIG`, else k3s' file.
    pub kubeconfig: Option<Utf8PathBuf>,
}

/// The ref, or the commit, that is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    Branch(String),
    Tag(String),
    /// 40 hex digits.
    Commit(String),
}

/// Files that say whom to trust and who we are. Read again at every use, so that rotation works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// In addition to the system's roots.
    pub ca: Option<Utf8PathBuf>,
    pub client_cert: Option<Utf8PathBuf>,
    pub client_key: Option<Utf8PathBuf>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SourceConfig {
    /// `https://…`, or `http://…` when allowed.
    pub url: String,
    pub reference: Reference,
    /// Expanded, without leading or trailing slash; empty for the root of the repository.
    pub path: String,
    /// Folders that kustomizations may refer to besides the path; an empty one is the repository.
    pub allowed_roots: Vec<String>,
    pub interval: Duration,
    /// Basic authentication.
    pub username: Option<String>,
    pub password_file: Option<Utf8PathBuf>,
    /// Bearer authentication.
    pub token_file: Option<Utf8PathBuf>,
    pub tls: TlsFiles,
    /// `None`: `$HTTPS_PROXY`, `$HTTP_PROXY` and `$NO_PROXY`.
    pub proxy: Option<String>,
}

impl SourceConfig {
    /// How far kustomizations may reach, with what was not fetched for them.
    pub(crate) fn boundary(&self, left_out: BTreeMap<String, String>) -> Boundary {
        Boundary { path: self.path.clone(), roots: self.allowed_roots.clone(), left_out }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct StoreConfig {
    /// A folder.
    pub path: Utf8PathBuf,
    /// Bytes.
    pub max_size: u64,
    /// Good revisions of an app that are kept, the present one among them.
    pub good_revisions: usize,
}

/// Defaults for every app.
#[derive(Clone, Debug, PartialEq)]
pub struct ApplyConfig {
    pub heal: Heal,
    pub timeout: Duration,
    pub soak: Duration,
    pub prune_max_objects: u32,
    pub prune_max_share: f64,
}

/// For every app that substitutes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubstituteConfig {
    pub variables: BTreeMap<String, String>,
}

/// Settings for encrypted files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SopsConfig {
    /// Read again at every use.
    pub age_key_files: Vec<Utf8PathBuf>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ReportConfig {
    pub url: String,
    pub token_file: Option<Utf8PathBuf>,
    pub tls: TlsFiles,
    pub proxy: Option<String>,
    /// Largest size of the outbox, in bytes.
    pub max_size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// `None`: switched off.
    pub listen: Option<std::net::SocketAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlConfig {
    pub socket: Utf8PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
    Journald,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A `tracing` filter, `info` or `leeward=debug,kube=warn`.
    pub level: String,
    pub format: LogFormat,
}
