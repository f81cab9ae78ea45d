//! Where a value came from, and what is wrong with it.

use std::{fmt, io};

use camino::Utf8PathBuf;

/// Where a value was set. Later variants beat earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    Default,
    File {
        path: Utf8PathBuf,
        /// Counted from 1.
        line: usize,
    },
    Environment {
        variable: String,
    },
    /// `--set`, whose problems name the key anyway.
    Flag,
}

impl Origin {
    /// Returns the layer, without the place in it.
    pub(super) fn layer(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File { .. } => 1,
            Self::Environment { .. } => 2,
            Self::Flag => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Environment { variable } => write!(f, "${variable}"),
            Self::Flag => f.write_str("--set"),
        }
    }
}

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `None` when something is missing everywhere.
    pub origin: Option<Origin>,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// All that is wrong with the configuration, not just the first thing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration cannot be used: {}", join(problems))]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

fn join(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
}

/// Why the configuration file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadConfigError {
    #[error("there is no configuration file {path}")]
    NotFound { path: Utf8PathBuf },
    #[error("cannot read configuration file {path}")]
    Unreadable { path: Utf8PathBuf, source: io::Error },
    #[error("configuration file {path} is larger than {limit} bytes")]
    TooLarge { path: Utf8PathBuf, limit: u64 },
    #[error("configuration file {path} is not UTF-8 text")]
    NotText { path: Utf8PathBuf },
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadConfigError {
    #[error(transparent)]
    Read(#[from] ReadConfigError),
    #[error(transparent)]
    Invalid(#[from] ConfigError),
}
