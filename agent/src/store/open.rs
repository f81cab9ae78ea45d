//! Opens the store in a folder, and leaves one that can be trusted, whatever was found there.

use std::{
    fs::OpenOptions,
    io,
    sync::{Arc, atomic::AtomicU64},
};

use camino::{Utf8Path, Utf8PathBuf};
use redb::{Database, ReadableDatabase as _, StorageBackend, backends::FileBackend};

use super::{
    OpenStoreError, Store,
    backend::{Counted, Memory},
    boot::BootRecord,
    error::Fault,
    folder::{self, Folder, Found, MAGIC},
    open_database,
    outbox::Counters,
    schema::{self, decode, encode, key},
};

/// A store, and what it took to get it.
#[derive(Debug)]
pub struct Opened {
    pub store: Store,
    pub recovered: Option<Recovery>,
}

/// The former store could not be opened; a new one is in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Where the former one is now.
    pub set_aside: Utf8PathBuf,
    pub reason: String,
}

/// Each event of a database that was lost had a sequence below the boot counter
/// times this, so those of its successor ascend from there.
const SEQUENCES_PER_BOOT: u64 = 1 << 32;

/// How opening a database ended.
enum Outcome {
    Usable(Database),
    /// To be set aside, and why.
    Unusable(String),
}

impl Store {
    /// Opens the store in `folder`, or makes one; `max_size` is its budget in bytes.
    pub fn open(folder: &Utf8Path, max_size: u64) -> Result<Opened, OpenStoreError> {
        Self::open_folder(Folder::lock(folder, true)?, max_size, Self::replace)
    }

    /// Opens the store in `folder` if there is one: for commands that read it
    /// while no daemon runs. What cannot be opened stays where it is: to set it
    /// aside, and to say so, is for the daemon.
    pub fn open_existing(folder: &Utf8Path, max_size: u64) -> Result<Opened, OpenStoreError> {
        Self::open_folder(Folder::lock(folder, false)?, max_size, |folder, reason| {
            Err(OpenStoreError::Unusable { path: folder.file(), reason })
        })
    }

    /// Sets aside what cannot be opened.
    fn replace(folder: &Folder, reason: String) -> Result<Recovery, OpenStoreError> {
        let path = folder.file();
        let set_aside = folder
            .set_aside()
            .map_err(|source| OpenStoreError::Io { path: path.clone(), source })?;
        tracing::error!(%path, %set_aside, %reason, "Set a store aside that cannot be opened.");
        Ok(Recovery { set_aside, reason })
    }

    fn open_folder(
        folder: Folder,
        max_size: u64,
        replace: impl FnOnce(&Folder, String) -> Result<Recovery, OpenStoreError>,
    ) -> Result<Opened, OpenStoreError> {
        let path = folder.file();
        let io = |source| OpenStoreError::Io { path: path.clone(), source };
        let written = Arc::new(AtomicU64::new(0));
        let found = folder.find().map_err(io)?;
        let fresh = || -> Result<Database, OpenStoreError> {
            let image = fresh_image(folder.boot()).map_err(|fault| database_error(&path, fault))?;
            folder.place(&image).map_err(io)?;
            let disk = open_file(&path).map_err(io)?;
            open_database(disk, &written, false)
                .map_err(|error| database_error(&path, error.into()))
        };
        let unusable = match found {
            Found::Nothing => None,
            Found::Foreign => Some("it does not start as a redb file does".to_owned()),
            Found::Later(found) => {
                return Err(newer(&path, "file format", found.into(), folder::FILE_FORMAT.into()));
            }
            Found::Database => {
                let openings = folder.unclean();
                let check = folder.opening();
                let disk = open_file(&path).map_err(io)?;
                match examine(&path, open_database(disk, &written, check)) {
                    Ok(Outcome::Usable(database)) => {
                        let store = Self::in_folder(folder, database, written, max_size);
                        return Ok(Opened { store, recovered: None });
                    }
                    Ok(Outcome::Unusable(reason)) => Some(reason),
                    Err(error) => {
                        if matches!(error, OpenStoreError::Newer { .. }) {
                            folder.forget_opening(openings);
                        }
                        return Err(error);
                    }
                }
            }
        };
        let recovered = unusable.map(|reason| replace(&folder, reason)).transpose()?;
        let database = fresh()?;
        folder.opening();
        Ok(Opened { store: Self::in_folder(folder, database, written, max_size), recovered })
    }

    fn in_folder(
        folder: Folder,
        database: Database,
        written: Arc<AtomicU64>,
        max_size: u64,
    ) -> Self {
        let path = folder.file();
        let disk = {
            let path = path.clone();
            Box::new(move || open_file(&path))
        };
        let mut store = Self::new(path.into_string(), database, disk, written);
        store.folder = Some(folder);
        store.set_max_size(max_size);
        store
    }

