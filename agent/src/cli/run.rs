//! `leeward run`: the daemon.

use super::{
    Session,
    exit::{Exit, Failure},
    logging,
};
use crate::daemon::{self, RunError};

pub(super) fn run(session: &Session) -> Result<Exit, Failure> {
    let config = session.config()?;
    logging::start(&config.log).map_err(|error| {
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
    daemon::run(config, reload)?;
    Ok(Exit::Done)
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
            RunError::Runtime(_) | RunError::Signals(_) | RunError::TaskDied(_) => {
                Self::new(Exit::Unavailable, message)
            }
        }
    }
}
