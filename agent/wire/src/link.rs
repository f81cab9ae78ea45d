//! Words for the way to the remote.

use serde::{Deserialize, Serialize};

/// The step at which a connection to the remote failed, in the order in which
/// they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkStep {
    Dns,
    Connect,
    Proxy,
    Tls,
    /// The certificate is not valid at the time that our clock shows, and that clock is not trusted.
    Clock,
    Auth,
    Http,
    Protocol,
    Ref,
    Path,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    Up,
    Down,
    #[default]
    Unknown,
}

impl LinkState {
    /// Returns the word that stands in the documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

impl LinkStep {
    pub const ALL: [Self; 10] = [
        Self::Dns,
        Self::Connect,
        Self::Proxy,
        Self::Tls,
        Self::Clock,
        Self::Auth,
        Self::Http,
        Self::Protocol,
        Self::Ref,
        Self::Path,
    ];

    /// Returns the word that stands in the documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::Clock => "clock",
            Self::Auth => "auth",
            Self::Http => "http",
            Self::Protocol => "protocol",
            Self::Ref => "ref",
            Self::Path => "path",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::to_value;

    use super::*;

    #[test]
    fn names_are_the_words_that_serde_writes() {
        for state in [LinkState::Up, LinkState::Down, LinkState::Unknown] {
            assert_eq!(to_value(state).unwrap(), state.name());
        }
        for step in LinkStep::ALL {
            assert_eq!(to_value(step).unwrap(), step.name());
        }
    }
}
