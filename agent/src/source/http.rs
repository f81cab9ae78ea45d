//! Requests to one Git server over HTTP/1.1: few headers, bounded waits, redirects with care, every byte counted.
//!
//! Counted are the bytes of HTTP: request and status lines, headers and
//! bodies. The framing of TLS, TCP and IP is not seen from here, and the
//! framing of a chunked body is estimated from the pieces in which it came.

use std::time::Duration;

use bytes::Bytes;
use leeward_core::model::{Digest, FetchFailure, LinkStep, chain, retry_after};
use reqwest::{
    Client, Method, Request, Response, Url,
    header::{
        AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER,
        TRANSFER_ENCODING,
    },
};
use tokio::time::timeout;

use super::{
    client::build_client,
    credentials::{Authorization, authorization, tls_material},
    failure::{failure, hinted, of_request, of_status},
};
use crate::config::SourceConfig;

/// Without a byte for so long, nothing comes any more. Servers that compute send a sign of life every 5 s.
pub(super) const STALL: Duration = Duration::from_mins(1);
const MAX_REDIRECTS: usize = 5;
/// Answers that are read whole, bytes: capabilities, and refs with a common prefix.
const MAX_BODY: usize = 1 << 20;
const SERVICE: &str = "git-upload-pack";
const REQUEST_TYPE: HeaderValue = HeaderValue::from_static("application/x-git-upload-pack-request");

/// Bytes of HTTP that crossed the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Meter {
    pub(super) sent: u64,
    pub(super) received: u64,
}

/// The way to one repository, with the connection that is kept between polls.
pub(super) struct Link {
    client: Client,
    material: Digest,
    /// As configured: the place that may see our credentials.
    home: Url,
    /// Where redirects led.
    base: Url,
    proxy: Option<String>,
    authorization: Authorization,
    pub(super) meter: Meter,
    /// How much it may receive.
    pub(super) most: u64,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("url", &self.url()).finish_non_exhaustive()
    }
}

impl Link {
    /// Opens a link, or refreshes `old` with what its files hold now.
    pub(super) fn open(config: &SourceConfig, old: Option<Self>) -> Result<Self, FetchFailure> {
        let home = parse_url(&config.url)?;
        let material = tls_material(&config.tls)?;
        let digest = material.digest();
        let authorization = authorization(config)?;
        if let Some(old) = old.filter(|old| old.material == digest) {
            return Ok(Self { authorization, meter: Meter::default(), most: u64::MAX, ..old });
        }
        let client = build_client(config, &home, material)?;
        let proxy = super::proxy::in_use(config, &home);
        let base = home.clone();
        let (meter, most) = (Meter::default(), u64::MAX);
        Ok(Self { client, material: digest, home, base, proxy, authorization, meter, most })
    }

    /// Forgets where redirects led.
    pub(super) fn go_home(&mut self) {
        self.base = self.home.clone();
    }

    pub(super) fn host(&self) -> String {
        host_and_port(&self.base)
    }

    /// Without credentials that somebody may have put into it.
    pub(super) fn url(&self) -> String {
        redacted(&self.base)
    }

    /// The answer to the question for capabilities, read whole.
    pub(super) async fn capabilities(&mut self) -> Result<Vec<u8>, FetchFailure> {
        let answer = self.request(Method::GET, None).await?;
        self.read_whole(answer).await
    }

    /// The answer to a short command, read whole.
    pub(super) async fn command(&mut self, body: Vec<u8>) -> Result<Vec<u8>, FetchFailure> {
        let answer = self.request(Method::POST, Some(body)).await?;
        self.read_whole(answer).await
    }

    /// The answer to a fetch, to be read piece by piece.
    pub(super) async fn fetch(&mut self, body: Vec<u8>) -> Result<Answer, FetchFailure> {
        self.request(Method::POST, Some(body)).await
    }

    /// The next bytes of an answer; `None` at its end. Cancel safe.
    pub(super) async fn next_piece(
        &mut self,
        answer: &mut Answer,
    ) -> Result<Option<Bytes>, Broken> {
        // Cancel safe: `chunk` polls one frame, and a frame that has come is returned at once.
        let piece = match timeout(STALL, answer.response.chunk()).await {
            Ok(Ok(piece)) => piece,
            Ok(Err(error)) => {
                let failure = of_request(&error, &self.host(), self.proxy.as_deref());
                return Err(Broken::Cut(failure));
            }
            Err(_) => return Err(Broken::Stalled(self.stalled())),
        };
        self.meter.received += match &piece {
            Some(bytes) if answer.chunked => bytes.len() + hex_digits(bytes.len()) + 4,
            Some(bytes) => bytes.len(),
            None if answer.chunked => 5,
            None => 0,
        } as u64;
        Ok(piece)
    }

