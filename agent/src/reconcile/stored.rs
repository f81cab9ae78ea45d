//! What the store alone can tell while no daemon runs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use leeward_core::{
    cycle::{App, Now, RevisionRecord},
    model::{StatusDocument, Uptime},
    report::Delivery,
    status::{AppFacts, Facts, LinkView, document},
};

use super::{
    commands::HISTORY,
    status::{configured, reference, store_status},
};
use crate::{
    config::Config,
    store::{OpenStoreError, Store, StoreError},
};

/// Why the store cannot tell.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    #[error("cannot open the store")]
    Open(#[from] OpenStoreError),
    #[error("cannot read the store")]
    Read(#[from] StoreError),
}

/// The status as it was recorded last; `agent.running` is false.
pub fn status(config: &Config, wall: Timestamp) -> Result<StatusDocument, StoredError> {
    let store = Store::open_existing(&config.store.path, config.store.max_size)?.store;
    let now = Now { uptime: Uptime::default(), wall, jitter: 0.0 };
    let inventory = store.inventory_all()?;
    let apps: Vec<App> =
        store.apps()?.into_iter().map(|record| App::resume(record, &now)).collect();
    let source = store.source()?;
    let reference = reference(config);
    let facts = Facts {
        configured: configured(config, &reference),
        version: env!("CARGO_PKG_VERSION"),
        running: false,
        boot: store.boot()?,
        uptime: now.uptime,
        wall,
        source: source.as_ref(),
        examining: false,
        link: &LinkView::unknown(wall),
        outbox: store.outbox_status()?,
        store: store_status(&store, config),
        store_fault: None,
        cluster_fault: None,
        unwatched: &BTreeMap::new(),
        delivery: &Delivery::default(),
    };
    let apps: Vec<AppFacts<'_>> = apps
        .iter()
        .map(|app| AppFacts {
            app,
            objects: inventory.get(&app.record.spec.name).map_or(0, BTreeMap::len),
            open: 0,
            message: "",
            wanting: None,
            awaits: None,
            under_way: None,
        })
        .collect();
    Ok(document(&facts, &apps))
}

/// The history of one app, or of all, newest first.
pub fn history(config: &Config, app: Option<&str>) -> Result<Vec<RevisionRecord>, StoredError> {
    let store = Store::open_existing(&config.store.path, config.store.max_size)?.store;
    Ok(store.history(app, HISTORY)?)
}
