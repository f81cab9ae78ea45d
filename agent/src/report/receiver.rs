//! The way to the receiver: HTTP, TLS, credentials. Files are read again for
//! every request, so that rotation works.

use std::{
    fmt, fs,
    io::{self, Read as _},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use leeward_core::{
    model::{Digest, chain, retry_after},
    report::accepts_zstd,
};
use reqwest::header::{self, HeaderMap, HeaderValue};

use crate::config::{ReportConfig, TlsFiles};

/// Largest certificate, key or token file, in bytes.
const FILE_MAX: u64 = 1024 * 1024;
/// Bytes of an answer's body that are read, so that the connection can be kept.
const ANSWER_MAX: usize = 64 * 1024;
/// For DNS, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Bodies below this, in bytes, do not get smaller enough to matter.
const COMPRESS_MIN: usize = 512;
/// Compression level of zstd.
const LEVEL: i32 = 3;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("cannot read {path} for the report receiver")]
    File { path: Utf8PathBuf, source: io::Error },
    #[error("{path} does not hold what the report receiver needs: {message}")]
    Content { path: Utf8PathBuf, message: String },
    #[error("cannot set up the connection to report receiver {host}")]
    Client { host: String, source: reqwest::Error },
    #[error("cannot reach report receiver {host}")]
    Transport { host: String, source: reqwest::Error },
    #[error("report receiver {host} answers {answer}")]
    Status { host: String, answer: String },
}

impl SendError {
    /// Returns whether fewer bytes at once might get through, since the connection stood.
    pub(super) fn may_be_too_much(&self) -> bool {
        matches!(self, Self::Transport { source, .. } if !source.is_connect() && !source.is_builder())
    }
}

/// The receiver's answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
}

/// `400 Bad Request`.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match reqwest::StatusCode::from_u16(self.status) {
            Ok(status) => write!(f, "{status}"),
            Err(_) => write!(f, "{}", self.status),
        }
    }
}

pub(super) struct Receiver {
    config: ReportConfig,
    timeout: Duration,
    /// With the digest of the files that it was made from.
    client: Option<(Digest, reqwest::Client)>,
    /// The last answer said that zstd is welcome.
    zstd: bool,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("host", &self.host()).finish_non_exhaustive()
    }
}

impl Receiver {
    pub(super) fn new(config: &ReportConfig, timeout: Duration) -> Self {
        Self { config: config.clone(), timeout, client: None, zstd: false }
    }