    fn stalled(&self) -> FetchFailure {
        let seconds = STALL.as_secs();
        failure(LinkStep::Http, format!("{} sent nothing for {seconds} s", self.host()))
    }

    async fn read_whole(&mut self, mut answer: Answer) -> Result<Vec<u8>, FetchFailure> {
        let mut body = Vec::new();
        while let Some(piece) = self.next_piece(&mut answer).await? {
            body.extend_from_slice(&piece);
            if body.len() > MAX_BODY {
                let evidence = format!("{} answered with more than {MAX_BODY} bytes", self.url());
                return Err(failure(LinkStep::Protocol, evidence));
            }
        }
        Ok(body)
    }

    /// Sends, follows redirects, judges the status.
    async fn request(
        &mut self,
        method: Method,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, FetchFailure> {
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(&method, body.clone()).await?;
            let status = response.status();
            if status.is_redirection() {
                self.base = self.redirected(response.headers())?;
                continue;
            }
            if !status.is_success() {
                let text = |name| response.headers().get(name)?.to_str().ok();
                let after = text(RETRY_AFTER).and_then(|after| retry_after(after, text(DATE)));
                let identity = &self.authorization.identity;
                return Err(of_status(status, after, &self.url(), identity));
            }
            self.check_type(&method, response.headers())?;
            let chunked = response.headers().contains_key(TRANSFER_ENCODING);
            return Ok(Answer { response, chunked });
        }
        let evidence =
            format!("more than {MAX_REDIRECTS} redirects, the last one to {}", self.url());
        self.base = self.home.clone();
        Err(failure(LinkStep::Http, evidence))
    }

    async fn send(
        &mut self,
        method: &Method,
        body: Option<Vec<u8>>,
    ) -> Result<Response, FetchFailure> {
        let mut reused = true;
        loop {
            let request = self.build(method, body.clone())?;
            self.meter.sent += request_bytes(&request, self.proxy.is_some());
            match timeout(STALL, self.client.execute(request)).await {
                Ok(Ok(response)) => {
                    self.meter.received += header_bytes(&response);
                    return Ok(response);
                }
                // The server may have closed the kept connection at the very moment at which we
                // used it: once more, on a new one. Git's commands change nothing, so repeating is safe.
                Ok(Err(error)) if reused && !error.is_connect() && !error.is_timeout() => {
                    reused = false;
                }
                Ok(Err(error)) => {
                    return Err(of_request(&error, &self.host(), self.proxy.as_deref()));
                }
                Err(_) => return Err(self.stalled()),
            }
        }
    }

    fn build(&self, method: &Method, body: Option<Vec<u8>>) -> Result<Request, FetchFailure> {
        let mut url = self.base.clone();
        let path = url.path().trim_end_matches('/').to_owned();
        if *method == Method::GET {
            url.set_path(&format!("{path}/info/refs"));
            url.set_query(Some(&format!("service={SERVICE}")));
        } else {
            url.set_path(&format!("{path}/{SERVICE}"));
        }
        let mut request =
            self.client.request(method.clone(), url).header("git-protocol", "version=2");
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, REQUEST_TYPE).body(body);
        }
        if let Some(header) = &self.authorization.header
            && may_see_credentials(&self.home, &self.base)
        {
            request = request.header(AUTHORIZATION, header.clone());
        }
        request.build().map_err(|error| {
            failure(
                LinkStep::Http,
                format!("cannot build a request to {}: {}", self.url(), chain(&error)),
            )
        })
    }

    fn redirected(&self, headers: &HeaderMap) -> Result<Url, FetchFailure> {
        let location =
            headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let from = self.url();
        let refused = |reason: &str| {
            let location: String = location.chars().take(200).collect();
            hinted(
                LinkStep::Http,
                format!("{from} redirects to `{location}`, {reason}"),
                "check `source.url`, and whether a captive portal or a login page answers",
            )
        };
        // Git's paths come below the repository's, so a relative location is relative to them.
        let mut asked = self.base.clone();
        asked.set_path(&format!("{}/{SERVICE}", asked.path().trim_end_matches('/')));
        let mut to = asked.join(location).map_err(|_| refused("which is no address"))?;
        let downgrade = self.base.scheme() == "https" && to.scheme() != "https";
        if downgrade || !matches!(to.scheme(), "http" | "https") {
            return Err(refused("which is less secure"));
        }
        let path = to
            .path()
            .strip_suffix("/info/refs")
            .or_else(|| to.path().strip_suffix("/git-upload-pack"))
            .ok_or_else(|| refused("which is no Git repository"))?
            .to_owned();
        to.set_path(&path);
        to.set_query(None);
        to.set_fragment(None);
        Ok(to)
    }

    fn check_type(&self, method: &Method, headers: &HeaderMap) -> Result<(), FetchFailure> {
        let kind =
            headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("nothing");
        let expected = if *method == Method::GET { "advertisement" } else { "result" };
        if kind == format!("application/x-{SERVICE}-{expected}") {
            return Ok(());
        }
        Err(hinted(
            LinkStep::Protocol,
            format!("{} answers with `{kind:.80}`, not as a Git server does", self.url()),
            "check that `source.url` is a Git repository, and that no captive portal answers for it",
        ))
    }
}

