//! A real git server: `git http-backend` behind a small HTTP server of ours.
//!
//! It sends what `git http-backend` says and no header of its own; bytes are
//! counted by who asks.

mod backend;

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{Request, Response, StatusCode, body::Incoming, header};

use crate::{
    http::{self, Answer, HttpServer},
    tls::{Authority, TlsOptions},
};

/// Whom the server lets in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Access {
    #[default]
    Anyone,
    Basic {
        username: String,
        password: String,
    },
    Bearer {
        token: String,
    },
}

/// Which partial clones a repository serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filters {
    /// No filter capability at all: a server of old.
    None,
    All,
    /// `blob:none`, `blob:limit` and trees of depth 0: what GitHub allows.
    BlobsAndRootTree,
}

#[derive(Clone, Debug, Default)]
pub struct GitServerOptions {
    pub access: Access,
    /// `None`: plain HTTP.
    pub tls: Option<TlsOptions>,
}

#[derive(Debug)]
struct State {
    root: PathBuf,
    access: Mutex<Access>,
    outage: Mutex<Option<StatusCode>>,
    requests: Mutex<Vec<String>>,
}

/// Serves every repository in a folder; dropping it ends it.
#[derive(Debug)]
pub struct GitServer {
    server: HttpServer,
    authority: Authority,
    state: Arc<State>,
}

impl GitServer {
    /// Serves the repositories in `root`, each as `/NAME.git`.
    pub fn start(root: impl Into<PathBuf>, options: GitServerOptions) -> Result<Self> {
        let authority = Authority::new()?;
        let acceptor = options.tls.map(|tls| authority.acceptor(tls)).transpose()?;
        let state = Arc::new(State {
            root: root.into(),
            access: Mutex::new(options.access),
            outage: Mutex::new(None),
            requests: Mutex::new(Vec::new()),
        });
        let shared = Arc::clone(&state);
        let server =
            HttpServer::start(acceptor, move |request| answer(Arc::clone(&shared), request))?;
        Ok(Self { server, authority, state })
    }

    pub fn port(&self) -> u16 {
        self.server.address().port()
    }

    /// `http[s]://127.0.0.1:PORT/REPOSITORY`, the repository as `fleet.git`.
    pub fn url(&self, repository: &str) -> String {
        self.url_through(self.port(), repository)
    }

    /// The same behind a proxy on another port of loopback.
    pub fn url_through(&self, port: u16, repository: &str) -> String {
        let scheme = if self.server.has_tls() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{port}/{repository}")
    }

    /// Whom a client must trust, for its certificates too.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// For connections from now on.
    pub fn set_tls(&self, tls: TlsOptions) -> Result<()> {
        self.server.set_acceptor(self.authority.acceptor(tls)?);
        Ok(())
    }

    /// From the next request on.
    pub fn set_access(&self, access: Access) {
        *self.state.access.lock().unwrap_or_else(PoisonError::into_inner) = access;
    }

    /// Answers every request with this status; `None` serves again.
    pub fn set_outage(&self, status: Option<StatusCode>) {
        *self.state.outage.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// From the next request on.
    pub fn set_filters(&self, repository: &str, filters: Filters) -> Result<()> {
        let folder = self.state.root.join(repository);
        let (any, others) = match filters {
            Filters::None => ("false", "true"),
            Filters::All => ("true", "true"),
            Filters::BlobsAndRootTree => ("true", "false"),
        };
        configure(&folder, "uploadpack.allowFilter", any)?;
        configure(&folder, "uploadpackfilter.allow", others)?;
        if filters == Filters::BlobsAndRootTree {
            configure(&folder, "uploadpackfilter.blob:none.allow", "true")?;
            configure(&folder, "uploadpackfilter.blob:limit.allow", "true")?;
            configure(&folder, "uploadpackfilter.tree.allow", "true")?;
        }
        let depth = if filters == Filters::BlobsAndRootTree { "0" } else { "1000" };
        configure(&folder, "uploadpackfilter.tree.maxDepth", depth)
    }

    /// Method, path with query, and status of every answer so far.
    pub fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes the port and every connection.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Serves on the same port again.
    pub async fn start_again(&self) -> Result<()> {
        self.server.start_again().await
    }
}

fn configure(repository: &Path, key: &str, value: &str) -> Result<()> {
    let status = Command::new("git")
        .arg("--git-dir")
        .arg(repository)
        .args(["config", key, value])
        .stdin(Stdio::null())
        .status()
        .context("cannot run git")?;
    if !status.success() {
        bail!("cannot set {key} in {}", repository.display());
    }
    Ok(())
}

fn answer(state: Arc<State>, request: Request<Incoming>) -> Answer {
    Box::pin(async move {
        let asked = format!("{} {}", request.method(), request.uri());
        let outage = *state.outage.lock().unwrap_or_else(PoisonError::into_inner);
        let access = state.access.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let response = if let Some(status) = outage {
            http::plain(status, "out of order\n")
        } else if let Some(refusal) = refuse(&access, &request) {
            refusal
        } else {
            backend::serve(&state.root, request).await?
        };
        let line = format!("{asked} {}", response.status().as_u16());
        state.requests.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        Ok(response)
    })
}

fn refuse(access: &Access, request: &Request<Incoming>) -> Option<Response<http::Body>> {
    let (wanted, challenge) = match access {
        Access::Anyone => return None,
        Access::Basic { username, password } => (
            format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))),
            "Basic realm=\"fleet\"",
        ),
        Access::Bearer { token } => (format!("Bearer {token}"), "Bearer realm=\"fleet\""),
    };
    let given = request.headers().get(header::AUTHORIZATION);
    if given.is_some_and(|given| given.as_bytes() == wanted.as_bytes()) {
        return None;
    }
    let mut response = http::plain(StatusCode::UNAUTHORIZED, "who are you?\n");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static(challenge));
    Some(response)
}
