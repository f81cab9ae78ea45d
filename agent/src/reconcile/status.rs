//! Gathers the facts of a status, and publishes the document that core makes of them.

use std::{sync::Arc, time::Duration};

use leeward_core::{
    cycle::Phase,
    model::{HealthName, StatusDocument, StoreStatus},
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

impl<C: Cluster> Reconciler<C> {
    pub(super) fn document(&self) -> StatusDocument {
        let config = &self.settings.config;
        let reference = reference(config);
        let facts = Facts {
            configured: configured(config, &reference),
            version: &self.settings.version,
            running: true,
            boot: self.boot,
            uptime: self.clock.uptime(),
            wall: self.clock.wall(),
            source: self.source.as_ref(),
            link: &self.link,
            outbox: self.store.outbox_status().unwrap_or_default(),
            store: store_status(&self.store, config),
            store_fault: self.store_fault.as_deref(),
            cluster_fault: self.cluster_fault.as_deref(),
            delivery: &self.channels.delivery.borrow(),
        };
        let apps = self.apps.values().map(|app| {
            let name = &app.record.spec.name;
            let view = self.views.get(name);
            AppFacts {
                app,
                objects: self.inventory.get(name).map_or(0, std::collections::BTreeMap::len),
                open: view.map_or(0, |view| (view.open.len() + view.drifted.len()) as u64),
                message: view.map_or("", |view| view.message.as_str()),
                wanting: self.given.wanting.get(name).map(String::as_str),
            }
        });
        document(&facts, &apps.collect::<Vec<_>>())
    }

    /// Hands the newest status to whoever serves it, and puts it into the
    /// outbox when something in it changed that matters far away.
    pub(super) fn publish(&mut self) {
        let document = self.document();
        self.measure(&document);
        let digest = digest(&document);
        let now = self.clock.uptime();
        let (same, due) = self
            .reported_state
            .as_ref()
            .map_or((false, true), |(last, at)| (*last == digest, *at + STATE_EVERY <= now));
        self.state_is_stale = !same;
        if !same && due {
            let value = serde_json::to_value(&document).unwrap_or_default();
            let batch = Batch { state: Some((self.stamp(), value)), ..Batch::default() };
            match self.store.commit(batch) {
                Ok(_) => {
                    self.reported_state = Some((digest, now));
                    self.state_is_stale = false;
                    self.hooks.reported.send_modify(|count| *count += 1);
                }
                Err(error) => self.remember_store(Err(error)),
            }
        }
        self.channels.status.send_replace(Some(Arc::new(document)));
    }

    fn measure(&self, document: &StatusDocument) {
        let metrics = &self.hooks.metrics;
        for app in &document.apps {
            let healthy = app.health == HealthName::Healthy;
            metrics.set_app(&app.name, app.phase, healthy, app.objects);
        }
        metrics.outbox(document.outbox.pending, document.outbox.dropped);
        metrics.store(document.store.bytes, self.store.written_bytes());
    }

    /// What the agent is about, in a line for `systemctl status`.
    pub(super) fn status_line(&self) -> String {
        let good = self.apps.values().filter(|app| app.record.phase == Phase::Good).count();
        format!("{good} of {} apps good, link {}", self.apps.len(), self.link.state.name())
    }
}

pub(super) fn store_status(store: &Store, config: &Config) -> StoreStatus {
    StoreStatus { max_bytes: config.store.max_size, ..store.size() }
}

/// The full name of the ref that is followed, or the commit.
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
