//! Reports that the receiver has not acknowledged, bounded in bytes. What goes
//! when there is no room is decided by [`leeward_core::report::relieve`].

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use leeward_core::{
    model::OutboxStatus,
    report::{
        Entry, Event, EventKind, Relief, Stamp, Weighed, event_id, gap_event, relieve, sameness,
        shrink,
    },
};
use redb::{ReadableTable, Table};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Store, StoreError,
    error::Fault,
    schema::{self, decode, encode, key},
};

/// Size of the outbox in bytes, unless configured: months of an ordinary cluster's events.
pub const OUTBOX_SIZE: u64 = 8 * 1024 * 1024;
/// The data of one event in bytes: several fit into one request.
const EVENT_SIZE: usize = 64 * 1024;
/// The state document in bytes: with its attributes it fits into one request.
const STATE_SIZE: usize = 192 * 1024;
/// Bytes that the table takes for an entry besides its value.
const ENTRY_OVERHEAD: u64 = 16;
/// Refused events that are kept to be named; more are only counted.
const REFUSED_MAX: usize = 16;

type OutboxTable<'a> = Table<'a, u64, &'static [u8]>;

/// Durable numbers that change with the outbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Counters {
    pub(super) next_event: u64,
    pub(super) next_revision: u64,
    /// Entries in the outbox, and their bytes.
    pub(super) pending: u64,
    pub(super) bytes: u64,
    pub(super) folded: u64,
    pub(super) dropped: u64,
    pub(super) refused: u64,
    pub(super) last_acknowledged: Option<Timestamp>,
}

/// An event that the receiver refused for good.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Refused {
    entry: Entry,
    answer: String,
}

impl Store {
    /// Sets the most bytes that the outbox may take.
    pub fn set_outbox_limit(&self, bytes: u64) {
        self.outbox_limit.store(bytes, Ordering::Relaxed);
    }

    /// The oldest events, at least one if there are any, of at most `bytes` in
    /// all. From now on until they are acknowledged they stay as they are.
    pub fn outbox_head(&self, bytes: u64) -> Result<Vec<Entry>, StoreError> {
        let head = self.view(|transaction| {
            let table = transaction.open_table(schema::OUTBOX)?;
            let mut left = bytes;
            let mut head: Vec<Entry> = Vec::new();
            for item in table.iter()? {
                let (sequence, record) = item?;
                let size = size_of(record.value());
                if size > left && !head.is_empty() {
                    break;
                }
                left = left.saturating_sub(size);
                head.push(decode_entry(sequence.value(), record.value())?);
            }
            Ok(head)
        })?;
        if let Some(last) = head.last() {
            self.attempted.fetch_max(last.sequence, Ordering::Relaxed);
        }
        Ok(head)
    }

    /// The newest state, when the receiver does not have it.
    pub fn outbox_state(&self) -> Result<Option<Entry>, StoreError> {
        self.view(|transaction| {
            let table = transaction.open_table(schema::STATE)?;
            let record = table.get(key::LATEST)?;
            record.map(|record| decode("the state", record.value())).transpose()
        })
    }

    /// The receiver has these events (and states): they go, in one commit.
    pub fn acknowledge(&self, sequences: &[u64], at: Timestamp) -> Result<(), StoreError> {
        self.update(|transaction| {
            let mut meta = transaction.open_table(schema::META)?;
            let mut counters = counters_in(&meta)?;
            let mut outbox = transaction.open_table(schema::OUTBOX)?;
            let mut state = transaction.open_table(schema::STATE)?;
            for sequence in sequences {
                take(&mut outbox, &mut state, &mut counters, *sequence)?;
            }
            counters.last_acknowledged = Some(at);
            meta.insert(key::COUNTERS, encode(&counters).as_slice())?;
            Ok(Some(()))
        })
        .map(drop)
    }

