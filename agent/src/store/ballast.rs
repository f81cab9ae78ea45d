//! A file of zeros that is thrown off when the disk is full, so that the steps
//! of a cluster in trouble can still be recorded. While it cannot be made,
//! nothing is fetched.

use std::{
    fs, io,
    io::Write as _,
    sync::atomic::{AtomicBool, Ordering},
};

use camino::Utf8PathBuf;

/// Bytes: some fifty commits' worth of new pages.
const SIZE: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Ballast {
    path: Utf8PathBuf,
    there: AtomicBool,
}

impl Ballast {
    pub(super) fn new(path: Utf8PathBuf) -> Self {
        let there = fs::metadata(&path).is_ok_and(|file| file.len() == SIZE as u64);
        Self { path, there: AtomicBool::new(there) }
    }

    /// Takes it on board unless it is.
    pub(super) fn take(&self) -> io::Result<()> {
        if self.there.load(Ordering::Relaxed) {
            return Ok(());
        }
        let result = fs::File::create(&self.path).and_then(|mut file| {
            file.write_all(&vec![0; SIZE])?;
            file.sync_all()
        });
        match result {
            Ok(()) => self.there.store(true, Ordering::Relaxed),
            // Half of it would only take the room that records need.
            Err(_) => drop(fs::remove_file(&self.path)),
        }
        result
    }

    /// Says whether there was any.
    pub(super) fn throw(&self) -> bool {
        self.there.swap(false, Ordering::Relaxed) && fs::remove_file(&self.path).is_ok()
    }
}
