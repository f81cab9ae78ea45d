//! Where the API server is and who we are there: kubeconfig files or the
//! mounted service account, read again when they change.
//!
//! Never runs a credential plugin: a kubeconfig that asks for one is refused.

use std::{
    env,
    ffi::OsString,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use camino::Utf8Path;
use http::Uri;
use hyper_util::{
    client::legacy::connect::HttpConnector,
    rt::{TokioExecutor, TokioTimer},
};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, ConfigExt, RustlsTlsError},
    config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use tokio::time::Instant;
use tower::{BoxError, ServiceExt};

/// k3s writes it while it starts.
const K3S_KUBECONFIG: &str = "/etc/rancher/k3s/k3s.yaml";
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How often at most the files are looked at (a handful of `stat` calls).
const RECHECK: Duration = Duration::from_secs(1);
/// To open a TCP connection: the API server is on this machine or beside it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Idle connections are closed after this, and with them go their TLS buffers
/// (about 50 KB each): work comes in bursts, hours apart.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections kept for the next burst; as many as requests are in flight at once.
const POOL_MAX_IDLE: usize = 32;
/// A watch of a machine that vanished without a word is noticed after
/// `KEEPALIVE` plus three unanswered probes of `KEEPALIVE_INTERVAL`.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Read buffer of a connection, bytes; hyper's own limit is 400 KiB, for every watch.
const READ_BUFFER: usize = 64 * 1024;

/// Why there is no way to the API server, before anything was sent.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("kubeconfig {} cannot be read", .file.display())]
    Read { file: PathBuf, source: std::io::Error },
    #[error("kubeconfig {} cannot be used", .file.display())]
    Kubeconfig { file: PathBuf, source: Box<KubeconfigError> },
    #[error("kubeconfig {} wants to run a program for credentials, which Leeward never does; use a token or a client certificate", .file.display())]
    Plugin { file: PathBuf },
    #[error("kubeconfig {} has a proxy-url, which is not supported", .file.display())]
    Proxy { file: PathBuf },
    #[error("the service account mounted at {SERVICE_ACCOUNT} cannot be used")]
    ServiceAccount(#[source] Box<InClusterError>),
    #[error("the certificates or credentials for {server} cannot be used")]
    Credentials { server: Uri, source: Box<kube::Error> },
    #[error(
        "nothing vouches for {server}: the kubeconfig names no certificate authority, and this machine trusts none; install the package `ca-certificates`, or set `certificate-authority` in the kubeconfig"
    )]
    NoAuthorities { server: Uri, source: Box<kube::Error> },
}

impl ConnectError {
    /// Returns whether a file is just not there (yet): k3s writes its own while
    /// it starts, and a package brings the machine's certificate authorities.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::NoAuthorities { .. })
    }
}

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// Merged as kubectl does: the first to name something wins.
    Files(Vec<PathBuf>),
    ServiceAccount,
}

/// The parts of the process's environment that lead to a cluster.
struct Surroundings {
    service_account_mounted: bool,
    kubeconfig_variable: Option<OsString>,
}

/// A client with the credentials that it was made from.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) server: Arc<str>,
    stamps: Vec<Stamp>,
}

/// Tells one content of a file from the next without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    file: PathBuf,
    /// Modification time, size and inode; `None` when it is not there.
    seen: Option<(SystemTime, u64, u64)>,
}

/// Hands out connections that use the newest credentials.
pub(super) struct Access {
    origin: Origin,
    current: Mutex<Current>,
}

struct Current {
    connection: Option<Connection>,
    checked: Instant,
}

impl Access {
    /// Finds out where to look, and looks. A file that is not there yet is not
    /// an error: it is looked for again at every request.
    pub(super) async fn new(configured: Option<&Utf8Path>) -> Result<Self, ConnectError> {
        let surroundings = Surroundings {
            service_account_mounted: env::var_os("KUBERNETES_SERVICE_HOST").is_some()
                && Path::new(SERVICE_ACCOUNT).join("token").exists(),
            kubeconfig_variable: env::var_os("KUBECONFIG"),
        };
        let origin = locate(configured, &surroundings);
        let connection = match load(&origin).await {
            Ok(connection) => Some(connection),
            Err(error) if error.is_transient() => None,
            Err(error) => return Err(error),
        };
        Ok(Self { origin, current: Mutex::new(Current { connection, checked: Instant::now() }) })
    }

