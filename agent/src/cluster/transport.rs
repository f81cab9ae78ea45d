//! One request to the API server and its answer: bounded in time and size,
//! with fresh credentials, and patient once where the server asks for it.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jiff::{Timestamp, fmt::rfc2822};
use kube::client::Body;
use leeward_core::model::{ClusterFault, retry_after};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};

use super::{
    access::{Access, Connection},
    backoff, fault,
};

/// For a request and its whole answer. A board under load takes seconds for a
/// large list; no answer to a small request takes that long.
const TIMEOUT: Duration = Duration::from_secs(10);
/// For a write of an object, which passes through webhooks. The API server gives
/// each of them 10 s, or up to 30 s where its configuration says so; with a
/// little more we hear which one hangs, instead of giving up at the same moment.
const WRITE_TIMEOUT: Duration = Duration::from_secs(32);
/// For the question whether the API server answers at all, which costs it nothing.
const PROOF_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of one answer. The largest object that etcd takes has 1.5 MiB, a page
/// of a list 500 objects.
const MAX_ANSWER: usize = 32 * 1024 * 1024;
/// How long to wait at most when the API server asks to come back later; its
/// own default is one second.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(2);
/// How long to wait at most before looking whether the API server is back.
/// Looking costs one refused connection.
const MAX_LOOK: Duration = Duration::from_secs(2);
/// The server's clock is learnt again after this.
const CLOCK_AGE: Duration = Duration::from_secs(10);

pub(super) const JSON: &str = "application/json";
/// Metadata alone: an answer of a few hundred bytes, whatever the object.
/// A server that cannot do that may send the whole.
pub(super) const METADATA: &str =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
pub(super) const METADATA_LIST: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    pub(super) accept: &'static str,
    /// Content type and content.
    pub(super) body: Option<(&'static str, Bytes)>,
}

impl Call {
    pub(super) fn get(target: String, accept: &'static str) -> Self {
        Self { method: Method::GET, target, accept, body: None }
    }

    pub(super) fn with_json(method: Method, target: String, body: &serde_json::Value) -> Self {
        let body = Some((JSON, body.to_string().into()));
        Self { method, target, accept: JSON, body }
    }

    /// Returns whether webhooks may have a say. Leases and Events are written by `POST`
    /// and `PUT`, and have to be quick or not at all.
    fn writes_an_object(&self) -> bool {
        matches!(self.method, Method::PATCH | Method::DELETE)
    }
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }
}

/// The way to the API server.
pub(super) struct Transport {
    access: Access,
    /// A request found nobody there.
    suspicion: Notify,
    /// Counts how often the API server came back.
    returns: watch::Sender<u64>,
    /// The time by the server's clock, and when we heard it.
    clock: Mutex<Option<(Timestamp, Instant)>>,
}

impl Transport {
    pub(super) fn new(access: Access) -> Self {
        Self {
            access,
            suspicion: Notify::new(),
            returns: watch::Sender::new(0),
            clock: Mutex::new(None),
        }
    }

    /// Sends a request and reads the whole answer. Errs only when there is none.
    pub(super) async fn call(&self, call: &Call) -> Result<Answer, ClusterFault> {
        let answer = self.exchange(call).await;
        if matches!(&answer, Err(_) | Ok(Answer { code: 503, .. })) {
            self.suspicion.notify_one();
        }
        answer
    }

    /// Sends a request and returns its answer with the body still to be read.
    pub(super) async fn open(&self, call: &Call) -> Result<Response<Body>, ClusterFault> {
        let opened = bounded(self.send(call)).await;
        if opened.is_err() {
            self.suspicion.notify_one();
        }
        opened
    }

    /// Wakes whoever waits when the API server is back after it was away.
    pub(super) fn returns(&self) -> watch::Receiver<u64> {
        self.returns.subscribe()
    }

    /// Returns the wall time of the API server's machine, once an answer named it.
    pub(super) fn server_time(&self) -> Option<Timestamp> {
        let (said, heard) = (*self.clock.lock().unwrap_or_else(PoisonError::into_inner))?;
        said.checked_add(heard.elapsed()).ok()
    }

    /// The address of the API server, once its credentials could be read.
    pub(super) async fn server(&self) -> Option<String> {
        self.access.connection().await.ok().map(|connection| connection.server.to_string())
    }

    /// Looks after an API server that went away until it is back, then says so. Never ends.
    pub(super) async fn look_out(&self) {
        loop {
            self.suspicion.notified().await;
            let mut failures = 0;
            while !self.is_ready().await {
                failures += 1;
                if failures == 1 {
                    tracing::warn!("The API server is away.");
                }
                sleep(backoff::delay(failures, MAX_LOOK)).await;
            }
            if failures > 0 {
                tracing::info!("The API server is back.");
                self.returns.send_modify(|times| *times += 1);
            }
        }
    }

    /// A refusal is an answer: those who may not ask can still be served.
    async fn is_ready(&self) -> bool {
        let answer = self.exchange(&Call::get("/readyz".to_owned(), JSON)).await;
        answer.is_ok_and(|answer| matches!(answer.code, 200 | 401 | 403 | 404))
    }

    /// Tries a second time where the server asks for it.
    async fn exchange(&self, call: &Call) -> Result<Answer, ClusterFault> {
        let (answer, wait) = self.attempt(call).await?;
        match wait {
            Some(wait) if matches!(answer.code, 429 | 500 | 503 | 504) => {
                sleep(wait.min(MAX_RETRY_AFTER)).await;
                self.attempt(call).await.map(|(answer, _)| answer)
            }
            _ => Ok(answer),
        }
    }

