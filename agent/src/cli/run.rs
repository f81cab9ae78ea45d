//! `leeward run`: the daemon.

use std::{process, thread};

use super::{
    Session,
    exit::{Exit, Failure},
};
use crate::{
    daemon::{self, RunError},
    log,
};

pub(super) fn run(session: &Session) -> Result<Exit, Failure> {
    let config = session.config()?;
    log::start(&config.log).map_err(|error| {
        Failure::new(Exit::Unavailable, error.to_string())
            .with_hint("choose another with `--set log.format=text`")
    })?;
    let invocation = session.invocation.clone();
    let reload = || match invocation.load() {
        Ok(loaded) => Some(loaded.config),
        Err(error) => {
            for problem in Failure::from(error).messages {
                tracing::error!(problem, "The configuration has a problem.");
            }
            None
        }
    };
    let result = daemon::run(config, reload);
    log::flush();
    result.map_err(|error| {
        let failure = Failure::from(error);
        leave_in_time(failure.exit);
        failure
    })?;
    Ok(Exit::Done)
}

/// Why it ended is written to stderr next, which may be the very pipe that
/// nobody reads.
fn leave_in_time(exit: Exit) {
    let leave = move || {
        thread::sleep(log::LAST_LINES);
        end(exit)
    };
    // Without a thread the process waits for its reader.
    thread::Builder::new().spawn(leave).ok();
}

#[expect(clippy::exit, reason = "the main thread hangs in a write that nobody can interrupt")]
fn end(exit: Exit) -> ! {
    process::exit(i32::from(exit as u8))
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let message = leeward_core::model::chain(&error);
        match error {
            RunError::Store(error) => Self::from(error),
            RunError::Control(_) => Self::new(Exit::CannotCreate, message)
                .with_hint("name another socket with `--set control.socket=PATH`"),
            RunError::Http(_) => Self::new(Exit::CannotCreate, message).with_hint(
                "choose another address with `--set http.listen=…`, or switch it off with \"\"",
            ),
            RunError::Cluster(_) => Self::new(Exit::Configuration, message)
                .with_hint("`cluster.kubeconfig` names the file; `leeward check` tries it"),
            RunError::Boot(_) => Self::new(Exit::InputOutput, message),
            RunError::Runtime(_)
            | RunError::Signals(_)
            | RunError::TaskDied(_)
            | RunError::Hangs => Self::new(Exit::Unavailable, message),
        }
    }
}
