//! The log of a verb, for whoever asks for it.

use std::{collections::BTreeMap, io};

use tracing_subscriber::{EnvFilter, Layer as _, layer::SubscriberExt as _};

/// A verb says what it has to say by itself; its logs are only for whoever
/// asks for them with `$RUST_LOG`.
pub(super) fn for_debugging(environment: &BTreeMap<String, String>) {
    let Some(level) = environment.get("RUST_LOG").filter(|level| !level.is_empty()) else {
        return;
    };
    // A filter that cannot be read is named when the configuration is checked.
    let Ok(filter) = EnvFilter::try_new(level) else { return };
    let output = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_filter(filter);
    // Fails only when logs are written already, which is as good.
    let subscriber = tracing_subscriber::registry().with(output);
    tracing::subscriber::set_global_default(subscriber).ok();
}
