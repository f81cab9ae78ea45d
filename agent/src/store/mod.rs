//! All that must survive a power cut: Git objects, the phase of every app, the
//! inventory, the outbox. One redb file.
//!
//! Owned by the daemon's loop, which records each step in one durable
//! [`Store::commit`] before it takes the next one; the reporter reads and
//! acknowledges the outbox. Must never delete a file that it cannot read, and
//! never be the reason that a cluster is not reconciled: when the disk is full,
//! objects are refused long before records are.

mod backend;
mod ballast;
mod batch;
mod boot;
mod collect;
mod error;
pub mod faulty;
mod folder;
mod objects;
mod open;
mod outbox;
mod read;
mod schema;

#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use leeward_core::model::StoreStatus;
use redb::{Database, ReadTransaction, ReadableDatabase, StorageBackend, WriteTransaction};

pub use batch::{Batch, Committed};
pub use boot::{Boot, LastRun};
pub use collect::Collected;
pub use error::{OpenStoreError, StoreError};
pub use objects::MAX_OBJECT_SIZE;
pub use open::{Opened, Recovery};
pub use outbox::OUTBOX_SIZE;
pub use read::Inventory;

use backend::Counted;
use error::Fault;
use folder::Folder;

/// Cache of redb, in bytes. The agent seldom reads a page twice, and the cache is resident memory.
const CACHE_SIZE: usize = 4 * 1024 * 1024;
/// Kept free of Git objects for everything else, in bytes: an outbox of the
/// default size twice over, since redb copies what it changes. A quarter of a
/// budget that is too small for that.
const RECORD_RESERVE: u64 = 24 * 1024 * 1024;

/// Opens the same disk once more, after an I/O error closed the database.
type Disk = Box<dyn Fn() -> io::Result<Box<dyn StorageBackend>> + Send + Sync>;

/// The store. Shared by reference; every call is short and synchronous.
pub struct Store {
    /// For messages: the path of the file.
    name: String,
    /// `None` after an I/O error, until the next call opens it again.
    database: RwLock<Option<Database>>,
    disk: Disk,
    /// `None` on a disk that is not a file.
    folder: Option<Folder>,
    max_size: AtomicU64,
    written: Arc<AtomicU64>,
    outbox_limit: AtomicU64,
    /// The newest event that this process offered to the receiver.
    attempted: AtomicU64,
    /// The sequence of the newest event that said that the link is up.
    link_up: AtomicU64,
    /// Git objects written since the last collection.
    fresh_objects: AtomicU64,
    /// Git objects were refused for want of room since the last collection.
    wants_room: AtomicBool,
    /// The budget, not the disk, refused Git objects.
    over_budget: AtomicBool,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Store {
    fn new(name: String, database: Database, disk: Disk, written: Arc<AtomicU64>) -> Self {
        Self {
            name,
            database: RwLock::new(Some(database)),
            disk,
            folder: None,
            max_size: AtomicU64::new(u64::MAX),
            written,
            outbox_limit: AtomicU64::new(OUTBOX_SIZE),
            attempted: AtomicU64::new(0),
            link_up: AtomicU64::new(0),
            fresh_objects: AtomicU64::new(0),
            wants_room: AtomicBool::new(false),
            over_budget: AtomicBool::new(false),
        }
    }

    /// The path of the file, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns how much the store takes on the disk, and how much it may take.
    pub fn size(&self) -> StoreStatus {
        let bytes = match &self.folder {
            Some(folder) => folder.size(),
            None => (self.disk)().and_then(|disk| disk.len()).unwrap_or_default(),
        };
        StoreStatus { bytes, max_bytes: self.max_size() }
    }

    /// Bytes written to the disk since the store was opened.
    pub fn written_bytes(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Changes the budget, in bytes.
    pub fn set_max_size(&self, bytes: u64) {
        self.max_size.store(bytes, Ordering::Relaxed);
    }

    fn max_size(&self) -> u64 {
        self.max_size.load(Ordering::Relaxed)
    }

    fn reserve(&self) -> u64 {
        RECORD_RESERVE.min(self.max_size() / 4)
    }

    /// Runs `act` in a read transaction. A disk that failed once is opened again and asked once more.
    fn view<T>(&self, act: impl Fn(&ReadTransaction) -> Result<T, Fault>) -> Result<T, StoreError> {
        let act = |database: &Database| act(&database.begin_read()?);
        match self.attempt(act) {
            Err(fault) if fault.closes_database() => self.attempt(act),
            result => result,
        }
        .map_err(|fault| self.failed(fault))
    }

    /// Runs `act` in a write transaction, durable when this returns. `None`
    /// from `act` says that nothing changed: nothing is written then.
    ///
    /// Never tried again after an I/O error, because it may have been committed
    /// all the same; but once more with the ballast thrown off when the disk is
    /// full, which shows before the commit.
    fn update<T>(
        &self,
        act: impl Fn(&WriteTransaction) -> Result<Option<T>, Fault>,
    ) -> Result<Option<T>, StoreError> {
        let act = |database: &Database| {
            let mut transaction = database.begin_write()?;
            // Without it, opening after a power cut reads the whole file: seconds instead of milliseconds.
            transaction.set_quick_repair(true);
            let value = act(&transaction)?;
            if value.is_some() {
                transaction.commit()?;
            } else {
                transaction.abort()?;
            }
            Ok(value)
        };
        match self.attempt(act) {
            Err(fault) if fault.is_disk_full() && self.throw_ballast() => self.attempt(act),
            result => result,
        }
        .map_err(|fault| self.failed(fault))
    }

    fn throw_ballast(&self) -> bool {
        self.folder.as_ref().is_some_and(Folder::throw_ballast)
    }

    fn attempt<T>(&self, act: impl Fn(&Database) -> Result<T, Fault>) -> Result<T, Fault> {
        let result = {
            let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
            guard.as_ref().map(&act)
        };
        let result = match result {
            Some(result) => result,
            None => self.reopen().and_then(|()| {
                let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
                guard.as_ref().map_or_else(|| Err(redb::StorageError::DatabaseClosed.into()), &act)
            }),
        };
        if matches!(&result, Err(fault) if fault.closes_database()) {
            // redb answers nothing more after an I/O error; the file itself is as it was.
            drop(self.database.write().unwrap_or_else(PoisonError::into_inner).take());
        }
        result
    }

    fn reopen(&self) -> Result<(), Fault> {
        let mut guard = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if guard.is_none() {
            let disk = (self.disk)().map_err(redb::StorageError::Io)?;
            *guard = Some(open_database(disk, &self.written, false)?);
        }
        Ok(())
    }

    fn failed(&self, fault: Fault) -> StoreError {
        if let (true, Some(folder)) = (fault.is_damage(), &self.folder) {
            folder.suspect();
        }
        fault.into_error(&self.name)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let database = self.database.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let closed = database.map(Database::close);
        if let (Some(Ok(())), Some(folder)) = (closed, &self.folder) {
            folder.closed();
        }
    }
}

fn open_database(
    disk: Box<dyn StorageBackend>,
    written: &Arc<AtomicU64>,
    check: bool,
) -> Result<Database, redb::DatabaseError> {
    redb::Builder::new()
        .set_cache_size(CACHE_SIZE)
        .set_check_integrity_on_open(check)
        .create_with_backend(Counted { disk, written: Arc::clone(written) })
}
