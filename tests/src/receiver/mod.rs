//! A receiver of reports: takes CloudEvents batches, and fails as real
//! receivers do, by seed and on demand.

mod event;

use std::{
    collections::HashSet,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, body::Incoming, header};

pub use event::{Event, order_violation};

use crate::{
    Seed,
    http::{self, Answer, HttpServer},
    tls::{Authority, TlsOptions},
};

/// The largest batch, in bytes before compression.
pub const MAX_BATCH_BYTES: usize = 256 * 1024;

/// How many requests in a hundred go wrong, and how. Together at most 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misbehaviour {
    /// 500, and nothing is taken.
    pub server_error: u8,
    /// 429 with `Retry-After: 1`, and nothing is taken.
    pub too_many: u8,
    /// No answer ever, and nothing is taken.
    pub hang: u8,
    /// Everything is taken, and the connection is cut instead of an answer.
    pub acknowledgement_lost: u8,
}

#[derive(Clone, Debug, Default)]
pub struct ReceiverOptions {
    pub seed: u64,
    pub misbehaviour: Misbehaviour,
    /// Asked of every request.
    pub token: Option<String>,
    /// Says in its answers that it reads zstd.
    pub accept_zstd: bool,
    /// Answers 413 to a larger body, in bytes.
    pub max_body: Option<usize>,
    /// Answers 422 to a batch with an event of this type.
    pub refused_type: Option<String>,
    pub tls: Option<TlsOptions>,
}

/// What came, whether it was acknowledged or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    pub status: Status,
    /// Of the body as it was sent.
    pub bytes: usize,
    pub compressed: bool,
    pub events: Vec<Event>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Answered(u16),
    Hung,
    AcknowledgementLost,
}

#[derive(Debug)]
struct State {
    options: Mutex<ReceiverOptions>,
    seed: Mutex<Seed>,
    batches: Mutex<Vec<Batch>>,
    violations: Mutex<Vec<String>>,
}

/// Dropping it ends it.
#[derive(Debug)]
pub struct Receiver {
    server: HttpServer,
    authority: Authority,
    state: Arc<State>,
}

