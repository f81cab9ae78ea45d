//! A disk that forgets, for the crash tests and the simulation.
//!
//! At a power cut, each write that was not synced is lost, kept or torn,
//! as a seed decides; it can also run full. Nothing in the agent uses it.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use redb::StorageBackend;

use super::backend::range;

/// Bytes that a drive writes as one.
const SECTOR: usize = 512;

/// A handle on the disk. Clones see the same platter, until its power is cut:
/// from then on only the handle that [`FaultyDisk::crash`] was called on, and
/// later clones of that one, reach it.
#[derive(Clone, Debug, Default)]
pub struct FaultyDisk {
    platter: Arc<Mutex<Platter>>,
    power: u64,
}

#[derive(Debug, Default)]
struct Platter {
    durable: Vec<u8>,
    visible: Vec<u8>,
    unsynced: Vec<Change>,
    power: u64,
    /// Changes that still go through before the power fails.
    fuse: Option<u64>,
    room: Option<u64>,
    read_only: bool,
}

#[derive(Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

impl FaultyDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts the power and brings it back: of what was not synced, a part that
    /// `seed` draws survives, some of it torn. Handles made before are dead.
    pub fn crash(&mut self, seed: u64) {
        let mut guard = self.platter.lock().unwrap_or_else(PoisonError::into_inner);
        let platter = &mut *guard;
        let mut chance = Chance(seed);
        for change in std::mem::take(&mut platter.unsynced) {
            match chance.next() % 4 {
                0 => {}
                1 => tear(&mut platter.durable, &change, &mut chance),
                _ => apply(&mut platter.durable, &change),
            }
        }
        platter.visible.clone_from(&platter.durable);
        platter.fuse = None;
        platter.power += 1;
        self.power = platter.power;
    }

    /// The power fails by itself after so many more changes; every access fails
    /// from then on, until [`FaultyDisk::crash`].
    pub fn cut_power_after(&self, changes: u64) {
        self.platter.lock().unwrap_or_else(PoisonError::into_inner).fuse = Some(changes);
    }

    /// The disk holds no more than so many bytes; `None` is as many as you like.
    pub fn hold_at_most(&self, bytes: Option<u64>) {
        self.platter.lock().unwrap_or_else(PoisonError::into_inner).room = bytes;
    }

    /// Takes no change any more, as a file system that was mounted again read-only.
    pub fn set_read_only(&self, read_only: bool) {
        self.platter.lock().unwrap_or_else(PoisonError::into_inner).read_only = read_only;
    }

    /// Changes bytes behind everyone's back, as a disk that rots.
    pub fn rot(&self, offset: u64, bytes: &[u8]) {
        let mut guard = self.platter.lock().unwrap_or_else(PoisonError::into_inner);
        let platter = &mut *guard;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(platter.durable.len());
        let end = start.saturating_add(bytes.len()).min(platter.durable.len());
        platter.durable[start..end].copy_from_slice(&bytes[..end - start]);
        platter.visible.clone_from(&platter.durable);
        platter.unsynced.clear();
    }

    fn platter(&self) -> io::Result<MutexGuard<'_, Platter>> {
        let platter = self.platter.lock().unwrap_or_else(PoisonError::into_inner);
        if platter.power != self.power || platter.fuse == Some(0) {
            return Err(io::Error::other("the disk has no power"));
        }
        Ok(platter)
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let mut platter = self.platter()?;
        if platter.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let end = match &change {
            Change::Write { offset, data } => offset + data.len(),
            Change::Length(length) => *length,
        };
        if platter.room.is_some_and(|room| end as u64 > room && end > platter.visible.len()) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        platter.fuse = platter.fuse.map(|fuse| fuse - 1);
        apply(&mut platter.visible, &change);
        platter.unsynced.push(change);
        Ok(())
    }
}

impl StorageBackend for FaultyDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.platter()?.visible.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.platter()?;
        out.copy_from_slice(&platter.visible[range(offset, out.len(), platter.visible.len())?]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let length = usize::try_from(len).map_err(|_| io::ErrorKind::StorageFull)?;
        self.change(Change::Length(length))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.platter()?;
        platter.fuse = platter.fuse.map(|fuse| fuse - 1);
        if platter.fuse == Some(0) {
            return Err(io::Error::other("the disk lost its power while it synced"));
        }
        for change in std::mem::take(&mut platter.unsynced) {
            apply(&mut platter.durable, &change);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = range(offset, data.len(), self.platter()?.visible.len())?.start;
        self.change(Change::Write { offset, data: data.to_vec() })
    }
}

/// A write beyond the end is lost with the growth that it followed.
fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => bytes.resize(*length, 0),
        Change::Write { offset, data } => {
            let start = (*offset).min(bytes.len());
            let end = (offset + data.len()).min(bytes.len());
            bytes[start..end].copy_from_slice(&data[..end - start]);
        }
    }
}

fn tear(bytes: &mut Vec<u8>, change: &Change, chance: &mut Chance) {
    match change {
        Change::Length(_) => apply(bytes, change),
        Change::Write { offset, data } => {
            for (index, sector) in data.chunks(SECTOR).enumerate() {
                if chance.next().is_multiple_of(2) {
                    let offset = offset + index * SECTOR;
                    apply(bytes, &Change::Write { offset, data: sector.to_vec() });
                }
            }
        }
    }
}

/// SplitMix64: the same seed, the same weather.
#[derive(Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
