//! A TCP proxy on loopback that breaks as real links do, on purpose and by
//! seed, and counts what goes through.

mod policy;
mod relay;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

pub use policy::{Break, Counted, Cut, Policy, Quota};

use crate::{Seed, background};
use relay::{Pace, Tally};

/// What went through: payload bytes, without headers of TCP and IP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From client to server.
    pub up: u64,
    /// From server to client.
    pub down: u64,
    /// Times that the client spoke after a silence or an answer: round trips.
    pub turns: u64,
}

/// Everything since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub traffic: Traffic,
    /// Accepted and not refused.
    pub connections: u64,
    pub refused: u64,
    pub cuts: u64,
}

impl Counts {
    /// What happened after `earlier` was taken.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            traffic: Traffic {
                up: self.traffic.up - earlier.traffic.up,
                down: self.traffic.down - earlier.traffic.down,
                turns: self.traffic.turns - earlier.traffic.turns,
            },
            connections: self.connections - earlier.connections,
            refused: self.refused - earlier.refused,
            cuts: self.cuts - earlier.cuts,
        }
    }
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    policy: watch::Sender<Policy>,
    seed: Mutex<Seed>,
    down_pace: Pace,
    up_pace: Pace,
    tallies: Mutex<Vec<Arc<Tally>>>,
    refused: Mutex<u64>,
}

/// A proxy in front of one port; dropping it resets what is open.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl FaultProxy {
    /// Takes a free port in front of `target_port` on loopback.
    pub fn start(target_port: u16, seed: u64, policy: Policy) -> Result<Self> {
        let listener = background::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .context("cannot listen on loopback")?;
        let address = listener.local_addr().context("a listener has no address")?;
        let shared = Arc::new(Shared {
            target: SocketAddr::from((Ipv4Addr::LOCALHOST, target_port)),
            policy: watch::Sender::new(policy),
            seed: Mutex::new(Seed::new(seed)),
            down_pace: Pace::default(),
            up_pace: Pace::default(),
            tallies: Mutex::default(),
            refused: Mutex::default(),
        });
        let proxy = Self { address, shared, accepting: Mutex::new(None) };
        proxy.accept_from(listener);
        Ok(proxy)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn policy(&self) -> Policy {
        *self.shared.policy.borrow()
    }

    /// Holds from the next chunk on, for open connections too.
    pub fn set_policy(&self, policy: Policy) {
        self.shared.policy.send_replace(policy);
    }

    /// Resets every connection and closes the port: connects are refused when it returns.
    pub async fn go_away(&self) {
        let accepting = self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(accepting) = accepting {
            accepting.abort();
            let _aborted = accepting.await;
        }
    }

    /// Listens on the same port again.
    pub async fn come_back(&self) -> Result<()> {
        if self.accepting.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let listener = background::listen_again(self.address)
            .await
            .with_context(|| format!("cannot listen on {} again", self.address))?;
        self.accept_from(listener);
        Ok(())
    }

    /// Bytes are counted just before they are passed on, so whoever has an
    /// answer finds it counted.
    pub fn counts(&self) -> Counts {
        let tallies = self.shared.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = Counts {
            connections: tallies.len() as u64,
            refused: *self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner),
            ..Counts::default()
        };
        for tally in tallies.iter() {
            let traffic = tally.traffic();
            counts.traffic.up += traffic.up;
            counts.traffic.down += traffic.down;
            counts.traffic.turns += traffic.turns;
            counts.cuts += u64::from(tally.was_cut());
        }
        counts
    }

    /// Of each connection, in the order of their coming.
    pub fn connections(&self) -> Vec<Traffic> {
        let tallies = self.shared.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.iter().map(|tally| tally.traffic()).collect()
    }

    fn accept_from(&self, listener: TcpListener) {
        let accepting = background::spawn(accept(listener, Arc::clone(&self.shared)));
        *self.accepting.lock().unwrap_or_else(PoisonError::into_inner) = Some(accepting);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropping the set with this future ends every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                if shared.policy.borrow().refuse {
                    refuse(&client, &shared);
                } else {
                    connections.spawn(connection(client, Arc::clone(&shared)));
                }
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

fn refuse(client: &TcpStream, shared: &Shared) {
    // The client may be gone already, which is as good.
    let _client_is_gone = client.set_zero_linger();
    *shared.refused.lock().unwrap_or_else(PoisonError::into_inner) += 1;
}

async fn connection(client: TcpStream, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(shared.target).await else {
        refuse(&client, &shared);
        return;
    };
    let draw = shared.seed.lock().unwrap_or_else(PoisonError::into_inner).next_u64();
    let tally = Arc::new(Tally::default());
    shared.tallies.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&tally));
    relay::run(client, server, &shared, &tally, draw).await;
}