    async fn attempt(&self, call: &Call) -> Result<(Answer, Option<Duration>), ClusterFault> {
        let most = if call.writes_an_object() { WRITE_TIMEOUT } else { TIMEOUT };
        match timeout(most, self.once(call)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.no_answer(call, most).await),
        }
    }

    /// Says who is to blame when there was no answer within `waited`. A write
    /// that hangs while other requests are answered hangs behind something of
    /// its own, such as a webhook with a long timeout.
    async fn no_answer(&self, call: &Call, waited: Duration) -> ClusterFault {
        let seconds = waited.as_secs();
        let proof = Call::get("/livez".to_owned(), JSON);
        if call.writes_an_object()
            && matches!(timeout(PROOF_TIMEOUT, self.once(&proof)).await, Ok(Ok(_)))
        {
            let message = format!(
                "the API server does not answer this write within {seconds} s, though it answers \
                 others: a webhook may hang"
            );
            return ClusterFault::NotReady { message };
        }
        ClusterFault::Unreachable { message: format!("no answer within {seconds} s") }
    }

    async fn once(&self, call: &Call) -> Result<(Answer, Option<Duration>), ClusterFault> {
        let response = self.send(call).await?;
        let code = response.status().as_u16();
        let wait = wait_asked(response.headers());
        let body = Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await
            .map_err(|error| cut_off(&*error))?
            .to_bytes();
        Ok((Answer { code, body }, wait))
    }

    /// Sends with the newest credentials; when they are refused, looks at once
    /// whether there are newer ones.
    async fn send(&self, call: &Call) -> Result<Response<Body>, ClusterFault> {
        let connection = self.access.connection().await.map_err(|error| unreachable(&error))?;
        let response = match send_over(&connection, call).await {
            // A kept connection that the server closed just now. All our requests may be
            // repeated: at worst the second answer is that the first succeeded.
            Err(SendError::Broken(_)) => send_over(&connection, call).await,
            response => response,
        };
        let response = response?;
        self.learn_time(response.headers());
        if response.status().as_u16() == 401
            && let Ok(newer) = self.access.recheck().await
            && !newer.is(&connection)
        {
            return Ok(send_over(&newer, call).await?);
        }
        Ok(response)
    }

    fn learn_time(&self, headers: &HeaderMap) {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        if clock.is_some_and(|(_, heard)| heard.elapsed() < CLOCK_AGE) {
            return;
        }
        if let Some(said) = headers.get(header::DATE).and_then(|date| date.to_str().ok())
            && let Ok(said) = rfc2822::DateTimeParser::new().parse_timestamp(said)
        {
            *clock = Some((said, Instant::now()));
        }
    }
}

/// Why a request got no answer.
enum SendError {
    /// The connection was there, and broke.
    Broken(ClusterFault),
    Other(ClusterFault),
}

impl From<SendError> for ClusterFault {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Broken(fault) | SendError::Other(fault) => fault,
        }
    }
}

async fn send_over(connection: &Connection, call: &Call) -> Result<Response<Body>, SendError> {
    let mut request = Request::builder()
        .method(call.method.clone())
        .uri(&call.target)
        .header(header::ACCEPT, call.accept)
        .header(header::USER_AGENT, concat!("leeward/", env!("CARGO_PKG_VERSION")));
    let body = match &call.body {
        Some((content_type, body)) => {
            request = request.header(header::CONTENT_TYPE, *content_type);
            Body::from(body.clone())
        }
        None => Body::empty(),
    };
    let request = request.body(body).map_err(|error| {
        SendError::Other(ClusterFault::Invalid { message: fault::chain(&error) })
    })?;
    connection.client.send(request).await.map_err(|error| explain(&connection.server, &error))
}

/// Leaves out what the layers between us and the socket call themselves.
fn explain(server: &str, error: &kube::Error) -> SendError {
    let kube::Error::Service(cause) = error else {
        return SendError::Other(unreachable(error));
    };
    let http = cause.downcast_ref::<hyper_util::client::legacy::Error>();
    let said = match http.and_then(std::error::Error::source) {
        Some(source) => fault::chain(source),
        None => fault::chain(&**cause),
    };
    // rustls ends its messages with a link to its manual.
    let said = said.split(": https://docs.rs").next().unwrap_or_default();
    let fault = ClusterFault::Unreachable { message: format!("{server}: {said}") };
    if http.is_some_and(|http| !http.is_connect()) {
        SendError::Broken(fault)
    } else {
        SendError::Other(fault)
    }
}

async fn bounded<T>(
    work: impl Future<Output = Result<T, ClusterFault>>,
) -> Result<T, ClusterFault> {
    timeout(TIMEOUT, work).await.unwrap_or_else(|_| {
        let message = format!("no answer within {} s", TIMEOUT.as_secs());
        Err(ClusterFault::Unreachable { message })
    })
}

/// Why a body could not be read to its end.
fn cut_off(error: &(dyn std::error::Error + 'static)) -> ClusterFault {
    if error.is::<LengthLimitError>() {
        let message = format!("it has more than {} MiB", MAX_ANSWER / 1024 / 1024);
        return ClusterFault::Unreadable { message };
    }
    unreachable(error)
}

fn unreachable(error: &(dyn std::error::Error + 'static)) -> ClusterFault {
    ClusterFault::Unreachable { message: fault::chain(error) }
}

/// Reads how long the API server asks to be left alone.
fn wait_asked(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    retry_after(text(header::RETRY_AFTER)?, text(header::DATE))
}

#[cfg(test)]
mod tests;
