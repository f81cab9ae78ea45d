//! Errors of the store, distinguished by what the caller can do about them.

use std::io;

use camino::Utf8PathBuf;

/// Why a read or a commit did not happen. The store stays usable: the next call
/// opens its file again if it has to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Neither the disk nor the budget has room: fetch nothing, go on reconciling.
    #[error("store {store} is full: {reason}")]
    Full { store: String, reason: String },
    #[error("cannot read or write store {store}")]
    Disk { store: String, source: Box<redb::Error> },
    /// A page or a record is not what was written. The next start checks every page.
    #[error("store {store} is damaged: {what}")]
    Damaged { store: String, what: String },
    /// An agent of a later version wrote it; this one must not guess.
    #[error("{record} in store {store} has format {format}, which is newer than this agent")]
    Newer { store: String, record: String, format: u8 },
    #[error("git object of {size} bytes is larger than {max}", max = super::MAX_OBJECT_SIZE)]
    ObjectTooLarge { size: usize },
}

impl StoreError {
    /// Returns whether the same call can succeed later without anyone changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Disk { .. })
    }
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    #[error("cannot create store folder {path}")]
    CreateFolder { path: Utf8PathBuf, source: io::Error },
    /// The store is locked by a second agent, or by a command that reads it. Exit code 75.
    #[error("store {path} is in use by {}", holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}")))]
    Locked { path: Utf8PathBuf, holder: Option<u32> },
    #[error("there is no store at {path}")]
    Missing { path: Utf8PathBuf },
    #[error("cannot open store {path}")]
    Io { path: Utf8PathBuf, source: io::Error },
    /// An agent of a later version wrote it. Left exactly as it is.
    #[error("store {path} has {what} {found}, which is newer than this agent's {known}")]
    Newer { path: Utf8PathBuf, what: &'static str, found: u32, known: u32 },
    /// The next start of the agent sets it aside and makes a new one.
    #[error("store {path} cannot be used: {reason}")]
    Unusable { path: Utf8PathBuf, reason: String },
    #[error("cannot open store {path}")]
    Database { path: Utf8PathBuf, source: Box<redb::Error> },
}

/// A failure inside a transaction, before the store's name is known.
#[derive(Debug)]
pub(super) enum Fault {
    Redb(Box<redb::Error>),
    Damaged(String),
    Newer { record: String, format: u8 },
    Full(String),
    ObjectTooLarge(usize),
}

macro_rules! from_redb {
    ($($error:ty),+) => {
        $(impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Self::Redb(Box::new(error.into()))
            }
        })+
    };
}

from_redb!(
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    redb::CompactionError,
    redb::DatabaseError
);

impl Fault {
    /// The disk has no room, as opposed to being broken.
    pub(super) fn is_disk_full(&self) -> bool {
        matches!(self, Self::Redb(error) if is_disk_full(error))
    }

    /// redb answers nothing any more until its file is opened again.
    pub(super) fn closes_database(&self) -> bool {
        matches!(self, Self::Redb(error) if matches!(**error,
            redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::DatabaseClosed))
    }

    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Redb(error) => matches!(**error, redb::Error::Corrupted(_)),
            Self::Damaged(_) => true,
            _ => false,
        }
    }

    pub(super) fn into_error(self, store: &str) -> StoreError {
        let store = store.to_owned();
        match self {
            Self::Redb(error) if is_disk_full(&error) => {
                StoreError::Full { store, reason: "no space left on the disk".to_owned() }
            }
            Self::Redb(error) => match *error {
                redb::Error::Corrupted(what) => StoreError::Damaged { store, what },
                source => StoreError::Disk { store, source: Box::new(source) },
            },
            Self::Damaged(what) => StoreError::Damaged { store, what },
            Self::Newer { record, format } => StoreError::Newer { store, record, format },
            Self::Full(reason) => StoreError::Full { store, reason },
            Self::ObjectTooLarge(size) => StoreError::ObjectTooLarge { size },
        }
    }
}

fn is_disk_full(error: &redb::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error, redb::Error::Io(io) if matches!(io.kind(), StorageFull | QuotaExceeded | FileTooLarge))
}