    pub(super) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
        self.client = None;
    }

    /// Closes the connection; the next request makes a new one.
    pub(super) fn disconnect(&mut self) {
        self.client = None;
    }

    /// Host and port alone: a URL may carry credentials.
    fn host(&self) -> String {
        let url = reqwest::Url::parse(&self.config.url).ok();
        url.and_then(|url| {
            let host = url.host_str()?.to_owned();
            Some(url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}")))
        })
        .unwrap_or_else(|| "(unreadable URL)".to_owned())
    }

    /// An answer that is not about the events, as an error.
    pub(super) fn refusal(&self, answer: &Answer) -> SendError {
        SendError::Status { host: self.host(), answer: answer.to_string() }
    }

    /// Posts a batch and waits for the answer.
    pub(super) async fn post(&mut self, body: &[u8]) -> Result<Answer, SendError> {
        let client = self.client()?;
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(leeward_wire::BATCH_CONTENT_TYPE),
        );
        if let Some(path) = &self.config.token_file {
            headers.insert(header::AUTHORIZATION, bearer(path)?);
        }
        let body = match zstd::bulk::compress(body, LEVEL) {
            Ok(small) if self.zstd && body.len() >= COMPRESS_MIN => {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("zstd"));
                small
            }
            _ => body.to_vec(),
        };
        let failed = |source: reqwest::Error| SendError::Transport {
            host: self.host(),
            source: source.without_url(),
        };
        let request = client.post(&self.config.url).headers(headers).body(body);
        let mut response = request.send().await.map_err(failed)?;
        let answer = read_answer(&response);
        let zstd = accepts_zstd(&header_text(&response, &header::ACCEPT_ENCODING));
        let mut read = 0;
        // The status is the answer; a body that is cut changes nothing about it.
        while let Ok(Some(chunk)) = response.chunk().await {
            read += chunk.len();
            if read > ANSWER_MAX {
                break;
            }
        }
        self.zstd = zstd;
        Ok(answer)
    }

    fn client(&mut self) -> Result<reqwest::Client, SendError> {
        let files = Files::read(&self.config.tls)?;
        let digest = files.digest();
        if let Some((known, client)) = &self.client
            && *known == digest
        {
            return Ok(client.clone());
        }
        let client = self.build(&files)?;
        self.client = Some((digest, client.clone()));
        Ok(client)
    }

    fn build(&self, files: &Files) -> Result<reqwest::Client, SendError> {
        let failed = |source| SendError::Client { host: self.host(), source };
        let content = |path: &Option<Utf8PathBuf>, error: reqwest::Error| SendError::Content {
            path: path.clone().unwrap_or_default(),
            message: chain(&error),
        };
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("leeward/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(self.timeout)
            .pool_max_idle_per_host(1);
        if self.config.url.starts_with("http://") {
            // Without TLS the system's roots are not worth reading.
            builder = builder.tls_certs_only([]);
        } else if let Some(ca) = &files.ca {
            let certificates = reqwest::Certificate::from_pem_bundle(ca)
                .map_err(|error| content(&self.config.tls.ca, error))?;
            builder = builder.tls_certs_merge(certificates);
        }
        if let Some(identity) = &files.identity {
            let identity = reqwest::Identity::from_pem(identity)
                .map_err(|error| content(&self.config.tls.client_cert, error))?;
            builder = builder.identity(identity);
        }
        if let Some(proxy) = &self.config.proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(failed)?);
        }
        builder.build().map_err(failed)
    }
}

/// The contents of the TLS files.
struct Files {
    ca: Option<Vec<u8>>,
    /// Certificate and key, one after the other.
    identity: Option<Vec<u8>>,
}

impl Files {
    fn read(files: &TlsFiles) -> Result<Self, SendError> {
        let read = |path: &Option<Utf8PathBuf>| path.as_deref().map(read_file).transpose();
        let ca = read(&files.ca)?;
        let identity = match (read(&files.client_cert)?, read(&files.client_key)?) {
            (Some(certificate), Some(key)) => Some([certificate, b"\n".to_vec(), key].concat()),
            _ => None,
        };
        Ok(Self { ca, identity })
    }

    fn digest(&self) -> Digest {
        let parts = [&self.ca, &self.identity];
        let lengths = parts.map(|part| part.as_ref().map_or(0, Vec::len).to_le_bytes().to_vec());
        let contents = parts.map(|part| part.clone().unwrap_or_default());
        Digest::of(&[lengths.concat(), contents.concat()].concat())
    }
}

fn read_file(path: &Utf8Path) -> Result<Vec<u8>, SendError> {
    let failed = |source| SendError::File { path: path.to_owned(), source };
    let mut content = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(FILE_MAX).read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}

fn bearer(path: &Utf8Path) -> Result<HeaderValue, SendError> {
    let token = read_file(path)?;
    let mut value =
        HeaderValue::from_bytes(&[b"Bearer ", token.trim_ascii()].concat()).map_err(|_| {
            SendError::Content {
                path: path.to_owned(),
                message: "a token has one line of visible characters".to_owned(),
            }
        })?;
    value.set_sensitive(true);
    Ok(value)
}

fn read_answer(response: &reqwest::Response) -> Answer {
    let after = header_text(response, &header::RETRY_AFTER);
    let date = header_text(response, &header::DATE);
    Answer {
        status: response.status().as_u16(),
        retry_after: retry_after(&after, Some(date.as_str()).filter(|date| !date.is_empty())),
    }
}

/// All values of a header, joined as RFC 9110 §5.2 says.
fn header_text(response: &reqwest::Response, name: &header::HeaderName) -> String {
    let values = response.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(", ")
}