    /// The receiver will never take this event: it leaves the outbox, is
    /// counted, and kept for a while to be named.
    pub fn set_event_aside(&self, sequence: u64, answer: &str) -> Result<(), StoreError> {
        self.update(|transaction| {
            let mut meta = transaction.open_table(schema::META)?;
            let mut counters = counters_in(&meta)?;
            let mut outbox = transaction.open_table(schema::OUTBOX)?;
            let mut state = transaction.open_table(schema::STATE)?;
            let Some(entry) = take(&mut outbox, &mut state, &mut counters, sequence)? else {
                return Ok(None);
            };
            counters.refused += 1;
            let mut aside = transaction.open_table(schema::REFUSED)?;
            let refused = Refused { entry, answer: answer.to_owned() };
            aside.insert(sequence, encode(&refused).as_slice())?;
            let mut kept = Vec::new();
            for item in aside.iter()? {
                kept.push(item?.0.value());
            }
            for old in &kept[..kept.len().saturating_sub(REFUSED_MAX)] {
                aside.remove(*old)?;
            }
            meta.insert(key::COUNTERS, encode(&counters).as_slice())?;
            Ok(Some(()))
        })
        .map(drop)
    }

    pub fn outbox_status(&self) -> Result<OutboxStatus, StoreError> {
        self.view(|transaction| {
            let counters = counters_in(&transaction.open_table(schema::META)?)?;
            let mut refused_events = Vec::new();
            for item in transaction.open_table(schema::REFUSED)?.iter()? {
                let refused: Refused = decode("a refused event", item?.1.value())?;
                let Refused { entry, answer } = &refused;
                let kind = entry.event.kind.type_name();
                refused_events.push(format!("{} {kind}: {answer}", event_id(entry)));
            }
            Ok(OutboxStatus {
                pending: counters.pending,
                folded: counters.folded,
                dropped: counters.dropped,
                refused: counters.refused,
                refused_events,
                last_acknowledged: counters.last_acknowledged,
            })
        })
    }

    /// The sequence of the newest event that said that the link is up again; 0
    /// when none did since the store was opened.
    pub fn link_up_sequence(&self) -> u64 {
        self.link_up.load(Ordering::Relaxed)
    }

    pub(super) fn last_sequence(&self) -> Result<u64, StoreError> {
        self.view(|transaction| {
            Ok(counters_in(&transaction.open_table(schema::META)?)?.next_event - 1)
        })
    }
}

