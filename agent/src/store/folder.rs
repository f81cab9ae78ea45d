//! The files around the database: the lock, the marks that outlive it, and
//! those that were set aside.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    thread,
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};

use super::{OpenStoreError, ballast::Ballast};

const FILE: &str = "leeward.redb";
/// Holds the process id of whoever has the store.
const LOCK: &str = "leeward.lock";
/// Counts the openings since the store was last closed in order.
const UNCLEAN: &str = "leeward.unclean";
/// The boot counter once more: event ids must stay unique when the database is lost.
const BOOT: &str = "leeward.boot";
const BALLAST: &str = "leeward.ballast";

/// So many openings in a row without a closing, and every page is checked: a
/// damaged page may crash the process before it can say so.
const CHECK_AFTER: u32 = 3;
/// Files set aside beside each other. The last one is replaced when there are
/// more, so that the first, nearest to the cause, stay.
const SET_ASIDE_MAX: u32 = 8;
/// How long an agent waits for a command that reads the store while none runs
/// (`status` in the moment of a start): such a command is done in milliseconds.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_INTERVAL: Duration = Duration::from_millis(10);

/// The first bytes of every redb file. A file without them was never initialised.
pub(super) const MAGIC: [u8; 9] = *b"redb\x1A\x0A\xA9\x0D\x0A";
/// The version of redb's file format that this agent writes.
pub(super) const FILE_FORMAT: u8 = 3;
/// A version above this is rot: redb has had three in its first five years.
const FILE_FORMAT_MAX: u8 = 16;
/// Where the version stands in a redb file, once for each of the two commit slots.
const FILE_FORMAT_AT: [usize; 2] = [64, 192];

/// The folder of a store, locked for this process.
#[derive(Debug)]
pub(super) struct Folder {
    path: Utf8PathBuf,
    ballast: Ballast,
    /// Locked for as long as it is open.
    _lock: File,
}

/// The state of the place where the database should be.
pub(super) enum Found {
    Nothing,
    Database,
    /// In a file format that only a later redb can read.
    Later(u8),
    Foreign,
}

impl Folder {
    /// Locks the folder. With `create` for an agent: makes it when it is absent,
    /// and waits a moment for a command that is reading.
    pub(super) fn lock(path: &Utf8Path, create: bool) -> Result<Self, OpenStoreError> {
        if create {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(|source| OpenStoreError::CreateFolder { path: path.to_owned(), source })?;
        } else if !path.join(FILE).exists() {
            return Err(OpenStoreError::Missing { path: path.join(FILE) });
        }
        let patience = if create { LOCK_PATIENCE } else { Duration::ZERO };
        let lock = lock(path, patience)?;
        let ballast = Ballast::new(path.join(BALLAST));
        Ok(Self { path: path.to_owned(), ballast, _lock: lock })
    }

    pub(super) fn file(&self) -> Utf8PathBuf {
        self.path.join(FILE)
    }

    pub(super) fn find(&self) -> io::Result<Found> {
        let file = match File::open(self.file()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        };
        let [_, last] = FILE_FORMAT_AT;
        let mut start = Vec::new();
        file.take(last as u64 + 1).read_to_end(&mut start)?;
        Ok(match start.as_slice() {
            [] => Found::Nothing,
            start if start.starts_with(&MAGIC) => match later_format(start) {
                Some(version) => Found::Later(version),
                None => Found::Database,
            },
            _ => Found::Foreign,
        })
    }

    /// Puts a whole database in place, under a temporary name first: after a
    /// power cut there is all of it or none.
    pub(super) fn place(&self, image: &[u8]) -> io::Result<()> {
        self.write_whole(FILE, image)
    }

