//! The reporter against a real HTTP server that misbehaves.

mod tls;

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Mutex, MutexGuard},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::post,
};
use leeward_core::report::{Event, EventKind, Stamp};
use serde_json::{Value, json};

use super::*;
use crate::{
    config::TlsFiles,
    store::{Batch, faulty::FaultyDisk},
};

/// A receiver and what it saw.
#[derive(Default)]
struct Seen {
    /// Every event that was accepted, in order of arrival, repeats included.
    accepted: Vec<Value>,
    requests: Vec<HeaderMap>,
    /// The size of each body as it came over the wire, and the number of events in it.
    bodies: Vec<(usize, usize)>,
}

struct Server {
    seen: Mutex<Seen>,
    judge: Judge,
}

/// Decides on a request by its number and its events.
type Judge = Box<dyn Fn(usize, &[Value]) -> Response + Send + Sync>;

impl Server {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    fn ids(&self) -> Vec<String> {
        let id = |event: &Value| event["id"].as_str().unwrap().to_owned();
        self.seen().accepted.iter().map(id).collect()
    }

    /// Ids after repeats were dropped, states left out.
    fn unique_events(&self) -> Vec<String> {
        let mut seen = HashSet::new();
        let accepted = self.seen().accepted.clone();
        accepted
            .iter()
            .filter(|event| event["type"] != "dev.leeward.state.v1")
            .map(|event| event["id"].as_str().unwrap().to_owned())
            .filter(|id| seen.insert(id.clone()))
            .collect()
    }
}

