//! Answers to requests of the CLI: out of what was published and out of the
//! store where that suffices, else from the loop.
//!
//! A loop that hangs is when people ask most, so `status`, `why` and `history`
//! never go through it.

use std::{sync::Arc, time::Duration};

use leeward_core::model::{AppName, StatusDocument};
use leeward_wire::control::{Request, Response};
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    time::timeout,
};

use super::progress::Heartbeat;
use crate::{clock::Clock, reconcile::HISTORY, store::Store};

/// A request, and where its answer goes.
pub type Asked = (Request, oneshot::Sender<Response>);

/// The longest answer of the loop is a diff, which asks the API server about every object.
const LOOP_PATIENCE: Duration = Duration::from_secs(30);
/// Requests that wait for the loop; a larger number is refused, so that those
/// that need no loop always find a free connection.
pub(super) const LOOP_REQUESTS_MAX: usize = 16;
/// A read of the store takes milliseconds. It waits for the disk while the file
/// grows, and the CLI loses its patience after 5 s.
const STORE_PATIENCE: Duration = Duration::from_secs(2);
/// Reads of the store at once. Those that hang keep their thread.
pub(super) const STORE_READS_MAX: usize = 4;

/// What the loop shows to whoever asks.
#[derive(Clone, Debug)]
pub struct Shown {
    pub heartbeat: watch::Receiver<Heartbeat>,
    pub status: watch::Receiver<Option<Arc<StatusDocument>>>,
    /// `None` until the store is open, and while the process ends.
    pub store: watch::Receiver<Option<Arc<Store>>>,
}

/// What there is to answer from. Clones share everything.
#[derive(Clone, Debug)]
pub struct Answers {
    clock: Clock,
    shown: Shown,
    requests: mpsc::Sender<Asked>,
    for_loop: Arc<Semaphore>,
    for_store: Arc<Semaphore>,
}

impl Answers {
    pub fn new(clock: Clock, shown: Shown, requests: mpsc::Sender<Asked>) -> Self {
        Self {
            clock,
            shown,
            requests,
            for_loop: Arc::new(Semaphore::new(LOOP_REQUESTS_MAX)),
            for_store: Arc::new(Semaphore::new(STORE_READS_MAX)),
        }
    }

    /// Answers within half a minute, and at once what needs no loop.
    pub async fn answer(&self, request: Request) -> Response {
        match request {
            Request::Status => self.status(),
            Request::History { app } => self.history(app).await,
            request => self.ask_loop(request).await,
        }
    }

    fn status(&self) -> Response {
        if let Some(document) = self.shown.status.borrow().as_deref() {
            let mut document = document.clone();
            document.agent.uptime_seconds = self.clock.uptime().0.as_secs();
            return Response::Status { document: Box::new(document) };
        }
        let stage = self.shown.heartbeat.borrow().stage;
        let message = stage.waits_for().unwrap_or("the agent is stopping");
        refused(message, Some("try again in a moment"))
    }

    async fn history(&self, app: Option<AppName>) -> Response {
        let Some(store) = self.shown.store.borrow().clone() else {
            return refused("the store is not open", Some("try again in a moment"));
        };
        let Ok(permit) = Arc::clone(&self.for_store).try_acquire_owned() else {
            return slow_store();
        };
        let reading = tokio::task::spawn_blocking(move || {
            let revisions = store.history(app.as_deref(), HISTORY);
            drop(permit);
            revisions
        });
        match timeout(STORE_PATIENCE, reading).await {
            Ok(Ok(Ok(revisions))) => Response::History { revisions },
            Ok(Ok(Err(error))) => refused(&error.to_string(), None),
            // The thread died, and said in the log why.
            Ok(Err(_)) => refused("cannot read the store", None),
            Err(_) => slow_store(),
        }
    }

