//! The tables, and the shape of one record.
//!
//! Every value is one byte of format version and then JSON (Git objects and
//! link notes: raw bytes). A reader of format n reads every format up to n for
//! ever; the files in `fixtures/` prove it for what was shipped.

use redb::{ReadableTable, Table, TableDefinition};
use serde::{Serialize, de::DeserializeOwned};

use super::error::Fault;

/// Version of the tables, their keys and their values. A store with
/// a newer one is left alone: refused at the opening, before anything is written.
pub(super) const SCHEMA: u32 = 1;
/// The format that records are written in.
pub(super) const FORMAT: u8 = 1;
// Whoever raises the format raises the schema, too; else an older agent would
// find out in the middle of its work.
const _: () = assert!(FORMAT as u32 <= SCHEMA);

pub(super) type ObjectId = [u8; 20];
/// App, then the object's group, kind, namespace and name.
pub(super) type InventoryKey<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str);

pub(super) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
pub(super) const OBJECTS: TableDefinition<&ObjectId, &[u8]> = TableDefinition::new("objects");
/// By app and sequence.
pub(super) const REVISIONS: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("revisions");
pub(super) const APPS: TableDefinition<&str, &[u8]> = TableDefinition::new("apps");
pub(super) const INVENTORY: TableDefinition<InventoryKey<'static>, &[u8]> =
    TableDefinition::new("inventory");
/// By sequence.
pub(super) const OUTBOX: TableDefinition<u64, &[u8]> = TableDefinition::new("outbox");
/// The newest state that was not acknowledged; its own table, because a large
/// value makes every write to its neighbours as large.
pub(super) const STATE: TableDefinition<&str, &[u8]> = TableDefinition::new("state");
/// Events that the receiver refused for good, by sequence.
pub(super) const REFUSED: TableDefinition<u64, &[u8]> = TableDefinition::new("refused");
/// By remote.
pub(super) const LINK: TableDefinition<&str, &[u8]> = TableDefinition::new("link");

/// Keys of `meta` and of `state`.
pub(super) mod key {
    pub(in crate::store) const SCHEMA: &str = "schema";
    pub(in crate::store) const CLUSTER: &str = "cluster";
    pub(in crate::store) const BOOT: &str = "boot";
    pub(in crate::store) const SOURCE: &str = "source";
    pub(in crate::store) const WALL_FLOOR: &str = "wall_floor";
    pub(in crate::store) const COUNTERS: &str = "counters";
    pub(in crate::store) const OBJECT_BYTES: &str = "object_bytes";
    pub(in crate::store) const LATEST: &str = "latest";
}

pub(super) fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    serde_json::to_writer(&mut bytes, record)
        .expect("our records have string keys and are written to memory");
    bytes
}

pub(super) fn encode_raw(record: &[u8]) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    bytes.extend_from_slice(record);
    bytes
}

/// Reads a record; `name` says which one in an error.
pub(super) fn decode<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(decode_raw(name, bytes)?)
        .map_err(|error| Fault::Damaged(format!("{name} cannot be read: {error}")))
}

pub(super) fn decode_raw<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a [u8], Fault> {
    match bytes.split_first() {
        Some((&FORMAT, record)) => Ok(record),
        Some((&format, _)) if format > FORMAT => {
            Err(Fault::Newer { record: name.to_owned(), format })
        }
        _ => Err(Fault::Damaged(format!("{name} has no format version"))),
    }
}

/// Writes the value unless it is there already; says whether it wrote.
pub(super) fn put<'k, K: redb::Key + 'static>(
    table: &mut Table<'_, K, &'static [u8]>,
    key: K::SelfType<'k>,
    value: &[u8],
) -> Result<bool, Fault>
where
    K::SelfType<'k>: Clone,
{
    if table.get(key.clone())?.is_some_and(|old| old.value() == value) {
        return Ok(false);
    }
    table.insert(key, value)?;
    Ok(true)
}