    /// The connection to use now.
    pub(super) async fn connection(&self) -> Result<Connection, ConnectError> {
        {
            let mut current = self.current();
            if current.checked.elapsed() < RECHECK
                && let Some(connection) = &current.connection
            {
                return Ok(connection.clone());
            }
            current.checked = Instant::now();
        }
        self.recheck().await
    }

    /// Looks at the files, whenever they were last looked at.
    pub(super) async fn recheck(&self) -> Result<Connection, ConnectError> {
        let known = self.current().connection.clone();
        if let Some(connection) = &known
            && connection.stamps.iter().all(Stamp::is_current)
        {
            return Ok(connection.clone());
        }
        match (load(&self.origin).await, known) {
            (Ok(connection), _) => {
                self.current().connection = Some(connection.clone());
                Ok(connection)
            }
            (Err(error), Some(connection)) => {
                // Half-written files are normal during a rotation.
                let error = super::fault::chain(&error);
                tracing::warn!(error, "Cannot read new cluster credentials; keeping the old.");
                Ok(connection)
            }
            (Err(error), None) => Err(error),
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        // Every change is one assignment, so a poisoned lock guards sound data.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Returns whether both are the same connection.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.server, &other.server)
    }
}

impl Stamp {
    fn of(file: &Path) -> Self {
        let seen = std::fs::metadata(file)
            .ok()
            .and_then(|found| Some((found.modified().ok()?, found.len(), found.ino())));
        Self { file: file.to_owned(), seen }
    }