impl Receiver {
    pub fn start(options: ReceiverOptions) -> Result<Self> {
        let authority = Authority::new()?;
        let acceptor = options.tls.map(|tls| authority.acceptor(tls)).transpose()?;
        let state = Arc::new(State {
            seed: Mutex::new(Seed::new(options.seed)),
            options: Mutex::new(options),
            batches: Mutex::default(),
            violations: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let server =
            HttpServer::start(acceptor, move |request| answer(Arc::clone(&shared), request))?;
        Ok(Self { server, authority, state })
    }

    pub fn port(&self) -> u16 {
        self.server.address().port()
    }

    /// For `report.url`.
    pub fn url(&self) -> String {
        self.url_through(self.port())
    }

    /// The same behind a proxy on another port of loopback.
    pub fn url_through(&self, port: u16) -> String {
        let scheme = if self.server.has_tls() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{port}/v1/events")
    }

    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// From the next request on.
    pub fn set_misbehaviour(&self, misbehaviour: Misbehaviour) {
        guard(&self.state.options).misbehaviour = misbehaviour;
    }

    /// Everything that was asked, in the order of arrival.
    pub fn batches(&self) -> Vec<Batch> {
        guard(&self.state.batches).clone()
    }

    /// Every event that was taken, once, in the order of its first arrival.
    pub fn events(&self) -> Vec<Event> {
        let mut seen = HashSet::new();
        let batches = guard(&self.state.batches);
        let taken =
            batches.iter().filter(|batch| batch.was_taken()).flat_map(|batch| &batch.events);
        taken
            .filter(|event| seen.insert((event.source.clone(), event.id.clone())))
            .cloned()
            .collect()
    }

    /// What broke the promises of docs/reference/reports.md: a malformed request, or an event out of order.
    /// Empty when all is well.
    pub fn violations(&self) -> Vec<String> {
        let mut violations = guard(&self.state.violations).clone();
        violations.extend(order_violation(&self.events()));
        violations
    }

    /// Closes the port and every connection.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Serves on the same port again, with everything that it had taken.
    pub async fn start_again(&self) -> Result<()> {
        self.server.start_again().await
    }
}

impl Batch {
    /// Whether the receiver has it, told or not.
    pub fn was_taken(&self) -> bool {
        matches!(self.status, Status::Answered(200..300) | Status::AcknowledgementLost)
    }
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(state: Arc<State>, request: Request<Incoming>) -> Answer {
    Box::pin(async move {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let options = guard(&state.options).clone();
        if let Some(refusal) = refuse(&options, &head.method, &head.headers, &body) {
            record(&state, Status::Answered(refusal.as_u16()), &head.headers, &body, Vec::new());
            return Ok(respond(&options, refusal));
        }
        let events = match read_batch(&head.headers, &body) {
            Ok(events) => events,
            Err(violation) => {
                guard(&state.violations).push(violation);
                return Ok(respond(&options, StatusCode::BAD_REQUEST));
            }
        };
        let refused = events.iter().any(|event| Some(&event.kind) == options.refused_type.as_ref());
        let status = if refused {
            Status::Answered(StatusCode::UNPROCESSABLE_ENTITY.as_u16())
        } else {
            draw(options.misbehaviour, guard(&state.seed).below(100))
        };
        record(&state, status, &head.headers, &body, events);
        match status {
            Status::Hung => std::future::pending().await,
            Status::AcknowledgementLost => Err(io::Error::other("cut on purpose")),
            Status::Answered(code) => {
                Ok(respond(&options, StatusCode::from_u16(code).map_err(io::Error::other)?))
            }
        }
    })
}

/// What becomes of a request, for a number below 100.
fn draw(misbehaviour: Misbehaviour, number: u64) -> Status {
    let shares = [
        (misbehaviour.server_error, Status::Answered(500)),
        (misbehaviour.too_many, Status::Answered(429)),
        (misbehaviour.hang, Status::Hung),
        (misbehaviour.acknowledgement_lost, Status::AcknowledgementLost),
    ];
    let mut end = 0;
    for (share, status) in shares {
        end += u64::from(share);
        if number < end {
            return status;
        }
    }
    Status::Answered(202)
}

fn refuse(
    options: &ReceiverOptions,
    method: &Method,
    headers: &HeaderMap,
    body: &Bytes,
) -> Option<StatusCode> {
    if method != Method::POST {
        return Some(StatusCode::METHOD_NOT_ALLOWED);
    }
    let given = headers.get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes);
    if let Some(token) = &options.token
        && given != Some(format!("Bearer {token}").as_bytes())
    {
        return Some(StatusCode::UNAUTHORIZED);
    }
    options.max_body.filter(|max| body.len() > *max).map(|_| StatusCode::PAYLOAD_TOO_LARGE)
}

fn read_batch(headers: &HeaderMap, body: &Bytes) -> Result<Vec<Event>, String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = text(header::CONTENT_TYPE);
    if !content_type.starts_with("application/cloudevents-batch+json") {
        return Err(format!("content type is {content_type:?}"));
    }
    let plain = match text(header::CONTENT_ENCODING) {
        "" | "identity" => body.to_vec(),
        "zstd" => zstd::decode_all(body.as_ref()).map_err(|error| format!("zstd: {error}"))?,
        other => return Err(format!("content encoding is {other:?}")),
    };
    if plain.len() > MAX_BATCH_BYTES {
        return Err(format!("batch of {} bytes", plain.len()));
    }
    event::parse_batch(&plain)
}

fn record(state: &State, status: Status, headers: &HeaderMap, body: &Bytes, events: Vec<Event>) {
    let compressed = headers.contains_key(header::CONTENT_ENCODING);
    guard(&state.batches).push(Batch { status, bytes: body.len(), compressed, events });
}

fn respond(options: &ReceiverOptions, status: StatusCode) -> Response<http::Body> {
    let mut response = http::plain(status, "");
    let headers = response.headers_mut();
    if options.accept_zstd {
        headers.insert(header::ACCEPT_ENCODING, header::HeaderValue::from_static("zstd"));
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_misbehaviour_follow_each_other() {
        let misbehaviour =
            Misbehaviour { server_error: 10, too_many: 10, hang: 10, acknowledgement_lost: 10 };
        let drawn = [9, 10, 29, 39, 40].map(|number| draw(misbehaviour, number));
        let expected = [
            Status::Answered(500),
            Status::Answered(429),
            Status::Hung,
            Status::AcknowledgementLost,
            Status::Answered(202),
        ];
        assert_eq!(drawn, expected);
    }
}
