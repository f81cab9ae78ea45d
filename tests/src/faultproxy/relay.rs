//! Carries one connection both ways, by the policy of the moment.

use std::{
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, watch},
    time::Instant,
};

use super::{Break, Counted, Policy, Shared, Traffic};

/// One read.
const CHUNK_BYTES: usize = 16 * 1024;
/// A rate is kept in steps of this fraction of a second, or of this many bytes if that is more.
const STEPS_A_SECOND: u64 = 20;
const MIN_STEP_BYTES: u64 = 256;
/// Chunks under way at once; with latency this bounds the throughput.
const CHUNKS_UNDER_WAY: usize = 64;
/// How long a closed connection waits for the client to close its side too,
/// so that nothing sent is lost to a reset.
const LINGER: Duration = Duration::from_secs(1);

/// What one connection carried.
#[derive(Debug, Default)]
pub(super) struct Tally {
    up: AtomicU64,
    down: AtomicU64,
    turns: AtomicU64,
    client_speaks: AtomicBool,
    cut: AtomicBool,
}

impl Tally {
    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            up: self.up.load(Ordering::SeqCst),
            down: self.down.load(Ordering::SeqCst),
            turns: self.turns.load(Ordering::SeqCst),
        }
    }

    pub(super) fn was_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }

    fn add(&self, way: Way, bytes: usize) {
        let bytes = bytes as u64;
        match way {
            Way::Up => {
                self.up.fetch_add(bytes, Ordering::SeqCst);
                if !self.client_speaks.swap(true, Ordering::SeqCst) {
                    self.turns.fetch_add(1, Ordering::SeqCst);
                }
            }
            Way::Down => {
                self.down.fetch_add(bytes, Ordering::SeqCst);
                self.client_speaks.store(false, Ordering::SeqCst);
            }
        }
    }

    fn counted(&self, counted: Counted) -> u64 {
        let traffic = self.traffic();
        match counted {
            Counted::Down => traffic.down,
            Counted::Up => traffic.up,
            Counted::Both => traffic.up + traffic.down,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

impl Way {
    fn counts_towards(self, counted: Counted) -> bool {
        matches!(
            (self, counted),
            (_, Counted::Both) | (Self::Up, Counted::Up) | (Self::Down, Counted::Down)
        )
    }

    fn rate(self, policy: Policy) -> Option<u64> {
        match self {
            Self::Up => policy.up_rate,
            Self::Down => policy.down_rate,
        }
    }
}

/// When the link is free for the next byte; shared by all connections.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Option<Instant>>);

impl Pace {
    /// Takes the link for so many bytes and returns when they have passed.
    async fn pass(&self, bytes: usize, rate: u64) {
        let until = {
            let mut free_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let from = free_at.unwrap_or_else(Instant::now).max(Instant::now());
            let micros = (bytes as u64).saturating_mul(1_000_000) / rate.max(1);
            let until = from + Duration::from_micros(micros);
            *free_at = Some(until);
            until
        };
        tokio::time::sleep_until(until).await;
    }
}

/// Why a connection ended before both sides were done.
enum Abrupt {
    Cut(Break),
    Broken,
}

impl From<io::Error> for Abrupt {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

/// Resets a connection whose future is dropped: the link went away under it.
struct ResetOnDrop {
    client: TcpStream,
    server: TcpStream,
    armed: bool,
}

impl Drop for ResetOnDrop {
    fn drop(&mut self) {
        if self.armed {
            // Fails only for a socket that has ended already.
            let _ended = self.client.set_zero_linger();
            let _ended = self.server.set_zero_linger();
        }
    }
}

pub(super) async fn run(
    client: TcpStream,
    server: TcpStream,
    shared: &Shared,
    tally: &Tally,
    draw: u64,
) {
    // Small packets must not wait for each other; a socket that refuses is about to fail anyway.
    let _about_to_fail = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
    let mut ends = ResetOnDrop { client, server, armed: true };
    let (client_read, client_write) = ends.client.split();
    let (server_read, server_write) = ends.server.split();
    let lane = |way| Lane { way, shared, tally, draw, policy: shared.policy.subscribe() };
    let end = tokio::try_join!(
        lane(Way::Up).carry(client_read, server_write),
        lane(Way::Down).carry(server_read, client_write),
    );
    match end {
        Ok(_) => ends.armed = false,
        Err(Abrupt::Cut(Break::Close)) => {
            tally.cut.store(true, Ordering::SeqCst);
            close_gently(&mut ends.client).await;
            ends.armed = false;
        }
        Err(Abrupt::Cut(Break::Reset | Break::Stall)) => tally.cut.store(true, Ordering::SeqCst),
        Err(Abrupt::Broken) => {}
    }
}

/// Closing a socket with unread bytes would reset it, and take back what the
/// client has not read yet.
async fn close_gently(client: &mut TcpStream) {
    if client.shutdown().await.is_ok() {
        let mut rest = [0; 1024];
        let drain = async { while matches!(client.read(&mut rest).await, Ok(1..)) {} };
        let _client_keeps_it_open = tokio::time::timeout(LINGER, drain).await;
    }
}

/// One way of one connection.
struct Lane<'a> {
    way: Way,
    shared: &'a Shared,
    tally: &'a Tally,
    draw: u64,
    policy: watch::Receiver<Policy>,
}

impl Lane<'_> {
    async fn carry(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> Result<(), Abrupt> {
        let (queue, mut queued) = mpsc::channel::<(Instant, Bytes)>(CHUNKS_UNDER_WAY);
        let policy = self.policy.clone();
        let way = self.way;
        let read = async move {
            loop {
                let now = *policy.borrow();
                let mut chunk = vec![0; chunk_size(way.rate(now))];
                let length = from.read(&mut chunk).await?;
                if length == 0 {
                    return Ok::<(), Abrupt>(());
                }
                chunk.truncate(length);
                let due = Instant::now() + now.latency;
                if queue.send((due, Bytes::from(chunk))).await.is_err() {
                    return Ok(());
                }
            }
        };
        let write = async {
            while let Some((due, chunk)) = queued.recv().await {
                tokio::time::sleep_until(due).await;
                self.pass(&chunk, &mut to).await?;
            }
            self.while_stalled().await;
            to.shutdown().await?;
            Ok::<(), Abrupt>(())
        };
        tokio::try_join!(read, write).map(|_| ())
    }

    /// Passes the chunk on, or as much of it as the policy lets through.
    async fn pass(&mut self, chunk: &[u8], to: &mut WriteHalf<'_>) -> Result<(), Abrupt> {
        let mut rest = chunk;
        while !rest.is_empty() {
            self.while_stalled().await;
            let policy = *self.policy.borrow_and_update();
            let length = rest.len().min(chunk_size(self.way.rate(policy)));
            if let Some(rate) = self.way.rate(policy) {
                self.shared_pace().pass(length, rate).await;
            }
            // After the wait, in which the other way may have used up what both share.
            let allowed = self.allowance(policy).map_or(length, |left| left.min(length));
            let (now, later) = rest.split_at(allowed);
            if !now.is_empty() {
                self.tally.add(self.way, now.len());
                to.write_all(now).await?;
            }
            rest = later;
            self.end_if_used_up(policy).await?;
        }
        Ok(())
    }

    /// Bytes that this way may still carry before the cut; `None` without one.
    fn allowance(&self, policy: Policy) -> Option<usize> {
        let cut = policy.cut.filter(|cut| self.way.counts_towards(cut.counted))?;
        let left =
            cut.after.for_connection(self.draw).saturating_sub(self.tally.counted(cut.counted));
        Some(usize::try_from(left).unwrap_or(usize::MAX))
    }

    async fn end_if_used_up(&mut self, policy: Policy) -> Result<(), Abrupt> {
        let Some(cut) = policy.cut else { return Ok(()) };
        if self.allowance(policy) != Some(0) {
            return Ok(());
        }
        if cut.by == Break::Stall {
            self.tally.cut.store(true, Ordering::SeqCst);
            // The sender lives as long as the proxy, which outlives this future.
            let _changed = self.policy.changed().await;
            return Ok(());
        }
        Err(Abrupt::Cut(cut.by))
    }

    async fn while_stalled(&mut self) {
        let _never_closed = self.policy.wait_for(|policy| !policy.stall).await;
    }

    fn shared_pace(&self) -> &Pace {
        match self.way {
            Way::Up => &self.shared.up_pace,
            Way::Down => &self.shared.down_pace,
        }
    }
}

fn chunk_size(rate: Option<u64>) -> usize {
    let step = rate.map_or(u64::MAX, |rate| (rate / STEPS_A_SECOND).max(MIN_STEP_BYTES));
    usize::try_from(step).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES)
}