    fn is_current(&self) -> bool {
        Self::of(&self.file) == *self
    }
}

/// In the order that docs/reference/configuration.md gives for `cluster.kubeconfig`.
fn locate(configured: Option<&Utf8Path>, surroundings: &Surroundings) -> Origin {
    if let Some(file) = configured {
        return Origin::Files(vec![file.as_std_path().to_owned()]);
    }
    if surroundings.service_account_mounted {
        return Origin::ServiceAccount;
    }
    let named: Vec<_> = surroundings
        .kubeconfig_variable
        .iter()
        .flat_map(env::split_paths)
        .filter(|file| !file.as_os_str().is_empty())
        .collect();
    if named.is_empty() { Origin::Files(vec![K3S_KUBECONFIG.into()]) } else { Origin::Files(named) }
}

async fn load(origin: &Origin) -> Result<Connection, ConnectError> {
    match origin {
        Origin::ServiceAccount => {
            let mounted = ["token", "ca.crt"].map(|name| Path::new(SERVICE_ACCOUNT).join(name));
            let stamps = mounted.iter().map(|file| Stamp::of(file)).collect();
            let config = Config::incluster()
                .map_err(|source| ConnectError::ServiceAccount(Box::new(source)))?;
            connect(&config, stamps)
        }
        Origin::Files(files) => {
            let mut stamps: Vec<_> = files.iter().map(|file| Stamp::of(file)).collect();
            let (first, kubeconfig) = read(files)?;
            stamps.extend(referenced(&kubeconfig).map(Stamp::of));
            let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                .await
                .map_err(|source| ConnectError::Kubeconfig {
                    file: first,
                    source: Box::new(source),
                })?;
            connect(&config, stamps)
        }
    }
}

/// Reads and merges what exists of `files`; also returns the first that does.
fn read(files: &[PathBuf]) -> Result<(PathBuf, Kubeconfig), ConnectError> {
    let mut merged: Option<(PathBuf, Kubeconfig)> = None;
    let mut absent = None;
    for file in files {
        let failed = |source| match source {
            KubeconfigError::ReadConfig(source, file) => ConnectError::Read { file, source },
            source => ConnectError::Kubeconfig { file: file.clone(), source: Box::new(source) },
        };
        let next = match Kubeconfig::read_from(file).map_err(failed) {
            Ok(next) => next,
            Err(error @ ConnectError::Read { .. }) => {
                absent.get_or_insert(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        refuse_unsupported(file, &next)?;
        merged = Some(match merged {
            None => (file.clone(), next),
            Some((first, earlier)) => (first, earlier.merge(next).map_err(failed)?),
        });
    }
    match (merged, absent) {
        (Some(merged), _) => Ok(merged),
        (None, Some(error)) => Err(error),
        (None, None) => Err(ConnectError::Read {
            file: PathBuf::from(K3S_KUBECONFIG),
            source: std::io::ErrorKind::NotFound.into(),
        }),
    }
}

fn refuse_unsupported(file: &Path, kubeconfig: &Kubeconfig) -> Result<(), ConnectError> {
    let runs_a_program = kubeconfig
        .auth_infos
        .iter()
        .filter_map(|user| user.auth_info.as_ref())
        .any(|user| user.exec.is_some() || user.auth_provider.is_some());
    if runs_a_program {
        return Err(ConnectError::Plugin { file: file.to_owned() });
    }
    let has_proxy = kubeconfig
        .clusters
        .iter()
        .filter_map(|cluster| cluster.cluster.as_ref()?.proxy_url.as_deref())
        .any(|proxy| !proxy.is_empty());
    if has_proxy {
        return Err(ConnectError::Proxy { file: file.to_owned() });
    }
    Ok(())
}

/// The files that a kubeconfig points to.
fn referenced(kubeconfig: &Kubeconfig) -> impl Iterator<Item = &Path> {
    let authorities = kubeconfig
        .clusters
        .iter()
        .filter_map(|cluster| cluster.cluster.as_ref()?.certificate_authority.as_deref());
    let identities =
        kubeconfig.auth_infos.iter().filter_map(|user| user.auth_info.as_ref()).flat_map(|user| {
            [&user.token_file, &user.client_certificate, &user.client_key]
                .into_iter()
                .filter_map(|file| file.as_deref())
        });
    authorities.chain(identities).map(Path::new)
}

/// Makes the client. Sends nothing: the API server need not be up.
///
/// Not kube's ready-made stack, which retries by itself for up to fifteen
/// times and logs every refusal as an error.
fn connect(config: &Config, stamps: Vec<Stamp>) -> Result<Connection, ConnectError> {
    let server: Arc<str> = config.cluster_url.to_string().trim_end_matches('/').into();
    let client = client(config).map_err(|source| {
        let (named, server) = (config.root_cert.is_some(), config.cluster_url.clone());
        let source = Box::new(source);
        match *source {
            // Ours are not read: it is the machine's that cannot be.
            kube::Error::RustlsTls(RustlsTlsError::AddRootCertificate(_)) if !named => {
                ConnectError::NoAuthorities { server, source }
            }
            _ => ConnectError::Credentials { server, source },
        }
    })?;
    Ok(Connection { client, server, stamps })
}

fn client(config: &Config) -> Result<Client, kube::Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    // Head and body of a request go out in two writes; Nagle would hold the
    // second back until the first is acknowledged.
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    tcp.set_keepalive_retries(Some(3));
    // Offers no ALPN, so the API server speaks HTTP/1.1: one slow answer does
    // not hold up the others, and a connection costs little memory.
    let tls = config.rustls_https_connector_with_connector(tcp)?;
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(POOL_MAX_IDLE)
        .http1_max_buf_size(READ_BUFFER)
        .build::<_, Body>(tls)
        .map_err(BoxError::from);
    let stack = ClientBuilder::new(http, config.default_namespace.clone())
        .with_layer(&config.base_uri_layer())
        .with_layer(&config.extra_headers_layer()?);
    Ok(match config.auth_layer()? {
        Some(credentials) => stack.with_layer(&credentials).build(),
        None => stack.build(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locate_in(configured: Option<&str>, mounted: bool, variable: Option<&str>) -> Origin {
        let surroundings = Surroundings {
            service_account_mounted: mounted,
            kubeconfig_variable: variable.map(OsString::from),
        };
        locate(configured.map(Utf8Path::new), &surroundings)
    }

    fn kubeconfig(user: &str, cluster: &str) -> String {
        format!(
            r#"{{"apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{{"name": "c", "cluster": {{"server": "https://127.0.0.1:1"{cluster}}}}}],
            "users": [{{"name": "u", "user": {{{user}}}}}],
            "contexts": [{{"name": "x", "context": {{"cluster": "c", "user": "u"}}}}]}}"#
        )
    }

    async fn connect_with(content: &str) -> Result<(), String> {
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        std::fs::write(&file, content).unwrap();
        let access = Access::new(Utf8Path::from_path(&file)).await;
        access.map(|_| ()).map_err(|error| {
            super::super::fault::chain(&error).replace(&*folder.path().to_string_lossy(), "DIR")
        })
    }

    #[test]
    fn the_configured_file_comes_before_service_account_variable_and_k3s() {
        let files = |names: &[&str]| Origin::Files(names.iter().map(PathBuf::from).collect());
        assert_eq!(locate_in(Some("/a"), true, Some("/b")), files(&["/a"]));
        assert_eq!(locate_in(None, true, Some("/b")), Origin::ServiceAccount);
        assert_eq!(locate_in(None, false, Some("/b:/c")), files(&["/b", "/c"]));
        assert_eq!(locate_in(None, false, Some("")), files(&["/etc/rancher/k3s/k3s.yaml"]));
        assert_eq!(locate_in(None, false, None), files(&["/etc/rancher/k3s/k3s.yaml"]));
    }

    #[tokio::test]
    async fn a_kubeconfig_that_runs_a_program_is_refused() {
        let exec = r#""exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "aws"}"#;
        insta::assert_snapshot!(
            connect_with(&kubeconfig(exec, "")).await.unwrap_err(),
            @"kubeconfig DIR/config wants to run a program for credentials, which Leeward never does; use a token or a client certificate"
        );
    }

    #[tokio::test]
    async fn a_kubeconfig_with_a_proxy_is_refused() {
        let proxy = r#", "proxy-url": "http://proxy:3128""#;
        insta::assert_snapshot!(
            connect_with(&kubeconfig("", proxy)).await.unwrap_err(),
            @"kubeconfig DIR/config has a proxy-url, which is not supported"
        );
    }

    #[tokio::test]
    async fn a_kubeconfig_that_is_no_yaml_names_the_file() {
        let error = connect_with("clusters: [").await.unwrap_err();
        assert!(error.starts_with("kubeconfig DIR/config cannot be used: "), "{error}");
    }

    #[tokio::test]
    async fn a_kubeconfig_without_its_context_names_the_file() {
        let content = kubeconfig("", "")
            .replace("\"current-context\": \"x\"", "\"current-context\": \"other\"");
        insta::assert_snapshot!(connect_with(&content).await.unwrap_err(), @"kubeconfig DIR/config cannot be used: failed to load current context: other");
    }

    #[tokio::test]
    async fn a_kubeconfig_that_comes_later_and_changes_is_read_again() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let access = Access::new(Utf8Path::from_path(&file)).await.unwrap();
        let absent = access.connection().await.err().unwrap();
        assert!(absent.is_transient());

        std::fs::write(&file, kubeconfig(r#""token": "one""#, "")).unwrap();
        let first = access.recheck().await.unwrap();
        assert!(first.is(&access.recheck().await.unwrap()));

        std::fs::write(&file, kubeconfig(r#""token": "second""#, "")).unwrap();
        let second = access.recheck().await.unwrap();
        assert!(!first.is(&second));

        std::fs::write(&file, "clusters: [").unwrap();
        assert!(second.is(&access.recheck().await.unwrap()));
    }
}
