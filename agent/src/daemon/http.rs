//! `/healthz`, `/readyz` and `/metrics`, for probes and scrapers.
//!
//! Reads what the loop publishes and never asks it anything: a loop that hangs
//! is exactly what a probe is there to find. Takes no request that changes anything.

use std::{future::ready, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use leeward_core::model::Uptime;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use super::{
    connections::BoundedListener,
    progress::{Heartbeat, Stage},
};
use crate::{clock::Clock, log, metrics::Metrics};

/// A loop that has not come round for so long is taken for dead. Longer than
/// any single call that it waits for.
pub const HEARTBEAT_AGE_MAX: Duration = Duration::from_mins(1);

/// Opening a store may take so long, by then not even an SD card is still
/// checking each page of 256 MiB. A probe that kills it has it begin anew.
const OPENING_MAX: Duration = Duration::from_mins(10);

/// How long a client may keep us from leaving.
const DRAIN: Duration = Duration::from_secs(2);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All that the server needs.
#[derive(Clone, Debug)]
pub struct Endpoints {
    pub heartbeat: watch::Receiver<Heartbeat>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} (`http.listen`)")]
pub struct ListenError {
    pub address: SocketAddr,
    pub source: io::Error,
}

pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError { address, source })
}

/// Serves until `shutdown`, then gives open requests a moment to end.
pub async fn serve(
    listener: TcpListener,
    endpoints: Endpoints,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(|State(endpoints)| ready(healthz(&endpoints))))
        .route("/readyz", get(|State(endpoints)| ready(readyz(&endpoints))))
        .route("/metrics", get(|State(endpoints)| ready(metrics(&endpoints))))
        .with_state(endpoints);
    let served = axum::serve(BoundedListener::new(listener), router)
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let patience = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        result = served.into_future() => result,
        () = patience => Ok(()),
    }
}

fn healthz(endpoints: &Endpoints) -> (StatusCode, String) {
    alive(*endpoints.heartbeat.borrow(), endpoints.clock.uptime())
}

fn readyz(endpoints: &Endpoints) -> (StatusCode, String) {
    is_ready(endpoints.heartbeat.borrow().stage)
}

fn metrics(endpoints: &Endpoints) -> impl IntoResponse + use<> {
    let age = endpoints.clock.uptime() - endpoints.heartbeat.borrow().at;
    endpoints.metrics.log_lines_dropped(log::dropped());
    ([(CONTENT_TYPE, OPEN_METRICS)], endpoints.metrics.encode(age))
}

fn alive(heartbeat: Heartbeat, now: Uptime) -> (StatusCode, String) {
    let age = now - heartbeat.at;
    let (max, what) = match heartbeat.stage {
        Stage::OpensStore => (OPENING_MAX, "the store has not been opened within"),
        _ => (HEARTBEAT_AGE_MAX, "the loop has not come round for"),
    };
    if age < max {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("{what} {} s\n", age.as_secs()))
    }
}

