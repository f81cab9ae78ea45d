//! Follows one kind: lists it, watches it from there, and goes on after every
//! break for as long as it is wanted.

use std::{collections::BTreeSet, mem, sync::Arc, time::Duration};

use http::Response;
use http_body_util::BodyExt;
use kube::client::Body;
use leeward_core::model::{APP_LABEL, ClusterFault, KindVersion, Seen};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};

use super::line::{Line, Lines, ReadError, read_line, read_page};
use crate::cluster::{
    Inner, backoff, fault,
    path::{self, encode},
    transport::{Call, METADATA, METADATA_LIST},
};

/// Objects asked for at a time: a page is in memory at once, with all its managed fields.
const PAGE: usize = 100;
/// The API server ends a watch after this; less than the five minutes after
/// which some proxies do, without a word.
const WATCH_SECONDS: u64 = 240;
/// Added at random, so that watches do not all end at once.
const WATCH_JITTER_SECONDS: f64 = 50.0;
/// A watch that the API server does not end by itself is given up after this much more.
const GRACE: Duration = Duration::from_secs(15);
/// A watch that lived so long was a good one.
const SETTLED: Duration = Duration::from_secs(1);
/// The longest wait between two tries.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// Bytes read of a refusal.
const MAX_REFUSAL: usize = 64 * 1024;

/// Why a round ended.
enum End {
    /// Nobody listens any more.
    Unheard,
    /// The connection ended at its time: go on from where we are.
    Over,
    /// Nothing is known of what happened since: list again.
    Expired,
    Fault(ClusterFault),
}

/// The watch of one kind.
pub(super) struct Follower {
    inner: Arc<Inner>,
    kind: KindVersion,
    /// The resource version up to which everything is reported; `None` before a list.
    version: Option<String>,
    /// When the watch of this round was opened.
    opened: Option<Instant>,
    /// Rounds in a row that did not settle.
    failures: u32,
    /// The loss that was last reported; `None` after a list.
    lost: Option<mem::Discriminant<ClusterFault>>,
    /// Changes when the API server comes back.
    returns: watch::Receiver<u64>,
}

impl Follower {
    pub(super) fn new(inner: Arc<Inner>, kind: KindVersion) -> Self {
        let returns = inner.transport.returns();
        Self { inner, kind, version: None, opened: None, failures: 0, lost: None, returns }
    }

    /// Follows until nobody listens.
    pub(super) async fn follow(mut self) {
        loop {
            self.opened = None;
            let end = self.round().await;
            if self.opened.is_some_and(|opened| opened.elapsed() >= SETTLED) {
                self.failures = 0;
            } else {
                self.failures = self.failures.saturating_add(1);
            }
            match end {
                End::Unheard => return,
                End::Over => {}
                End::Expired => self.version = None,
                End::Fault(fault) => {
                    self.version = None;
                    if self.tell_loss(fault).await.is_err() {
                        return;
                    }
                }
            }
            if self.failures > 0 {
                tokio::select! {
                    // Cancel safe, both: dropping a timer or a look at a counter loses nothing.
                    () = sleep(backoff::delay(self.failures, MAX_WAIT)) => {}
                    _ = self.returns.changed() => self.failures = 0,
                }
            }
        }
    }

    /// Lists if need be, then watches until that ends.
    async fn round(&mut self) -> End {
        let version = match self.version.clone() {
            Some(version) => version,
            None => match self.list().await {
                Ok(version) => version,
                Err(end) => return end,
            },
        };
        match self.open(&version).await {
            Ok((response, ends)) => {
                self.opened = Some(Instant::now());
                self.read(response, ends).await
            }
            Err(end) => end,
        }
    }

    /// Reports every object, then that the list is complete. Returns the version to watch from.
    async fn list(&mut self) -> Result<String, End> {
        let mut keys = BTreeSet::new();
        let mut continue_from = String::new();
        loop {
            let query = format!("limit={PAGE}&continue={}", encode(&continue_from));
            let call = Call::get(self.target(&query).await?, METADATA_LIST);
            let answer = self.inner.transport.call(&call).await.map_err(End::Fault)?;
            if !answer.is_success() {
                return Err(self.refused(answer.code, &answer.body));
            }
            let page = read_page(&answer.body, &self.kind).map_err(unreadable)?;
            drop(answer);
            for sighting in page.sightings {
                keys.insert(sighting.key.clone());
                self.tell(Seen::Present(sighting)).await?;
            }
            if page.continue_from.is_empty() {
                let (kind, version) = (self.kind.kind.clone(), page.version.parse().ok());
                self.tell(Seen::Listed { kind, keys, version }).await?;
                self.lost = None;
                self.version = Some(page.version.clone());
                return Ok(page.version);
            }
            continue_from = page.continue_from;
        }
    }