    /// Opens the store on any disk, or makes one there. For the simulation:
    /// nothing is set aside, since there is nowhere to put it.
    pub fn open_on<B: StorageBackend + Clone>(
        backend: B,
        max_size: u64,
    ) -> Result<Opened, OpenStoreError> {
        let path = Utf8PathBuf::from("(memory)");
        let io = |source| OpenStoreError::Io { path: path.clone(), source };
        let written = Arc::new(AtomicU64::new(0));
        if !is_formatted(&backend).map_err(io)? {
            let image = fresh_image(0).map_err(|fault| database_error(&path, fault))?;
            format(
                &Counted { disk: Box::new(backend.clone()), written: Arc::clone(&written) },
                &image,
            )
            .map_err(io)?;
        }
        let opened = open_database(Box::new(backend.clone()), &written, false);
        let database = match examine(&path, opened)? {
            Outcome::Usable(database) => database,
            Outcome::Unusable(reason) => {
                return Err(database_error(&path, redb::StorageError::Corrupted(reason).into()));
            }
        };
        let disk = Box::new(move || -> io::Result<Box<dyn StorageBackend>> {
            Ok(Box::new(backend.clone()))
        });
        let store = Self::new(path.into_string(), database, disk, written);
        store.set_max_size(max_size);
        Ok(Opened { store, recovered: None })
    }
}

fn open_file(path: &Utf8Path) -> io::Result<Box<dyn StorageBackend>> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    Ok(Box::new(FileBackend::new(file).map_err(io::Error::other)?))
}

/// Tells damage, which is set aside, from a disk or a version that is at fault
/// and would fail a new store as well.
fn examine(
    path: &Utf8Path,
    opened: Result<Database, redb::DatabaseError>,
) -> Result<Outcome, OpenStoreError> {
    use redb::{DatabaseError, StorageError};
    let database = match opened {
        Ok(database) => database,
        Err(DatabaseError::DatabaseAlreadyOpen) => {
            return Err(OpenStoreError::Locked { path: path.to_owned(), holder: None });
        }
        Err(DatabaseError::Storage(StorageError::Corrupted(reason))) => {
            return Ok(Outcome::Unusable(reason));
        }
        Err(DatabaseError::Storage(StorageError::Io(error)))
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            return Ok(Outcome::Unusable(error.to_string()));
        }
        Err(DatabaseError::Storage(StorageError::Io(source))) => {
            return Err(OpenStoreError::Io { path: path.to_owned(), source });
        }
        Err(error) => return Err(database_error(path, error.into())),
    };
    match read_schema(&database) {
        Ok(schema) if schema > schema::SCHEMA => Err(newer(path, "schema", schema, schema::SCHEMA)),
        Ok(_) => Ok(Outcome::Usable(database)),
        Err(Fault::Newer { format, .. }) => {
            Err(newer(path, "record format", format.into(), schema::FORMAT.into()))
        }
        Err(fault) => Ok(Outcome::Unusable(fault.into_error(path.as_str()).to_string())),
    }
}

fn newer(path: &Utf8Path, what: &'static str, found: u32, known: u32) -> OpenStoreError {
    OpenStoreError::Newer { path: path.to_owned(), what, found, known }
}

/// Reads what every later step needs, so that damage shows now.
fn read_schema(database: &Database) -> Result<u32, Fault> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(schema::META)?;
    let schema = match meta.get(key::SCHEMA)? {
        Some(record) => decode("the schema version", record.value())?,
        None => return Err(Fault::Damaged("there is no schema version".to_owned())),
    };
    if schema <= schema::SCHEMA {
        super::outbox::counters_in(&meta)?;
    }
    Ok(schema)
}

fn database_error(path: &Utf8Path, fault: Fault) -> OpenStoreError {
    let source = match fault {
        Fault::Redb(source) => source,
        other => Box::new(redb::Error::Corrupted(format!("{other:?}"))),
    };
    OpenStoreError::Database { path: path.to_owned(), source }
}

/// The bytes of an empty store. Made in memory, so that the disk only ever
/// sees a whole one.
fn fresh_image(boot: u64) -> Result<Vec<u8>, Fault> {
    let memory = Memory::default();
    let database = open_database(Box::new(memory.clone()), &Arc::default(), false)?;
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    {
        let mut meta = transaction.open_table(schema::META)?;
        meta.insert(key::SCHEMA, encode(&schema::SCHEMA).as_slice())?;
        let counters =
            Counters { next_event: boot * SEQUENCES_PER_BOOT + 1, ..Counters::default() };
        meta.insert(key::COUNTERS, encode(&counters).as_slice())?;
        meta.insert(key::BOOT, encode(&BootRecord { number: boot, clean: false }).as_slice())?;
        transaction.open_table(schema::OBJECTS)?;
        transaction.open_table(schema::REVISIONS)?;
        transaction.open_table(schema::APPS)?;
        transaction.open_table(schema::INVENTORY)?;
        transaction.open_table(schema::OUTBOX)?;
        transaction.open_table(schema::STATE)?;
        transaction.open_table(schema::REFUSED)?;
        transaction.open_table(schema::LINK)?;
    }
    transaction.commit()?;
    database.close()?;
    Ok(memory.bytes())
}

fn is_formatted(disk: &impl StorageBackend) -> io::Result<bool> {
    let mut start = [0; MAGIC.len()];
    if disk.len()? < MAGIC.len() as u64 {
        return Ok(false);
    }
    disk.read(0, &mut start)?;
    Ok(start == MAGIC)
}

/// Writes an image so that its magic, which says that it is whole, comes last.
fn format(disk: &impl StorageBackend, image: &[u8]) -> io::Result<()> {
    /// The header, with the magic in its first sector, has the first page.
    const PAGE: usize = 4096;
    let (header, rest) = image.split_at(image.len().min(PAGE));
    disk.set_len(image.len() as u64)?;
    disk.write(0, &vec![0; header.len()])?;
    disk.write(header.len() as u64, rest)?;
    disk.sync_data()?;
    disk.write(0, header)?;
    disk.sync_data()
}
