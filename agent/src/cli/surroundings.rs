//! What the process has: everything that the program is given from outside.

use std::{
    collections::BTreeMap, ffi::OsString, fmt, io::Write, os::unix::fs::MetadataExt as _,
    time::Duration,
};

use jiff::Timestamp;

use super::arguments::Common;
use crate::config::Invocation;

/// Between two looks at the daemon, in `status --watch` and `sync --wait`.
const TICK: Duration = Duration::from_secs(2);

pub struct Surroundings<'a> {
    /// The program's own name first.
    pub arguments: Vec<OsString>,
    pub environment: BTreeMap<String, String>,
    pub stdout: &'a mut dyn Write,
    pub stderr: &'a mut dyn Write,
    pub stdout_is_terminal: bool,
    pub stderr_is_terminal: bool,
    /// stderr is connected to the systemd journal.
    pub journal: bool,
    /// The wall clock, for times that people read.
    pub now: fn() -> Timestamp,
    /// Between two looks at the daemon.
    pub tick: Duration,
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("arguments", &self.arguments).finish_non_exhaustive()
    }
}

impl<'a> Surroundings<'a> {
    /// No environment, no terminal.
    pub fn new(
        arguments: Vec<OsString>,
        stdout: &'a mut dyn Write,
        stderr: &'a mut dyn Write,
        now: fn() -> Timestamp,
    ) -> Self {
        Self {
            arguments,
            environment: BTreeMap::new(),
            stdout,
            stderr,
            stdout_is_terminal: false,
            stderr_is_terminal: false,
            journal: false,
            now,
            tick: TICK,
        }
    }

    pub(super) fn invocation(&self, common: &Common) -> Invocation {
        Invocation {
            file: common.config.clone(),
            environment: self.environment.clone(),
            flags: common.set.clone(),
            journal: self.journal,
        }
    }
}

/// Whether stderr is the journal that systemd named in `$JOURNAL_STREAM`.
///
/// The variable alone says nothing: terminals that systemd started hand it
/// down to every shell (systemd.exec(5)).
pub fn is_journal(stream: Option<&str>) -> bool {
    let Some((device, inode)) = stream.and_then(|stream| stream.split_once(':')) else {
        return false;
    };
    let stderr = std::io::stderr();
    let Ok(owned) = std::os::fd::AsFd::as_fd(&stderr).try_clone_to_owned() else { return false };
    std::fs::File::from(owned).metadata().is_ok_and(|metadata| {
        device.parse() == Ok(metadata.dev()) && inode.parse() == Ok(metadata.ino())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_was_handed_down_does_not_make_stderr_the_journal() {
        assert_eq!(
            [None, Some(""), Some("1"), Some("a:b"), Some("0:0")].map(is_journal),
            [false; 5]
        );
    }
}