    fn write_whole(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let temporary = self.path.join(format!("{name}.new"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, self.path.join(name))?;
        self.sync()
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// Renames the database to `*.corrupt-<n>`; returns the new name.
    pub(super) fn set_aside(&self) -> io::Result<Utf8PathBuf> {
        let name = |number| self.path.join(format!("{FILE}.corrupt-{number}"));
        let free = (1..SET_ASIDE_MAX).find(|number| !name(*number).exists());
        let target = name(free.unwrap_or(SET_ASIDE_MAX));
        fs::rename(self.file(), &target)?;
        self.sync()?;
        Ok(target)
    }

    /// Bytes on the disk; the file has holes.
    pub(super) fn size(&self) -> u64 {
        const BLOCK: u64 = 512;
        fs::metadata(self.file())
            .map(|file| file.len().min(file.blocks() * BLOCK))
            .unwrap_or_default()
    }

    /// Counts one more opening; says whether every page should be checked.
    pub(super) fn opening(&self) -> bool {
        let unclean = self.unclean();
        self.set_unclean(if unclean >= CHECK_AFTER { 1 } else { unclean + 1 });
        unclean >= CHECK_AFTER
    }

    /// The next opening checks every page.
    pub(super) fn suspect(&self) {
        self.set_unclean(CHECK_AFTER);
    }

    /// The database was closed in order.
    pub(super) fn closed(&self) {
        if self.unclean() < CHECK_AFTER {
            drop(fs::remove_file(self.path.join(UNCLEAN)));
        }
    }

    /// Openings since the last closing.
    pub(super) fn unclean(&self) -> u32 {
        read_number(&self.path.join(UNCLEAN)).and_then(|count| count.try_into().ok()).unwrap_or(0)
    }

    /// Sets the count of openings back, as if there had been none since it was `before`.
    pub(super) fn forget_opening(&self, before: u32) {
        if before == 0 {
            drop(fs::remove_file(self.path.join(UNCLEAN)));
        } else {
            self.set_unclean(before);
        }
    }

    /// Not synced: a power cut that takes it back costs one check more or less.
    fn set_unclean(&self, count: u32) {
        if let Err(error) = fs::write(self.path.join(UNCLEAN), format!("{count}\n")) {
            tracing::debug!(%error, "Cannot mark the store as open.");
        }
    }

    /// The newest boot that was ever begun in this folder.
    pub(super) fn boot(&self) -> u64 {
        // Nobody starts an agent four thousand million times; such a number is rot.
        let boot = read_number(&self.path.join(BOOT)).and_then(|boot| u32::try_from(boot).ok());
        boot.map_or(0, u64::from)
    }

    pub(super) fn set_boot(&self, boot: u64) -> io::Result<()> {
        self.write_whole(BOOT, format!("{boot}\n").as_bytes())
    }

    pub(super) fn take_ballast(&self) -> io::Result<()> {
        self.ballast.take()
    }

    pub(super) fn throw_ballast(&self) -> bool {
        self.ballast.throw()
    }
}

/// redb takes a version that it does not know for damage. Both slots must say the same, so that a
/// single rotten byte is not taken for a later agent's.
fn later_format(start: &[u8]) -> Option<u8> {
    let [first, second] = FILE_FORMAT_AT.map(|at| start.get(at));
    let version = first.filter(|version| Some(*version) == second)?;
    (FILE_FORMAT + 1..=FILE_FORMAT_MAX).contains(version).then_some(*version)
}

fn lock(folder: &Utf8Path, patience: Duration) -> Result<File, OpenStoreError> {
    let path = folder.join(LOCK);
    let failed = |source| OpenStoreError::Io { path: path.clone(), source };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if started.elapsed() < patience => {
                thread::sleep(LOCK_INTERVAL);
            }
            Err(TryLockError::WouldBlock) => {
                let holder = read_number(&path).and_then(|pid| pid.try_into().ok());
                return Err(OpenStoreError::Locked { path: folder.join(FILE), holder });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
    // Who holds it is only for the message; a full disk must not keep us from starting.
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = written {
        tracing::debug!(%error, "Cannot note who holds the store.");
    }
    Ok(file)
}

fn read_number(path: &Utf8Path) -> Option<u64> {
    /// Digits of the largest number, and a line end.
    const LONGEST: u64 = 24;
    let mut text = String::new();
    File::open(path).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
