//! What the proxy does to traffic, as plain data.

use std::time::Duration;

/// Which bytes count towards a cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counted {
    /// What the client receives.
    #[default]
    Down,
    /// What the client sends.
    Up,
    Both,
}

/// How a cut looks to both ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Break {
    /// An orderly end: what was sent arrives.
    #[default]
    Close,
    /// RST. What was on its way may be lost.
    Reset,
    /// The connection stays, and nothing ever comes again, until the policy changes.
    Stall,
}

/// How many bytes of a connection go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    Exactly(u64),
    /// From one to the other, both included; each connection draws its own.
    Between(u64, u64),
}

impl Quota {
    /// The connection's own number.
    pub(super) fn for_connection(self, draw: u64) -> u64 {
        match self {
            Self::Exactly(bytes) => bytes,
            Self::Between(low, high) => {
                let span = high.saturating_sub(low).saturating_add(1);
                low + draw % span
            }
        }
    }
}

/// Ends every connection after a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub after: Quota,
    pub counted: Counted,
    pub by: Break,
}

impl Cut {
    /// Closes each connection after exactly `bytes` received.
    pub fn after(bytes: u64) -> Self {
        Self { after: Quota::Exactly(bytes), counted: Counted::Down, by: Break::Close }
    }
}

/// What the link is like. The default is a perfect one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub cut: Option<Cut>,
    /// Bytes a second that the client receives, over all connections together.
    pub down_rate: Option<u64>,
    /// Bytes a second that the client sends, over all connections together.
    pub up_rate: Option<u64>,
    /// Added each way, so a round trip takes twice as long.
    pub latency: Duration,
    /// New connections are reset at once.
    pub refuse: bool,
    /// Nothing moves on any connection, old or new; none ends.
    pub stall: bool,
}

impl Policy {
    /// `kilobytes` of 1,024 a second down, and this long for a round trip.
    pub fn slow(kilobytes: u64, round_trip: Duration) -> Self {
        Self { down_rate: Some(kilobytes * 1024), latency: round_trip / 2, ..Self::default() }
    }

    /// Cuts every connection after exactly `bytes` received.
    pub fn cut_after(bytes: u64) -> Self {
        Self { cut: Some(Cut::after(bytes)), ..Self::default() }
    }
}