    async fn ask_loop(&self, request: Request) -> Response {
        let Ok(_permit) = self.for_loop.try_acquire() else {
            let message = format!("{LOOP_REQUESTS_MAX} requests wait for an answer already");
            return refused(&message, Some("try again later"));
        };
        let (answer, answered) = oneshot::channel();
        let exchange = async {
            self.requests.send((request, answer)).await.ok()?;
            answered.await.ok()
        };
        match timeout(LOOP_PATIENCE, exchange).await {
            Ok(Some(response)) => response,
            Ok(None) => refused("the agent is stopping", None),
            Err(_) => {
                let seconds = LOOP_PATIENCE.as_secs();
                let message = format!("the agent did not answer within {seconds} s");
                refused(&message, Some("it may be waiting for the API server; try again"))
            }
        }
    }
}

fn slow_store() -> Response {
    let message = format!("the store did not answer within {} s", STORE_PATIENCE.as_secs());
    refused(&message, Some("its disk is slow or hangs; try again"))
}

fn refused(message: &str, hint: Option<&str>) -> Response {
    Response::Refused { message: message.to_owned(), hint: hint.map(str::to_owned) }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{
        io,
        sync::{Condvar, Mutex},
        thread,
    };

    use jiff::Timestamp;
    use leeward_core::model::Uptime;
    use redb::{StorageBackend, backends::InMemoryBackend};

    use super::*;
    use crate::{daemon::progress::Stage, store::Batch};

    /// What a desk has at its side before anything has happened, and what a loop has on its own.
    pub(in crate::daemon) struct Other {
        pub(in crate::daemon) beats: watch::Sender<Heartbeat>,
        pub(in crate::daemon) status: watch::Sender<Option<Arc<StatusDocument>>>,
        pub(in crate::daemon) store: watch::Sender<Option<Arc<Store>>>,
        pub(in crate::daemon) asked: mpsc::Receiver<Asked>,
    }

    pub(in crate::daemon) fn answers() -> (Answers, Other) {
        let (beats, heartbeat) = watch::channel(Heartbeat::default());
        let (status, published) = watch::channel(None);
        let (store, seen) = watch::channel(None);
        let (requests, asked) = mpsc::channel(LOOP_REQUESTS_MAX);
        let clock = Clock::simulated(Timestamp::UNIX_EPOCH);
        let shown = Shown { heartbeat, status: published, store: seen };
        let answers = Answers::new(clock, shown, requests);
        (answers, Other { beats, status, store, asked })
    }

    const STORE_SIZE: u64 = 64 * 1024 * 1024;

    fn document() -> StatusDocument {
        serde_json::from_value(serde_json::json!({
            "cluster": "edge",
            "agent": { "version": "0.1.0", "running": true, "boot": 1, "uptime_seconds": 0 },
            "source": { "url": "https://git.example.com/fleet.git", "ref": "refs/heads/main",
                "path": "a", "commit": null, "content": null, "fetched_at": null },
            "link": { "state": "unknown", "failed_step": null, "since": "1970-01-01T00:00:00Z",
                "evidence": "", "next_try": null },
            "apps": [],
            "outbox": { "pending": 0, "folded": 0, "dropped": 0, "last_acknowledged": null },
            "store": { "bytes": 0, "max_bytes": 0 },
        }))
        .unwrap()
    }

    fn history() -> Request {
        Request::History { app: None }
    }

    fn message(response: Response) -> String {
        let Response::Refused { message, .. } = response else { return format!("{response:?}") };
        message
    }

    #[tokio::test(start_paused = true)]
    async fn status_is_what_was_published_last_while_the_loop_answers_nothing() {
        let (answers, other) = answers();
        other.status.send_replace(Some(Arc::new(document())));
        tokio::time::advance(Duration::from_secs(90)).await;
        let Response::Status { document: told } = answers.answer(Request::Status).await else {
            panic!("no status");
        };
        assert_eq!((told.cluster, told.agent.uptime_seconds), (document().cluster, 90));
    }

    #[tokio::test]
    async fn before_a_status_is_published_it_is_said_what_is_waited_for() {
        let (answers, other) = answers();
        let mut said = Vec::new();
        for stage in [Stage::OpensStore, Stage::FirstRound, Stage::Follows] {
            other.beats.send_replace(Heartbeat { at: Uptime::default(), stage });
            said.push(message(answers.answer(Request::Status).await));
        }
        insta::assert_snapshot!(said.join("\n"), @r"
        the store is not open yet
        no status has been published yet: the first round is under way
        a different node acts; this one waits for the lease
        ");
        assert_eq!(message(answers.answer(history()).await), "the store is not open");
    }

    /// Memory, behind a `sync` that lasts for as long as the gate is closed.
    #[derive(Clone, Debug, Default)]
    struct SlowDisk {
        memory: Arc<InMemoryBackend>,
        gate: Arc<(Mutex<Gate>, Condvar)>,
    }

    #[derive(Debug, Default)]
    struct Gate {
        closed: bool,
        waiting: bool,
    }

    impl SlowDisk {
        fn change(&self, change: impl FnOnce(&mut Gate)) {
            change(&mut self.gate.0.lock().unwrap());
            self.gate.1.notify_all();
        }

        fn wait_until(&self, reached: impl Fn(&Gate) -> bool) {
            let gate = self.gate.0.lock().unwrap();
            drop(self.gate.1.wait_while(gate, |gate| !reached(gate)).unwrap());
        }
    }

    impl StorageBackend for SlowDisk {
        fn len(&self) -> io::Result<u64> {
            self.memory.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.memory.read(offset, out)
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.memory.set_len(len)
        }
        fn sync_data(&self) -> io::Result<()> {
            self.change(|gate| gate.waiting = gate.closed);
            self.wait_until(|gate| !gate.closed);
            self.memory.sync_data()
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.memory.write(offset, data)
        }
    }

    #[tokio::test]
    async fn history_is_answered_while_a_commit_waits_for_its_disk() {
        let disk = SlowDisk::default();
        let store = Arc::new(Store::open_on(disk.clone(), STORE_SIZE).unwrap().store);
        let (answers, other) = answers();
        other.store.send_replace(Some(Arc::clone(&store)));
        disk.change(|gate| gate.closed = true);
        let commit = thread::spawn(move || {
            let link = vec![("https://git.example.com".to_owned(), vec![1])];
            store.commit(Batch { link, ..Batch::default() }).unwrap();
        });
        disk.wait_until(|gate| gate.waiting);
        let answer = answers.answer(history()).await;
        assert!(!commit.is_finished());
        disk.change(|gate| gate.closed = false);
        commit.join().unwrap();
        assert_eq!(answer, Response::History { revisions: Vec::new() });
    }

    #[tokio::test]
    async fn reads_of_the_store_that_hang_are_bounded_in_number() {
        let (answers, other) = answers();
        let store = Store::open_on(SlowDisk::default(), STORE_SIZE).unwrap().store;
        other.store.send_replace(Some(Arc::new(store)));
        let _hang = answers.for_store.try_acquire_many(4).unwrap();
        assert_eq!(message(answers.answer(history()).await), "the store did not answer within 2 s");
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_too_many_for_the_loop_is_refused_and_status_is_not() {
        let (answers, other) = answers();
        other.status.send_replace(Some(Arc::new(document())));
        let waiting: futures::future::JoinAll<_> =
            (0..LOOP_REQUESTS_MAX).map(|_| answers.answer(Request::Sync)).collect();
        let more = async {
            let refused = message(answers.answer(Request::Sync).await);
            (refused, answers.answer(Request::Status).await)
        };
        let (served, (refused, status)) = tokio::join!(waiting, more);
        assert_eq!(refused, "16 requests wait for an answer already");
        assert!(matches!(status, Response::Status { .. }));
        let served: Vec<String> = served.into_iter().map(message).collect();
        assert_eq!(served, ["the agent did not answer within 30 s"; LOOP_REQUESTS_MAX]);
    }

    #[tokio::test]
    async fn a_request_after_the_loop_has_ended_hears_that_the_agent_is_stopping() {
        let (answers, other) = answers();
        drop(other);
        assert_eq!(message(answers.answer(Request::Sync).await), "the agent is stopping");
    }
}