/// Ready says that we can answer, not that the cluster is well or the link is
/// up: nobody is helped by an agent that is taken out of service for those. One
/// that waits for the lease is ready to take over.
fn is_ready(stage: Stage) -> (StatusCode, String) {
    match stage.waits_for() {
        Some(what) if stage != Stage::Follows => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{what}\n"))
        }
        _ => (StatusCode::OK, "ok\n".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use jiff::Timestamp;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;
    use crate::daemon::connections::{CONNECTIONS_MAX, LIFETIME};

    const WELL: Heartbeat = Heartbeat { at: Uptime::from_secs(100), stage: Stage::Runs };

    #[test]
    fn a_loop_that_came_round_within_a_minute_is_alive() {
        assert_eq!(alive(WELL, Uptime::from_secs(159)), (StatusCode::OK, "ok\n".to_owned()));
    }

    #[test]
    fn a_loop_that_hangs_is_not_alive_and_says_since_when() {
        let text = "the loop has not come round for 60 s\n".to_owned();
        assert_eq!(alive(WELL, Uptime::from_secs(160)), (StatusCode::SERVICE_UNAVAILABLE, text));
    }

    #[test]
    fn a_store_that_is_repaired_for_minutes_is_no_loop_that_hangs() {
        let opening = Heartbeat { stage: Stage::OpensStore, ..WELL };
        let codes = [699, 700].map(|second| alive(opening, Uptime::from_secs(second)).0);
        assert_eq!(codes, [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE]);
    }

    #[test]
    fn readyz_says_what_is_missing_and_a_follower_is_ready() {
        let stages = [Stage::OpensStore, Stage::FirstRound, Stage::Follows, Stage::Runs];
        let answers = stages.map(|stage| {
            let (code, text) = is_ready(stage);
            format!("{stage:?}: {} {text}", code.as_u16())
        });
        insta::assert_snapshot!(answers.concat(), @r"
        OpensStore: 503 the store is not open yet
        FirstRound: 503 no status has been published yet: the first round is under way
        Follows: 200 ok
        Runs: 200 ok
        ");
    }

    /// Runs a server for as long as `client` lasts.
    async fn with_server<T>(heartbeat: Heartbeat, client: impl AsyncFnOnce(SocketAddr) -> T) -> T {
        let listener = listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_sender, heartbeat) = watch::channel(heartbeat);
        let clock = Clock::simulated(Timestamp::UNIX_EPOCH);
        let endpoints = Endpoints { heartbeat, metrics: Arc::new(Metrics::new()), clock };
        let shutdown = CancellationToken::new();
        let (served, answer) = tokio::join!(serve(listener, endpoints, shutdown.clone()), async {
            let answer = client(address).await;
            shutdown.cancel();
            answer
        });
        served.unwrap();
        answer
    }

    async fn request(address: SocketAddr, line: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{line} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn each_endpoint_answers_over_http_and_nothing_can_be_changed() {
        let answers = with_server(WELL, async |address| {
            let mut answers = String::new();
            for line in ["GET /healthz", "GET /readyz", "POST /metrics", "GET /status"] {
                let answer = request(address, line).await;
                writeln!(answers, "{line}: {}", answer.lines().next().unwrap()).unwrap();
            }
            answers
        })
        .await;
        insta::assert_snapshot!(answers, @r"
        GET /healthz: HTTP/1.1 200 OK
        GET /readyz: HTTP/1.1 200 OK
        POST /metrics: HTTP/1.1 405 Method Not Allowed
        GET /status: HTTP/1.1 404 Not Found
        ");
    }

    #[tokio::test]
    async fn metrics_are_open_metrics() {
        let answer =
            with_server(WELL, async |address| request(address, "GET /metrics").await).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(OPEN_METRICS) && body.ends_with("# EOF\n"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_finishes_its_request_is_cut_off() {
        let took = with_server(WELL, async |address| {
            let started = tokio::time::Instant::now();
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /healthz HTTP/1.1\r\nX-Slow: ").await.unwrap();
            let mut answer = Vec::new();
            // Closed or reset, whichever the kernel makes of it.
            stream.read_to_end(&mut answer).await.ok();
            started.elapsed()
        })
        .await;
        assert!(took >= LIFETIME && took < LIFETIME * 2, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_finishes_does_not_keep_the_daemon_from_leaving() {
        let (_stream, asked_to_leave) = with_server(WELL, async |address| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /healthz HTTP/1.1\r\nX-Slow: ").await.unwrap();
            (stream, tokio::time::Instant::now())
        })
        .await;
        assert!(asked_to_leave.elapsed() <= DRAIN * 2, "{:?}", asked_to_leave.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn one_connection_too_many_waits_until_another_ends() {
        let took = with_server(WELL, async |address| {
            let mut idle = Vec::new();
            for _ in 0..CONNECTIONS_MAX {
                idle.push(TcpStream::connect(address).await.unwrap());
            }
            let started = tokio::time::Instant::now();
            let answer = request(address, "GET /readyz").await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            started.elapsed()
        })
        .await;
        assert!(took >= LIFETIME, "{took:?}");
    }
}