/// How the body of an answer failed to come.
pub(super) enum Broken {
    /// The connection ended.
    Cut(FetchFailure),
    /// It stands, but nothing comes: asking again at once would be no better.
    Stalled(FetchFailure),
}

impl From<Broken> for FetchFailure {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Cut(failure) | Broken::Stalled(failure) => failure,
        }
    }
}

/// An answer whose body is still to come.
pub(super) struct Answer {
    response: Response,
    chunked: bool,
}

pub(super) fn parse_url(text: &str) -> Result<Url, FetchFailure> {
    let url = Url::parse(text)
        .map_err(|error| failure(LinkStep::Http, format!("`{text}` is no URL: {error}")))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        scheme => Err(hinted(
            LinkStep::Http,
            format!("`{scheme}` repositories are not supported"),
            "use the https:// address of the repository",
        )),
    }
}

pub(super) fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn redacted(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), host_and_port(url), url.path())
}

fn may_see_credentials(home: &Url, base: &Url) -> bool {
    let upgraded = home.scheme() == "http" && base.scheme() == "https";
    home.host_str() == base.host_str()
        && (upgraded || home.port_or_known_default() == base.port_or_known_default())
}

/// Counts the bytes of a request as hyper writes it. The lines that reqwest adds are `accept`,
/// `host` and `content-length`.
fn request_bytes(request: &Request, by_proxy: bool) -> u64 {
    let url = request.url();
    let query = url.query().map_or(0, |query| query.len() + 1);
    let line =
        request.method().as_str().len() + url.path().len() + query + " HTTP/1.1\r\n".len() + 1;
    let host = "host: \r\n".len() + host_and_port(url).len();
    // A proxy needs the whole address in the request line, except in a tunnel.
    let whole = by_proxy && url.scheme() == "http";
    let origin = if whole { "http://".len() + host_and_port(url).len() } else { 0 };
    let body = request
        .body()
        .and_then(|body| body.as_bytes())
        .map_or(0, |body| body.len() + "content-length: \r\n".len() + body.len().to_string().len());
    (line + origin + host + "accept: */*\r\n".len() + headers_bytes(request.headers()) + body + 2)
        as u64
}

fn header_bytes(response: &Response) -> u64 {
    let reason = response.status().canonical_reason().unwrap_or_default();
    ("HTTP/1.1 200 \r\n".len() + reason.len() + headers_bytes(response.headers()) + 2) as u64
}

fn headers_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

fn hex_digits(number: usize) -> usize {
    format!("{number:x}").len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        parse_url(text).unwrap()
    }

    #[test]
    fn credentials_go_to_the_configured_host_only() {
        let home = url("https://git.example.com/fleet.git");
        assert!(may_see_credentials(&home, &url("https://git.example.com/moved.git")));
        assert!(!may_see_credentials(&home, &url("https://evil.example.com/fleet.git")));
        assert!(!may_see_credentials(&home, &url("https://git.example.com:8443/fleet.git")));
        assert!(may_see_credentials(&url("http://g/x"), &url("https://g/x")));
    }

    #[test]
    fn a_url_in_a_message_shows_no_password() {
        assert_eq!(redacted(&url("https://me:secret@g/x.git")), "https://g/x.git");
    }

    #[test]
    fn ssh_is_refused_with_a_hint() {
        let failure = parse_url("ssh://git@g/x.git").unwrap_err();
        assert_eq!(failure.evidence, "`ssh` repositories are not supported");
        assert!(failure.hint.unwrap().contains("https://"));
    }
}
