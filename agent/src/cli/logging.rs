//! Where logs go: stderr as text or JSON, or straight to the journal.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _},
};

use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::ParseError, layer::SubscriberExt as _,
    util::SubscriberInitExt as _, util::TryInitError,
};

use crate::config::{LogConfig, LogFormat};

/// Why logs cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartLogError {
    #[error("the log filter `{level}` cannot be read: {source}")]
    Filter { level: String, source: ParseError },
    #[error("cannot reach the systemd journal: {0}")]
    Journal(#[from] io::Error),
    #[error("logs are written already: {0}")]
    Twice(#[from] TryInitError),
}

/// Sends the logs of this process where the configuration says.
pub(super) fn start(config: &LogConfig) -> Result<(), StartLogError> {
    let filter = EnvFilter::try_new(&config.level)
        .map_err(|source| StartLogError::Filter { level: config.level.clone(), source })?;
    let output = output(config.format)?;
    Ok(tracing_subscriber::registry().with(output.with_filter(filter)).try_init()?)
}

/// A verb says what it has to say by itself; its logs are only for whoever
/// asks for them with `$RUST_LOG`.
pub(super) fn for_debugging(environment: &BTreeMap<String, String>) {
    let Some(level) = environment.get("RUST_LOG").filter(|level| !level.is_empty()) else {
        return;
    };
    // A filter that cannot be read is named when the configuration is checked.
    let _ignored = start(&LogConfig { level: level.clone(), format: LogFormat::Text });
}

fn output(format: LogFormat) -> io::Result<Box<dyn Layer<Registry> + Send + Sync>> {
    Ok(match format {
        LogFormat::Text => {
            let colour = io::stderr().is_terminal();
            tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(colour).boxed()
        }
        LogFormat::Json => tracing_subscriber::fmt::layer().json().with_writer(io::stderr).boxed(),
        LogFormat::Journald => tracing_journald::layer()?.boxed(),
    })
}