    /// Opens a watch. Returns it with the time at which it has to be over.
    async fn open(&self, version: &str) -> Result<(Response<Body>, Instant), End> {
        let seconds = Duration::from_secs(WATCH_SECONDS)
            + Duration::from_secs_f64(WATCH_JITTER_SECONDS * crate::chance::draw());
        let query = format!(
            "watch=true&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={}",
            encode(version),
            seconds.as_secs()
        );
        let call = Call::get(self.target(&query).await?, METADATA);
        let ends = Instant::now() + seconds + GRACE;
        let response = self.inner.transport.open(&call).await.map_err(End::Fault)?;
        if response.status().is_success() {
            return Ok((response, ends));
        }
        let code = response.status().as_u16();
        let refusal = http_body_util::Limited::new(response.into_body(), MAX_REFUSAL).collect();
        let refusal = timeout_at(Instant::now() + GRACE, refusal).await;
        let body = refusal.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes);
        Err(self.refused(code, &body.unwrap_or_default()))
    }

    /// Reports the lines of the watch until it is over.
    ///
    /// A connection that ends before its time may have lost its API server, and
    /// the next one may be of a cluster that was wiped or restored meanwhile.
    /// Such a server takes the version that we are at without a word, and says
    /// nothing before it has got that far itself.
    async fn read(&mut self, response: Response<Body>, ends: Instant) -> End {
        let mut body = response.into_body();
        let mut lines = Lines::default();
        loop {
            let bytes = match timeout_at(ends, body.frame()).await {
                Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
                Ok(None | Some(Err(_))) if Instant::now() < ends - GRACE => return End::Expired,
                Err(_) | Ok(None | Some(Err(_))) => return End::Over,
            };
            if let Err(error) = lines.push(&bytes) {
                return unreadable(error);
            }
            while let Some(told) = lines.next(|line| read_line(line, &self.kind)) {
                let told = match told {
                    Ok(told) => told,
                    Err(error) => return unreadable(error),
                };
                let heard = match told.line {
                    Line::Present(sighting) => self.tell(Seen::Present(sighting)).await,
                    Line::Gone { key, uid, trace } => {
                        self.tell(Seen::Gone { key, uid, trace }).await
                    }
                    Line::Bookmark | Line::Other => Ok(()),
                    Line::Expired => Err(End::Expired),
                    Line::Refused(fault) => Err(End::Fault(fault)),
                };
                if let Err(end) = heard {
                    return end;
                }
                if told.version.is_some() {
                    self.version = told.version;
                }
            }
        }
    }

    async fn target(&self, query: &str) -> Result<String, End> {
        let Inner { transport, discovery, .. } = &*self.inner;
        let resource = discovery.resource(transport, &self.kind).await.map_err(End::Fault)?;
        let collection = path::collection(&self.kind, &resource, "");
        Ok(format!("{collection}?labelSelector={}&{query}", encode(APP_LABEL)))
    }

    fn refused(&self, code: u16, body: &[u8]) -> End {
        if code == 410 {
            return End::Expired;
        }
        let fault = fault::classify(code, body, &self.kind);
        if matches!(fault, ClusterFault::UnknownKind(_)) {
            self.inner.discovery.forget(&self.kind);
        }
        End::Fault(fault)
    }

    /// Reports a sighting; waits while the listener is busy.
    async fn tell(&self, seen: Seen) -> Result<(), End> {
        self.inner.sightings.send(seen).await.map_err(|_| End::Unheard)
    }

    /// Reports once in an outage that the kind is not watched.
    async fn tell_loss(&mut self, fault: ClusterFault) -> Result<(), End> {
        let what = Some(mem::discriminant(&fault));
        if self.lost == what {
            return Ok(());
        }
        self.lost = what;
        tracing::debug!(kind = %self.kind.kind, %fault, "Lost a watch.");
        self.tell(Seen::Lost { kind: self.kind.kind.clone(), fault }).await
    }
}

fn unreadable(error: ReadError) -> End {
    End::Fault(ClusterFault::Unreadable { message: format!("in the watch, {error}") })
}
