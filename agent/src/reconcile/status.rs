//! Gathers the facts of a status, and publishes the document that core makes of them.

use std::{sync::Arc, time::Duration};

use leeward_core::{
    cycle::Phase,
    model::{Digest, StatusDocument, StoreStatus, Uptime},
    status::{AppFacts, Configured, Facts, digest, document},
};

use super::reconciler::Reconciler;
use crate::{
    config::{Config, Reference},
    edge::Cluster,
    store::{Batch, Store},
};

/// Only the latest state matters far away, and each costs a write to flash: a
/// busy minute is told in thirty pictures at most.
pub(super) const STATE_EVERY: Duration = Duration::from_secs(2);

/// A status that waits for the disk is shown after this all the same.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

/// The state as it was recorded last for the receiver.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// The part of it that matters far away, and when it was recorded.
    recorded: Option<(Digest, Uptime)>,
    /// The state changed since then.
    stale: bool,
    /// The newest document.
    last: Option<StatusDocument>,
    /// A document that is shown once its ticket is on disk, and since when it waits.
    waiting: Option<(Uptime, u64, Arc<StatusDocument>)>,
}

impl Published {
    /// When a document is shown whatever the disk does.
    pub(super) fn shown_by(&self) -> Option<Uptime> {
        self.waiting.as_ref().map(|(since, ..)| *since + SHOWN_WITHIN)
    }

    /// Remembers a document. Returns whether it differs from the last one, or the
    /// last one waits to be recorded.
    fn is_news(&mut self, document: &StatusDocument) -> bool {
        let same = self.last.as_mut().is_some_and(|last| {
            // It moves by itself, and the desk puts it in.
            last.agent.uptime_seconds = document.agent.uptime_seconds;
            *last == *document
        });
        if !same {
            self.last = Some(document.clone());
        }
        !same || self.stale
    }

    /// Whether a newer state waits to be recorded.
    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }
}

impl<C: Cluster + 'static> Reconciler<C> {
    pub(super) fn document(&self) -> StatusDocument {
        let store = &self.outside.store;
        let now = self.clock.uptime();
        let store_fault = self.journal.fault();
        let config = &self.settings.config;
        let reference = reference(config);
        let facts = Facts {
            configured: configured(config, &reference),
            version: &self.settings.version,
            running: true,
            boot: self.journal.boot(),
            uptime: self.clock.uptime(),
            wall: self.clock.wall(),
            source: self.source.offered.as_ref(),
            examining: self.source.is_examining(),
            link: &self.source.link,
            outbox: store.outbox_status().unwrap_or_default(),
            store: store_status(store, config),
            store_fault: store_fault.as_deref(),
            cluster_fault: self.sight.api_server(),
            unwatched: self.sight.kinds(),
            delivery: &self.channels.delivery.borrow(),
        };
        let apps = self.apps.values().map(|managed| AppFacts {
            app: &managed.app,
            objects: managed.inventory.len(),
            open: managed.view.drifting() as u64,
            message: managed.view.message.as_str(),
            wanting: managed.wanting.as_deref(),
            awaits: managed.view.progress.awaits(now).filter(|_| managed.is_on_its_way()),
            under_way: managed.errand.as_ref().map(|errand| (errand.about, now - errand.since)),
        });
        document(&facts, &apps.collect::<Vec<_>>())
    }

    /// Hands the newest status to whoever serves it, and puts it into the
    /// outbox when something in it changed that matters far away.
    pub(super) fn publish(&mut self) {
        let document = self.document();
        self.measure(&document);
        if self.published.is_news(&document) {
            self.record_state(&document);
        }
        self.show(document);
    }

    /// Puts a document into the outbox when it says something new to people far away.
    fn record_state(&mut self, document: &StatusDocument) {
        let digest = digest(document);
        let now = self.clock.uptime();
        let (same, due) = self
            .published
            .recorded
            .as_ref()
            .map_or((false, true), |(last, at)| (*last == digest, *at + STATE_EVERY <= now));
        self.published.stale = !same;
        if !same && due {
            let value = serde_json::to_value(document).unwrap_or_default();
            self.record(Batch { state: Some((self.journal.stamp(), value)), ..Batch::default() });
            self.published.recorded = Some((digest, now));
            self.published.stale = false;
        }
    }

    /// Shows a document once everything in it is on disk: what somebody has seen
    /// is true after a power cut, too. A disk that is slow is waited for only so long.
    fn show(&mut self, document: StatusDocument) {
        let now = self.clock.uptime();
        let (ticket, document) = (self.journal.recorded(), Arc::new(document));
        let is_late = |since: Uptime| since + SHOWN_WITHIN <= now;
        let shown = &mut self.published;
        let is_due = self.journal.is_written(ticket) || self.journal.fault().is_some();
        if is_due || shown.waiting.as_ref().is_some_and(|(since, ..)| is_late(*since)) {
            shown.waiting = None;
            self.channels.status.send_replace(Some(document));
            return;
        }
        if let Some((_, _, earlier)) =
            shown.waiting.take_if(|(_, ticket, _)| self.journal.is_written(*ticket))
        {
            self.channels.status.send_replace(Some(earlier));
        }
        shown.waiting.get_or_insert((now, ticket, document));
    }

    fn measure(&self, document: &StatusDocument) {
        let metrics = &self.hooks.metrics;
        for app in &document.apps {
            let healthy = app.health.is_well();
            metrics.set_app(&app.name, app.phase, healthy, app.objects);
            metrics.set_stuck(&app.name, app.stuck.len());
            metrics.set_pinned(&app.name, app.pinned.is_some());
        }
        metrics.outbox(document.outbox.pending, document.outbox.dropped);
        metrics.store(document.store.bytes, self.outside.store.written_bytes());
    }

    /// Returns what the agent is about, in a line for `systemctl status`.
    pub(super) fn status_line(&self) -> String {
        let phases = self.apps.values().map(|managed| &managed.app.record.phase);
        let good = phases.filter(|phase| **phase == Phase::Good).count();
        format!("{good} of {} apps good, link {}", self.apps.len(), self.source.link.state.name())
    }
}

pub(super) fn store_status(store: &Store, config: &Config) -> StoreStatus {
    StoreStatus { max_bytes: config.store.max_size, ..store.size() }
}

/// Returns the full name of the ref that is followed, or the commit.
pub(super) fn reference(config: &Config) -> String {
    match &config.source.reference {
        Reference::Branch(name) => format!("refs/heads/{name}"),
        Reference::Tag(name) => format!("refs/tags/{name}"),
        Reference::Commit(id) => id.clone(),
    }
}

pub(super) fn configured<'a>(config: &'a Config, reference: &'a str) -> Configured<'a> {
    Configured {
        cluster: &config.cluster.name,
        url: &config.source.url,
        reference,
        path: &config.source.path,
    }
}