pub(super) fn counters_in(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Counters, Fault> {
    let counters: Counters = match meta.get(key::COUNTERS)? {
        Some(record) => decode("the counters", record.value())?,
        None => return Err(Fault::Damaged("there are no counters".to_owned())),
    };
    if counters.next_event == 0 {
        return Err(Fault::Damaged("the counters start at 0".to_owned()));
    }
    Ok(counters)
}

/// Appends events and gives each its sequence.
pub(super) fn push(
    table: &mut OutboxTable<'_>,
    counters: &mut Counters,
    events: &[(Stamp, Event)],
) -> Result<(), Fault> {
    for (stamp, event) in events {
        let event = Event { data: shrink(event.data.clone(), EVENT_SIZE), ..event.clone() };
        let sequence = counters.next_event;
        let entry = Entry { sequence, stamp: *stamp, event, count: 1, first: None };
        insert(table, counters, &entry)?;
        counters.next_event += 1;
    }
    Ok(())
}

/// Puts the state into its slot, where only the newest matters.
pub(super) fn replace_state(
    table: &mut Table<'_, &'static str, &'static [u8]>,
    counters: &mut Counters,
    stamp: Stamp,
    document: &Value,
) -> Result<(), Fault> {
    let data = shrink(document.clone(), STATE_SIZE);
    let event = Event { kind: EventKind::State, subject: None, data };
    let entry = Entry { sequence: counters.next_event, stamp, event, count: 1, first: None };
    table.insert(key::LATEST, encode(&entry).as_slice())?;
    counters.next_event += 1;
    Ok(())
}

/// Folds and drops until an eighth of the limit is free, so that the next
/// event does not have to read the whole outbox again.
pub(super) fn make_room(
    table: &mut OutboxTable<'_>,
    counters: &mut Counters,
    limit: u64,
    attempted: u64,
    stamp: Stamp,
) -> Result<(), Fault> {
    let mut entries = Vec::new();
    for item in table.iter()? {
        let (sequence, record) = item?;
        let entry = decode_entry(sequence.value(), record.value())?;
        entries.push(Weighed {
            sequence: entry.sequence,
            kind: entry.event.kind,
            same: sameness(&entry.event),
            size: size_of(record.value()),
            pinned: entry.sequence <= attempted,
        });
    }
    let Relief { folds, drops } = relieve(&entries, limit - limit / 8);
    for fold in folds {
        let Some(mut survivor) = remove(table, counters, fold.into)? else { continue };
        for sequence in fold.from {
            let Some(repeat) = remove(table, counters, sequence)? else { continue };
            let first = repeat.first.unwrap_or(repeat.stamp.wall);
            survivor.count += repeat.count;
            survivor.first = Some(survivor.first.map_or(first, |known| known.min(first)));
            counters.folded += 1;
        }
        insert(table, counters, &survivor)?;
    }
    let mut gone = Vec::new();
    for sequence in drops {
        gone.extend(remove(table, counters, sequence)?);
    }
    record_gap(table, counters, &gone, stamp)
}

/// The gap stands where the last of the dropped events stood. It counts as an
/// event of this boot, so its id is none that the receiver may have seen.
fn record_gap(
    table: &mut OutboxTable<'_>,
    counters: &mut Counters,
    gone: &[Entry],
    stamp: Stamp,
) -> Result<(), Fault> {
    let parts: Vec<_> =
        gone.iter().map(|entry| (entry.sequence, &entry.event, entry.count)).collect();
    let (Some(event), Some(last)) = (gap_event(&parts), gone.last()) else { return Ok(()) };
    counters.dropped += gone
        .iter()
        .filter(|entry| entry.event.kind != EventKind::ReportGap)
        .map(|entry| entry.count)
        .sum::<u64>();
    let entry = Entry { sequence: last.sequence, stamp, event, count: 1, first: None };
    insert(table, counters, &entry)
}

fn insert(
    table: &mut OutboxTable<'_>,
    counters: &mut Counters,
    entry: &Entry,
) -> Result<(), Fault> {
    let record = encode(entry);
    counters.pending += 1;
    counters.bytes += size_of(&record);
    table.insert(entry.sequence, record.as_slice())?;
    Ok(())
}

fn remove(
    table: &mut OutboxTable<'_>,
    counters: &mut Counters,
    sequence: u64,
) -> Result<Option<Entry>, Fault> {
    let Some(record) = table.remove(sequence)? else { return Ok(None) };
    counters.pending = counters.pending.saturating_sub(1);
    counters.bytes = counters.bytes.saturating_sub(size_of(record.value()));
    decode_entry(sequence, record.value()).map(Some)
}

/// Takes an event out of the outbox, or the state out of its slot.
fn take(
    outbox: &mut OutboxTable<'_>,
    state: &mut Table<'_, &'static str, &'static [u8]>,
    counters: &mut Counters,
    sequence: u64,
) -> Result<Option<Entry>, Fault> {
    if let Some(entry) = remove(outbox, counters, sequence)? {
        return Ok(Some(entry));
    }
    let latest: Option<Entry> =
        state.get(key::LATEST)?.map(|record| decode("the state", record.value())).transpose()?;
    let Some(entry) = latest.filter(|entry| entry.sequence == sequence) else { return Ok(None) };
    state.remove(key::LATEST)?;
    Ok(Some(entry))
}

fn decode_entry(sequence: u64, record: &[u8]) -> Result<Entry, Fault> {
    decode(&format!("event {sequence}"), record)
}

fn size_of(record: &[u8]) -> u64 {
    record.len() as u64 + ENTRY_OVERHEAD
}
