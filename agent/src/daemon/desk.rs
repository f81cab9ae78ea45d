//! The desk: a thread that answers probes, scrapers and the CLI and takes
//! signals, whatever the loop is busy with or hangs in.

use std::{net::SocketAddr, time::Duration};

use camino::Utf8PathBuf;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    RunError,
    answers::{Answers, STORE_READS_MAX},
    control,
    http::{self, Endpoints},
    signals::{self, Signals},
    thread::Thread,
};
use crate::config::Config;

/// Once asked to stop, the process is gone after so long, whatever hangs; the
/// log may take half a second more. Longer than the loop and the link are waited
/// for, so that this is only for what cannot be interrupted: a disk, mostly.
const STOP_WITHIN: Duration = Duration::from_millis(2_250);
/// How long the process waits for the last answers to be written.
const LAST_ANSWERS: Duration = Duration::from_millis(250);

/// Where the desk is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) listen: Option<SocketAddr>,
    pub(super) socket: Utf8PathBuf,
}

impl From<&Config> for Place {
    fn from(config: &Config) -> Self {
        Self { listen: config.http.listen, socket: config.control.socket.clone() }
    }
}

/// What the desk works with, all of it made elsewhere.
pub(super) struct Equipment {
    pub(super) endpoints: Endpoints,
    pub(super) answers: Answers,
    /// Cancelled at the first signal that asks to stop.
    pub(super) stop: CancellationToken,
    /// Told of every SIGHUP.
    pub(super) hang_ups: mpsc::Sender<()>,
}

/// The desk, seen from the loop's thread. It is closed when this is dropped.
pub(super) struct Desk {
    thread: Thread,
    opened: Option<oneshot::Receiver<Result<(), RunError>>>,
    removals: mpsc::Sender<Removal>,
    close: DropGuard,
}

/// A new place, and where to say whether it could be taken.
type Removal = (Place, oneshot::Sender<Result<(), RunError>>);

impl Desk {
    pub(super) fn open(place: Place, equipment: Equipment) -> Result<Self, RunError> {
        let (told, opened) = oneshot::channel();
        let (removals, asked) = mpsc::channel(1);
        let close = CancellationToken::new();
        let work = {
            let close = close.clone();
            move || tend(place, equipment, told, asked, close)
        };
        let thread = Thread::start("desk", STORE_READS_MAX, work).map_err(RunError::Runtime)?;
        Ok(Self { thread, opened: Some(opened), removals, close: close.drop_guard() })
    }

    /// Waits until it is found at its place.
    pub(super) async fn opened(&mut self) -> Result<(), RunError> {
        match self.opened.take() {
            Some(opened) => opened.await.unwrap_or(Err(RunError::TaskDied("desk"))),
            None => Ok(()),
        }
    }

    /// Moves to a different place; after an error it is where it was.
    pub(super) async fn move_to(&self, place: Place) -> Result<(), RunError> {
        let (told, moved) = oneshot::channel();
        self.removals.send((place, told)).await.ok();
        moved.await.unwrap_or(Err(RunError::TaskDied("desk")))
    }

    /// Names the task whose end was the desk's. Cancel safe.
    pub(super) async fn ended(&mut self) -> &'static str {
        self.thread.ended().await
    }

    /// Takes no more requests, and gives the last answers a moment to be written.
    pub(super) async fn close(self) {
        let Self { mut thread, close, .. } = self;
        drop(close);
        tokio::time::timeout(LAST_ANSWERS, thread.ended()).await.ok();
    }
}

/// One of the two servers: what ends it, and where it is.
struct Server<At> {
    at: At,
    _serving: DropGuard,
}

/// A server that was not told to end says its name at its end.
type Servers = JoinSet<Option<&'static str>>;

async fn tend(
    place: Place,
    equipment: Equipment,
    told: oneshot::Sender<Result<(), RunError>>,
    mut removals: mpsc::Receiver<Removal>,
    close: CancellationToken,
) -> &'static str {
    let Equipment { endpoints, answers, stop, hang_ups } = equipment;
    let mut servers = Servers::new();
    let mut front = Front { http: None, control: None, endpoints, answers };
    let opened = match Signals::install().map_err(RunError::Signals) {
        Ok(signals) => {
            tokio::task::spawn_local(signals.watch(stop.clone(), hang_ups));
            tokio::task::spawn_local(leave_in_time(stop));
            front.move_to(place, &mut servers).await
        }
        Err(error) => Err(error),
    };
    let failed = opened.is_err();
    // Whoever opened the desk may have failed itself meanwhile.
    told.send(opened).ok();
    if failed {
        return "desk";
    }
    loop {
        tokio::select! {
            biased;
            () = close.cancelled() => break,
            // Cancel safe: neither `recv` nor `join_next` loses anything when dropped.
            Some((place, told)) = removals.recv() => {
                told.send(front.move_to(place, &mut servers).await).ok();
            }
            Some(ended) = servers.join_next() => match ended {
                Ok(None) => {}
                Ok(Some(name)) => return name,
                Err(_) => return "desk",
            },
        }
    }
    drop(front);
    while servers.join_next().await.is_some() {}
    "desk"
}

/// The two servers, and what they serve.
struct Front {
    http: Option<Server<SocketAddr>>,
    control: Option<Server<Utf8PathBuf>>,
    endpoints: Endpoints,
    answers: Answers,
}

impl Front {
    /// Both new places are taken before an old one is left.
    async fn move_to(&mut self, place: Place, servers: &mut Servers) -> Result<(), RunError> {
        let listener = match place.listen {
            Some(at) if self.http.as_ref().is_none_or(|http| http.at != at) => {
                Some(http::listen(at).await.map_err(RunError::Http)?)
            }
            _ => None,
        };
        if self.control.as_ref().is_none_or(|control| control.at != place.socket) {
            let socket = control::listen(&place.socket).await.map_err(RunError::Control)?;
            let serving = CancellationToken::new();
            let serve = control::serve(socket, self.answers.clone(), serving.clone());
            servers.spawn_local(named("control socket", serving.clone(), serve));
            self.control = Some(Server { at: place.socket, _serving: serving.drop_guard() });
        }
        match (place.listen, listener) {
            (Some(at), Some(listener)) => {
                let serving = CancellationToken::new();
                let serve = http::serve(listener, self.endpoints.clone(), serving.clone());
                servers.spawn_local(named("http", serving.clone(), async {
                    if let Err(error) = serve.await {
                        tracing::error!(%error, "Cannot serve HTTP any more.");
                    }
                }));
                self.http = Some(Server { at, _serving: serving.drop_guard() });
            }
            (None, _) => self.http = None,
            (Some(_), None) => {}
        }
        Ok(())
    }
}

async fn named(
    name: &'static str,
    told: CancellationToken,
    task: impl Future<Output = ()>,
) -> Option<&'static str> {
    task.await;
    (!told.is_cancelled()).then_some(name)
}

/// Ends the process some time after it was asked to stop. What hangs then is
/// lost, as in a power cut, and the store knows where it was.
async fn leave_in_time(stop: CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(STOP_WITHIN).await;
    tracing::warn!("Some work hangs and is dropped; the store knows where it was.");
    signals::leave(0);
}
