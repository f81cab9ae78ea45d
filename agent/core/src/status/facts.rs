//! The facts that a status is made of.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use crate::{
    cycle::{App, SourceRecord},
    model::{Kind, LinkState, LinkStep, OutboxStatus, StoreStatus, Uptime},
    report::Delivery,
};

/// The state of the way to the remote, with evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkView {
    pub state: LinkState,
    pub failed_step: Option<LinkStep>,
    pub since: Timestamp,
    /// One line that names host, ref, path or status.
    pub evidence: String,
    /// Advice to a person, when there is something to do.
    pub hint: Option<String>,
    pub next_try: Option<Timestamp>,
}

impl LinkView {
    /// The link before the first try.
    pub fn unknown(since: Timestamp) -> Self {
        Self {
            state: LinkState::Unknown,
            failed_step: None,
            since,
            evidence: "not tried since the start".to_owned(),
            hint: None,
            next_try: None,
        }
    }
}

/// The part of the configuration that a status shows.
#[derive(Clone, Copy, Debug)]
pub struct Configured<'a> {
    /// The name of the cluster.
    pub cluster: &'a str,
    pub url: &'a str,
    /// The full name of a ref, or a commit.
    pub reference: &'a str,
    /// The folder in the repository.
    pub path: &'a str,
}

/// Facts about the agent as a whole.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    pub configured: Configured<'a>,
    pub version: &'a str,
    /// A daemon answers; otherwise the store alone does.
    pub running: bool,
    pub boot: u64,
    pub uptime: Uptime,
    pub wall: Timestamp,
    pub source: Option<&'a SourceRecord>,
    /// A newer source is in the store, and was not offered to the apps yet.
    pub examining: bool,
    pub link: &'a LinkView,
    pub outbox: OutboxStatus,
    pub store: StoreStatus,
    /// Why the store refused the last write.
    pub store_fault: Option<&'a str>,
    /// Why the API server cannot be used.
    pub cluster_fault: Option<&'a str>,
    /// The kinds that cannot be watched though the API server answers, and why.
    pub unwatched: &'a BTreeMap<Kind, String>,
    pub delivery: &'a Delivery,
}

/// Facts about one app.
#[derive(Clone, Debug)]
pub struct AppFacts<'a> {
    pub app: &'a App,
    /// Objects in its inventory.
    pub objects: usize,
    /// Objects that drifted and are not put right.
    pub open: u64,
    /// A fight over fields, in one line; empty when there is none.
    pub message: &'a str,
    /// Why it cannot have its variables.
    pub wanting: Option<&'a str>,
    /// What its apply waits for, in one line.
    pub awaits: Option<String>,
    /// What is under way for it, and how long already.
    pub under_way: Option<(&'static str, Duration)>,
}
