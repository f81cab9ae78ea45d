//! Reading: for the loop at its start, and for commands at any time.

use std::collections::{BTreeMap, btree_map::Entry};

use jiff::Timestamp;
use leeward_core::{
    cycle::{AppRecord, RevisionRecord, SourceRecord},
    git::{Authorship, Objects as _, authorship},
    model::{AppName, GitId, InventoryEntry, ObjectKey},
};
use redb::ReadableTable as _;
use serde::de::DeserializeOwned;

use super::{
    Store, StoreError,
    error::Fault,
    schema::{self, InventoryKey, decode, decode_raw, key},
};

/// The objects that an app owns in the cluster, or may own.
pub type Inventory = BTreeMap<ObjectKey, InventoryEntry>;

impl Store {
    pub fn apps(&self) -> Result<Vec<AppRecord>, StoreError> {
        self.view(|transaction| {
            let apps = transaction.open_table(schema::APPS)?;
            let mut records = Vec::new();
            for item in apps.iter()? {
                let (name, record) = item?;
                records
                    .push(decode(&format!("the record of app {}", name.value()), record.value())?);
            }
            Ok(records)
        })
    }

    pub fn source(&self) -> Result<Option<SourceRecord>, StoreError> {
        self.meta(key::SOURCE)
    }

    /// The newest wall time that was ever trusted.
    pub fn wall_floor(&self) -> Result<Option<Timestamp>, StoreError> {
        self.meta(key::WALL_FLOOR)
    }

    /// Returns the id of the cluster that this store belongs to, once it was recorded.
    pub fn cluster_id(&self) -> Result<Option<String>, StoreError> {
        self.meta(key::CLUSTER)
    }

    fn meta<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        self.view(|transaction| {
            let meta = transaction.open_table(schema::META)?;
            meta.get(key)?.map(|record| decode(key, record.value())).transpose()
        })
    }

    /// Returns the record about a remote that [`super::Batch::link`] wrote.
    pub fn link(&self, remote: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.view(|transaction| {
            let links = transaction.open_table(schema::LINK)?;
            let record = links.get(remote)?;
            record.map(|record| Ok(decode_raw("a link note", record.value())?.to_vec())).transpose()
        })
    }

    pub fn inventory(&self, app: &str) -> Result<Inventory, StoreError> {
        self.view(|transaction| {
            let inventory = transaction.open_table(schema::INVENTORY)?;
            let mut entries = Inventory::new();
            for item in inventory.range((app, "", "", "", "")..)? {
                let (key, record) = item?;
                if key.value().0 != app {
                    break;
                }
                let (_, key, entry) = inventory_entry(key.value(), record.value())?;
                entries.insert(key, entry);
            }
            Ok(entries)
        })
    }

    pub fn inventory_all(&self) -> Result<BTreeMap<AppName, Inventory>, StoreError> {
        self.view(|transaction| {
            let inventory = transaction.open_table(schema::INVENTORY)?;
            let mut apps: BTreeMap<AppName, Inventory> = BTreeMap::new();
            for item in inventory.iter()? {
                let (key, record) = item?;
                let (app, key, entry) = inventory_entry(key.value(), record.value())?;
                apps.entry(app).or_default().insert(key, entry);
            }
            Ok(apps)
        })
    }

    /// As [`Store::revisions`], with author and subject of each commit whose object is there.
    pub fn history(
        &self,
        app: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RevisionRecord>, StoreError> {
        let mut records = self.revisions(app, limit)?;
        let mut known: BTreeMap<GitId, Option<Authorship>> = BTreeMap::new();
        for record in &mut records {
            let by = match known.entry(record.commit) {
                Entry::Occupied(read) => read.into_mut(),
                Entry::Vacant(unread) => {
                    let commit = self.read(record.commit)?;
                    unread.insert(commit.and_then(|(_, data)| authorship(&data)))
                }
            };
            if let Some(by) = by {
                record.author = Some(by.author.clone());
                record.subject = Some(by.subject.clone());
            }
        }
        Ok(records)
    }

    /// The newest `limit` lines of history first; of one app, or of all.
    pub fn revisions(
        &self,
        app: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RevisionRecord>, StoreError> {
        self.view(|transaction| {
            let revisions = transaction.open_table(schema::REVISIONS)?;
            let mut keys: Vec<(u64, String)> = Vec::new();
            let first = (app.unwrap_or(""), 0);
            for item in revisions.range(first..)? {
                let (key, _) = item?;
                let (name, sequence) = key.value();
                if app.is_some_and(|app| app != name) {
                    break;
                }
                keys.push((sequence, name.to_owned()));
            }
            keys.sort_unstable_by_key(|(sequence, _)| std::cmp::Reverse(*sequence));
            keys.truncate(limit);
            let mut records = Vec::new();
            for (sequence, name) in keys {
                if let Some(record) = revisions.get((name.as_str(), sequence))? {
                    records.push(decode("a revision", record.value())?);
                }
            }
            Ok(records)
        })
    }
}

fn inventory_entry(
    (app, group, kind, namespace, name): InventoryKey<'_>,
    record: &[u8],
) -> Result<(AppName, ObjectKey, InventoryEntry), Fault> {
    let key = ObjectKey {
        group: group.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    let entry = decode(&format!("the inventory of {key}"), record)?;
    Ok((app.to_owned(), key, entry))
}
