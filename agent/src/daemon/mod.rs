//! Wiring, tasks, signals, the watchdog, HTTP and the control socket.
//!
//! The only room that spawns. One task owns all decisions (`reconcile`); the
//! others poll, watch, report and serve. The death of any of them ends the
//! process: systemd or the kubelet starts it again, and the store knows where
//! it was.

mod connections;
pub mod control;
pub mod http;
pub mod notify;
pub mod signals;
mod wiring;

use std::{convert::Infallible, io};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::wiring::VERSION;
use self::{
    notify::Notifier,
    wiring::{End, serve},
};
use crate::{clock::Clock, cluster::ConnectError, config::Config, store::OpenStoreError};

/// Why the daemon cannot run, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot listen to signals")]
    Signals(#[source] signals::InstallError),
    #[error("cannot open the store")]
    Store(#[source] OpenStoreError),
    #[error("cannot record the start in the store")]
    Boot(#[source] crate::store::StoreError),
    #[error("cannot open the control socket")]
    Control(#[source] control::ListenError),
    #[error("cannot serve health and metrics")]
    Http(#[source] http::ListenError),
    #[error("cannot use the cluster's configuration")]
    Cluster(#[source] ConnectError),
    #[error("the {0} task ended; the process ends with it")]
    TaskDied(&'static str),
}

/// Runs until SIGTERM or SIGINT. `reload` is asked for the configuration again
/// at every SIGHUP; one that is refused is said so, and the old one stays.
pub fn run(config: Config, reload: impl Fn() -> Option<Config>) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(until_stopped(config, reload)))
}

async fn until_stopped(
    mut config: Config,
    reload: impl Fn() -> Option<Config>,
) -> Result<(), RunError> {
    let clock = Clock::system();
    let signals = signals::Signals::install().map_err(RunError::Signals)?;
    let stop = CancellationToken::new();
    let (hang_ups, mut hung_up) = mpsc::channel(1);
    let watch_signals = {
        let stop = stop.clone();
        async move {
            let never: Infallible = signals.watch(stop, hang_ups).await;
            match never {}
        }
    };
    tokio::task::spawn_local(watch_signals);
    let mut notifier = Notifier::from_environment();
    loop {
        let (end, returned) =
            serve(config.clone(), clock, stop.clone(), &mut hung_up, notifier).await?;
        notifier = returned;
        match end {
            End::Stopped => {
                notifier.stopping();
                return Ok(());
            }
            End::HungUp => {
                notifier.reloading();
                if let Some(new) = reload() {
                    tracing::info!("Read the configuration again.");
                    config = new;
                } else {
                    tracing::error!("The new configuration is refused; the old one stays.");
                }
            }
        }
    }
}
