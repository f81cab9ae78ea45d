//! Everything that one step of the loop records, in one durable transaction.

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use leeward_core::{
    cycle::{AppRecord, RevisionRecord, SourceRecord},
    model::{AppName, InventoryEntry, ObjectKey},
    report::{Event, EventKind, Stamp},
};
use redb::{ReadableTable as _, WriteTransaction};
use serde_json::Value;

use super::{
    Store, StoreError,
    error::Fault,
    outbox::{self, Counters},
    schema::{self, decode, encode, encode_raw, key, put},
};

/// Lines of history that are kept for one app.
const REVISIONS_PER_APP: usize = 100;

/// The changes of one step, for one durable commit. A part that is empty changes nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    pub apps: Vec<AppRecord>,
    /// Their records go; their inventory is a matter of `inventory`.
    pub forget_apps: Vec<AppName>,
    pub source: Option<SourceRecord>,
    /// `None` takes the object out of the app's inventory.
    pub inventory: Vec<(AppName, ObjectKey, Option<InventoryEntry>)>,
    pub revisions: Vec<RevisionRecord>,
    pub events: Vec<(Stamp, Event)>,
    /// The whole state document. Replaces one that was not sent yet. Whether it is
    /// worth a write is for `leeward_core::status::digest` to decide.
    pub state: Option<(Stamp, Value)>,
    /// By remote.
    pub link: Vec<(String, Vec<u8>)>,
    /// Only ever raised.
    pub wall_floor: Option<Timestamp>,
    /// The id of the cluster that this store belongs to.
    pub cluster_id: Option<String>,
}

/// The result of a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// True when anything had to be written.
    pub written: bool,
    /// The newest sequence that was ever given: what the reporter is woken with when it changes.
    pub last_sequence: u64,
}

impl Store {
    /// Records a step. When it returns, a power cut cannot take it back; when
    /// it fails, nothing of it is there.
    #[expect(clippy::needless_pass_by_value, reason = "a batch is recorded once, then gone")]
    pub fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        let limit = self.outbox_limit.load(Ordering::Relaxed);
        let attempted = self.attempted.load(Ordering::Relaxed);
        let counters = self.update(|transaction| {
            let mut written = records(transaction, &batch)?;
            written |= meta(transaction, &batch)?;
            if !batch.revisions.is_empty() || !batch.events.is_empty() || batch.state.is_some() {
                let counters = numbered(transaction, &batch, limit, attempted)?;
                return Ok(Some(Some(counters)));
            }
            Ok(written.then_some(None))
        })?;
        let written = counters.is_some();
        let Some(Some(counters)) = counters else {
            return Ok(Committed { written, last_sequence: self.last_sequence()? });
        };
        self.remember(&batch, &counters);
        Ok(Committed { written, last_sequence: counters.next_event - 1 })
    }

    fn remember(&self, batch: &Batch, counters: &Counters) {
        let up = |event: &Event| {
            event.kind == EventKind::LinkChanged
                && event.data.get("state").and_then(Value::as_str) == Some("up")
        };
        if batch.events.iter().any(|(_, event)| up(event)) {
            self.link_up.store(counters.next_event - 1, Ordering::Relaxed);
        }
    }
}

fn records(transaction: &WriteTransaction, batch: &Batch) -> Result<bool, Fault> {
    let mut written = false;
    if !batch.apps.is_empty() || !batch.forget_apps.is_empty() {
        let mut apps = transaction.open_table(schema::APPS)?;
        for app in &batch.apps {
            written |= put(&mut apps, app.spec.name.as_str(), &encode(app))?;
        }
        for name in &batch.forget_apps {
            written |= apps.remove(name.as_str())?.is_some();
        }
    }
    if !batch.inventory.is_empty() {
        let mut inventory = transaction.open_table(schema::INVENTORY)?;
        for (app, object, entry) in &batch.inventory {
            let key = (
                app.as_str(),
                object.group.as_str(),
                object.kind.as_str(),
                object.namespace.as_str(),
                object.name.as_str(),
            );
            written |= match entry {
                Some(entry) => put(&mut inventory, key, &encode(entry))?,
                None => inventory.remove(key)?.is_some(),
            };
        }
    }
    if !batch.link.is_empty() {
        let mut links = transaction.open_table(schema::LINK)?;
        for (remote, note) in &batch.link {
            written |= put(&mut links, remote.as_str(), &encode_raw(note))?;
        }
    }
    Ok(written)
}

fn meta(transaction: &WriteTransaction, batch: &Batch) -> Result<bool, Fault> {
    if batch.source.is_none() && batch.wall_floor.is_none() && batch.cluster_id.is_none() {
        return Ok(false);
    }
    let mut meta = transaction.open_table(schema::META)?;
    let mut written = false;
    if let Some(source) = &batch.source {
        written |= put(&mut meta, key::SOURCE, &encode(source))?;
    }
    if let Some(cluster) = &batch.cluster_id {
        written |= put(&mut meta, key::CLUSTER, &encode(cluster))?;
    }
    if let Some(floor) = batch.wall_floor {
        let known: Option<Timestamp> = meta
            .get(key::WALL_FLOOR)?
            .map(|record| decode(key::WALL_FLOOR, record.value()))
            .transpose()?;
        if known.is_none_or(|known| known < floor) {
            written |= put(&mut meta, key::WALL_FLOOR, &encode(&floor))?;
        }
    }
    Ok(written)
}

/// Whatever gets a sequence: revisions, events, the state.
fn numbered(
    transaction: &WriteTransaction,
    batch: &Batch,
    limit: u64,
    attempted: u64,
) -> Result<Counters, Fault> {
    let mut meta = transaction.open_table(schema::META)?;
    let mut counters = outbox::counters_in(&meta)?;
    if !batch.revisions.is_empty() {
        let mut revisions = transaction.open_table(schema::REVISIONS)?;
        for record in &batch.revisions {
            counters.next_revision += 1;
            let app = record.app.as_str();
            revisions.insert((app, counters.next_revision), encode(record).as_slice())?;
            let mut kept = Vec::new();
            for item in revisions.range((app, 0)..=(app, u64::MAX))? {
                kept.push(item?.0.value().1);
            }
            for old in &kept[..kept.len().saturating_sub(REVISIONS_PER_APP)] {
                revisions.remove((app, *old))?;
            }
        }
    }
    if !batch.events.is_empty() {
        let mut table = transaction.open_table(schema::OUTBOX)?;
        outbox::push(&mut table, &mut counters, &batch.events)?;
        if let (true, Some((stamp, _))) = (counters.bytes > limit, batch.events.last()) {
            outbox::make_room(&mut table, &mut counters, limit, attempted, *stamp)?;
        }
    }
    if let Some((stamp, document)) = &batch.state {
        let mut table = transaction.open_table(schema::STATE)?;
        outbox::replace_state(&mut table, &mut counters, *stamp, document)?;
    }
    meta.insert(key::COUNTERS, encode(&counters).as_slice())?;
    Ok(counters)
}