async fn receive(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> Response {
    let wire = body.len();
    let body = match headers.get("content-encoding").map(axum::http::HeaderValue::as_bytes) {
        Some(b"zstd") => zstd::decode_all(&body[..]).unwrap(),
        _ => body.to_vec(),
    };
    let events: Vec<Value> = serde_json::from_slice(&body).unwrap();
    let number = server.seen().requests.len();
    let answer = (server.judge)(number, &events);
    let mut seen = server.seen();
    seen.requests.push(headers);
    seen.bodies.push((wire, events.len()));
    if answer.status().is_success() {
        seen.accepted.extend(events);
    }
    answer
}

fn ok() -> Response {
    StatusCode::ACCEPTED.into_response()
}

fn contains(events: &[Value], id: &str) -> bool {
    events.iter().any(|event| event["id"] == id)
}

struct World {
    store: Arc<Store>,
    server: Arc<Server>,
    wake: watch::Sender<u64>,
}

impl World {
    fn new(judge: impl Fn(usize, &[Value]) -> Response + Send + Sync + 'static) -> Self {
        let store = Store::open_on(FaultyDisk::new(), 1 << 28).unwrap().store;
        let server = Server { seen: Mutex::default(), judge: Box::new(judge) };
        Self { store: Arc::new(store), server: Arc::new(server), wake: watch::Sender::new(0) }
    }

    fn push(&self, count: u64) {
        let events = (0..count).map(event).collect();
        let committed = self.store.commit(Batch { events, ..Batch::default() }).unwrap();
        self.wake.send_replace(committed.last_sequence);
    }

    fn push_state(&self, app: &str) {
        let state = Some((stamp(), json!({ "apps": app })));
        let committed = self.store.commit(Batch { state, ..Batch::default() }).unwrap();
        self.wake.send_replace(committed.last_sequence);
    }

    /// Runs server and reporter until `done`.
    async fn run_until(&self, config: ReportConfig, done: impl Fn(&World) -> bool) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        self.run_at(listener, address, config, done).await;
    }

    async fn run_at(
        &self,
        listener: tokio::net::TcpListener,
        address: SocketAddr,
        config: ReportConfig,
        done: impl Fn(&World) -> bool,
    ) {
        drop(rustls::crypto::ring::default_provider().install_default());
        let router =
            Router::new().route("/v1/events", post(receive)).with_state(Arc::clone(&self.server));
        let config = ReportConfig { url: format!("http://{address}/v1/events"), ..config };
        let reporter =
            Reporter::new(Arc::clone(&self.store), "shop", &config, 7).with_pacing(QUICK);
        let shutdown = CancellationToken::new();
        let now = || stamp().wall;
        let run = reporter.run(self.wake.subscribe(), shutdown.clone(), now);
        let watch = async {
            while !done(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            shutdown.cancel();
        };
        let serve = axum::serve(listener, router);
        tokio::time::timeout(Duration::from_secs(20), async {
            tokio::select! {
                _ = async { serve.await } => {}
                _ = async { tokio::join!(run, watch) } => {}
            }
        })
        .await
        .expect("everything is delivered in time");
    }

    fn drained(&self) -> bool {
        let status = self.store.outbox_status().unwrap();
        status.pending == 0 && self.store.outbox_state().unwrap().is_none()
    }
}

const QUICK: Pacing = Pacing {
    backoff: Backoff { min: Duration::from_millis(1), max: Duration::from_millis(10) },
    gather: Duration::from_millis(1),
    state_interval: Duration::from_millis(20),
    link_return_spread: Duration::from_millis(1),
    request_timeout: Duration::from_secs(5),
    keep_connection: Duration::from_millis(50),
};

fn config() -> ReportConfig {
    ReportConfig {
        url: String::new(),
        token_file: None,
        tls: TlsFiles::default(),
        proxy: None,
        max_size: 1 << 23,
    }
}

fn stamp() -> Stamp {
    Stamp {
        boot: 3,
        uptime_ms: 5,
        wall: "2026-01-02T03:04:05Z".parse().unwrap(),
        clock_trusted: true,
    }
}

fn event(number: u64) -> (Stamp, Event) {
    let data = json!({ "commit": format!("{number:040}") });
    (stamp(), Event { kind: EventKind::AppGood, subject: Some("shop".to_owned()), data })
}

fn ids(sequences: impl IntoIterator<Item = u64>) -> Vec<String> {
    sequences.into_iter().map(|sequence| format!("3-{sequence}")).collect()
}

#[tokio::test]
async fn the_newest_state_comes_first_and_then_every_event_in_order() {
    let world = World::new(|_, _| ok());
    world.push(3);
    world.push_state("old");
    world.push_state("new");
    world.run_until(config(), World::drained).await;
    assert_eq!(world.server.ids(), ids([5, 1, 2, 3]));
    let headers = &world.server.seen().requests[0];
    assert_eq!(headers["content-type"], "application/cloudevents-batch+json");
    assert_eq!(headers.get("content-encoding"), None);
    let status = world.store.outbox_status().unwrap();
    assert_eq!(status.last_acknowledged, Some(stamp().wall));
}

#[tokio::test]
async fn a_receiver_that_fails_half_its_requests_has_every_event_once_and_in_order() {
    // It takes the events of every second request that it fails all the same.
    let taken = Arc::new(Mutex::new(Vec::new()));
    let also = Arc::clone(&taken);
    let world = World::new(move |number, events| match number % 4 {
        0 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        2 => {
            also.lock().unwrap().extend(events.iter().map(|event| event["id"].clone()));
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        _ => ok(),
    });
    world.push(2000);
    world.run_until(config(), World::drained).await;
    assert_eq!(world.server.unique_events(), ids(1..=2000));
    assert!(!taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn one_poisonous_event_is_set_aside_and_the_rest_arrive_in_order() {
    for answer in [StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN] {
        let world =
            World::new(
                move |_, events| {
                    if contains(events, "3-333") { answer.into_response() } else { ok() }
                },
            );
        world.push(500);
        world.run_until(config(), World::drained).await;
        // The next one is the proof that it is not the credentials, so it goes first.
        let mut arrived = world.server.ids();
        arrived.sort_by_key(|id| id[2..].parse::<u64>().unwrap());
        assert_eq!(arrived, ids((1..=500).filter(|sequence| *sequence != 333)));
        let status = world.store.outbox_status().unwrap();
        assert_eq!(status.refused, 1);
        let expected = format!("3-333 dev.leeward.app.good.v1: {answer}");
        assert_eq!(status.refused_events, [expected]);
    }
}

#[tokio::test]
async fn a_receiver_with_a_small_limit_gets_small_batches() {
    let world = World::new(|_, events| {
        let large = events.len() > 40;
        if large { StatusCode::PAYLOAD_TOO_LARGE.into_response() } else { ok() }
    });
    world.push(300);
    world.run_until(config(), World::drained).await;
    assert_eq!(world.server.ids(), ids(1..=300));
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let world = World::new(|number, _| match number {
        0 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response(),
        _ => ok(),
    });
    world.push(1);
    let start = Instant::now();
    world.run_until(config(), World::drained).await;
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(world.server.seen().requests.len(), 2);
}

#[tokio::test]
async fn wrong_credentials_lose_no_event() {
    let folder = tempfile::tempdir().unwrap();
    let token = camino::Utf8PathBuf::from_path_buf(folder.path().join("token")).unwrap();
    std::fs::write(&token, "old\n").unwrap();
    let rotated = token.clone();
    let world = World::new(move |number, _| {
        // All five, three, two, one, and another one: it is not about one of them.
        if number == 4 {
            std::fs::write(&rotated, "new\n").unwrap();
        }
        if number > 4 { ok() } else { StatusCode::UNAUTHORIZED.into_response() }
    });
    world.push(5);
    let config = ReportConfig { token_file: Some(token), ..config() };
    world.run_until(config, World::drained).await;
    assert_eq!(world.server.ids(), ids(1..=5));
    let seen = world.server.seen();
    let tokens: Vec<_> =
        seen.requests.iter().map(|headers| headers["authorization"].to_str().unwrap()).collect();
    assert_eq!(tokens, [["Bearer old"; 5].as_slice(), &["Bearer new"; 2]].concat());
}

#[tokio::test]
async fn bodies_are_compressed_once_the_receiver_said_that_it_can() {
    let world = World::new(|number, _| match number {
        0 => (StatusCode::OK, [("accept-encoding", "gzip, zstd")]).into_response(),
        _ => ok(),
    });
    world.push(2000);
    world.run_until(config(), World::drained).await;
    let seen = world.server.seen();
    let encodings: Vec<bool> =
        seen.requests.iter().map(|headers| headers.contains_key("content-encoding")).collect();
    // The answer to the second request did not say so any more.
    assert_eq!(encodings[..3], [false, true, false]);
    assert!(seen.bodies[0].0 <= leeward_wire::BATCH_BYTES_MAX);
    assert!(seen.bodies[1].0 * 5 < seen.bodies[0].0);
    assert!(seen.bodies.len() < 6, "full batches, not crumbs: {:?}", seen.bodies);
}

#[tokio::test]
async fn a_receiver_that_is_down_is_named_and_gets_everything_when_it_is_back() {
    let world = World::new(|_, _| ok());
    world.push(10);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    drop(rustls::crypto::ring::default_provider().install_default());
    let down = ReportConfig { url: format!("http://user:secret@{address}/v1/events"), ..config() };
    let reporter = Reporter::new(Arc::clone(&world.store), "shop", &down, 7).with_pacing(QUICK);
    let mut delivery = reporter.delivery();
    let run = reporter.run(world.wake.subscribe(), CancellationToken::new(), || stamp().wall);
    let failed = tokio::select! {
        () = run => unreachable!("nobody asked it to stop"),
        failed = delivery.wait_for(|delivery| delivery.failures >= 3) => failed.unwrap().clone(),
    };
    assert!(failed.evidence.starts_with(&format!("cannot reach report receiver {address}: ")));
    assert!(
        failed.evidence.contains("refused") && !failed.evidence.contains("secret"),
        "{}",
        failed.evidence
    );
    assert!(failed.next_try.is_some());
    world.run_until(config(), World::drained).await;
    assert_eq!(world.server.ids(), ids(1..=10));
}

#[tokio::test]
async fn events_that_come_while_it_runs_are_delivered() {
    let world = World::new(|_, _| ok());
    world.push(1);
    let rounds = Mutex::new(1);
    world
        .run_until(config(), |world| {
            let mut rounds = rounds.lock().unwrap();
            if world.drained() && *rounds < 5 {
                *rounds += 1;
                world.push(1);
                world.push_state(&rounds.to_string());
            }
            world.drained()
        })
        .await;
    assert_eq!(world.server.unique_events(), ids([1, 2, 4, 6, 8]));
}

#[tokio::test]
async fn what_was_acknowledged_is_not_sent_again_after_a_restart() {
    let world = World::new(|_, _| ok());
    for _ in 0..3 {
        world.push(4);
        world.run_until(config(), World::drained).await;
    }
    assert_eq!(world.server.ids(), ids(1..=12));
}

#[test]
fn nothing_is_written_and_nobody_wakes_while_nothing_happens() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let world = World::new(|_, _| ok());
    let before = world.store.written_bytes();
    let reporter = Reporter::new(Arc::clone(&world.store), "shop", &config(), 7);
    let day = Duration::from_hours(24);
    let run = reporter.run(world.wake.subscribe(), CancellationToken::new(), || stamp().wall);
    let slept = runtime.block_on(async { tokio::time::timeout(day, run).await });
    assert!(slept.is_err());
    assert_eq!(world.store.written_bytes(), before);
    assert!(world.server.seen().requests.is_empty());
}
