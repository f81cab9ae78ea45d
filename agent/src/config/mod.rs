//! Who we are, where the source is, whom to trust (docs/reference/configuration.md).
//!
//! [`load`] is pure: defaults, the file's text, the environment and the flags
//! go in as data, a checked [`Config`] with the origin of every value comes
//! out, or every problem at once. [`Invocation::read`] is the only thing here
//! that touches the outside; the daemon keeps the invocation to read again.

mod check;
mod error;
mod keys;
mod layers;
mod model;
mod read;
pub mod reference;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use error::{ConfigError, LoadConfigError, Origin, Problem, ReadConfigError};
pub use keys::{Fallback, KEYS, Key, Kind, nearest};
use layers::Merged;
pub use layers::Sources;
pub use model::{
    ApplyConfig, ClusterConfig, Config, ControlConfig, HttpConfig, LogConfig, LogFormat, Reference,
    ReportConfig, SopsConfig, SourceConfig, StoreConfig, SubstituteConfig, TlsFiles,
};
pub use read::{DEFAULT_PATH, Invocation};

/// A configuration, and where each of its values came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    pub config: Config,
    /// By key; entries of tables as `cluster.labels.NAME`. Unset keys are absent.
    pub origins: BTreeMap<String, Origin>,
}

/// Merges and checks the layers: defaults, then file, environment and flags.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let Merged { settings, problems, broken } = layers::merge(sources);
    let checked = if broken { Err(problems) } else { check::check(sources, &settings, problems) };
    let config = checked.map_err(|mut problems| {
        // By place; what is missing everywhere comes last.
        problems
            .sort_by(|a, b| (a.origin.is_none(), &a.origin).cmp(&(b.origin.is_none(), &b.origin)));
        ConfigError { problems }
    })?;
    let keys = settings.keys.iter().map(|(name, setting)| ((*name).to_owned(), setting));
    let tables = settings.tables.iter().flat_map(|(table, entries)| {
        entries.iter().map(move |(entry, setting)| (format!("{table}.{entry}"), setting))
    });
    let origins =
        keys.chain(tables).map(|(name, setting)| (name, setting.origin.clone())).collect();
    Ok(Loaded { config, origins })
}
