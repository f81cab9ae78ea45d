//! Which start of the agent this is, and how the last run ended.

pub use leeward_wire::LastRun;
use serde::{Deserialize, Serialize};

use super::{
    Store, StoreError,
    error::Fault,
    schema::{self, decode, encode, key},
};

/// One start of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Counts from 1.
    pub number: u64,
    pub last_run: LastRun,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BootRecord {
    pub(super) number: u64,
    pub(super) clean: bool,
}

impl Store {
    /// Counts this start, durably.
    pub fn begin_boot(&self) -> Result<Boot, StoreError> {
        let floor = self.folder.as_ref().map_or(0, super::Folder::boot);
        let boot = self.update(|transaction| {
            let mut meta = transaction.open_table(schema::META)?;
            let last = boot_in(&meta)?;
            let number = last.number.max(floor) + 1;
            meta.insert(key::BOOT, encode(&BootRecord { number, clean: false }).as_slice())?;
            let last_run = match last {
                _ if number == 1 => LastRun::First,
                BootRecord { clean: true, .. } => LastRun::Clean,
                BootRecord { clean: false, .. } => LastRun::Unclean,
            };
            Ok(Some(Boot { number, last_run }))
        })?;
        let boot = boot.expect("the closure always has something to write");
        if let Some(folder) = &self.folder
            && let Err(error) = folder.set_boot(boot.number)
        {
            tracing::warn!(%error, "Cannot note the boot counter beside the store.");
        }
        Ok(boot)
    }

    /// Notes that this run ends in order.
    pub fn end_boot(&self) -> Result<(), StoreError> {
        self.update(|transaction| {
            let mut meta = transaction.open_table(schema::META)?;
            let record = BootRecord { clean: true, ..boot_in(&meta)? };
            Ok(schema::put(&mut meta, key::BOOT, &encode(&record))?.then_some(()))
        })
        .map(drop)
    }

    /// The number of the newest start.
    pub fn boot(&self) -> Result<u64, StoreError> {
        self.view(|transaction| Ok(boot_in(&transaction.open_table(schema::META)?)?.number))
    }
}

fn boot_in(
    meta: &impl redb::ReadableTable<&'static str, &'static [u8]>,
) -> Result<BootRecord, Fault> {
    match meta.get(key::BOOT)? {
        Some(record) => decode("the boot counter", record.value()),
        None => Ok(BootRecord { number: 0, clean: false }),
    }
}
