//! What can be told with the daemon down: from the store.

use jiff::Timestamp;
use leeward_core::{
    cycle::RevisionRecord,
    model::{StatusDocument, chain},
};

use super::exit::{Exit, Failure};
use crate::{
    config::Config,
    reconcile::stored::{self, StoredError},
    store::OpenStoreError,
};

/// What the store knew last; `agent.running` is false.
pub(super) fn status(config: &Config, now: Timestamp) -> Result<StatusDocument, Failure> {
    stored::status(config, now).map_err(Failure::from)
}

/// The history of one app, or of all, newest first.
pub(super) fn history(config: &Config, app: Option<&str>) -> Result<Vec<RevisionRecord>, Failure> {
    stored::history(config, app).map_err(Failure::from)
}

impl From<StoredError> for Failure {
    fn from(error: StoredError) -> Self {
        match error {
            StoredError::Open(error) => Self::from(error),
            StoredError::Read(error) => Self::new(Exit::InputOutput, chain(&error)),
        }
    }
}

impl From<OpenStoreError> for Failure {
    fn from(error: OpenStoreError) -> Self {
        let message = chain(&error);
        match error {
            OpenStoreError::Locked { .. } => Self::new(Exit::TryLater, message)
                .with_hint("only one agent, or one command without it, can use a store at a time"),
            OpenStoreError::Missing { .. } => Self::new(Exit::Unavailable, message)
                .with_hint("start the agent with `systemctl start leeward` or `leeward run`"),
            OpenStoreError::CreateFolder { .. } => Self::new(Exit::CannotCreate, message),
            OpenStoreError::Io { source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                Self::new(Exit::NoPermission, message)
                    .with_hint("the store is the agent's; try again as root")
            }
            OpenStoreError::Newer { .. } => Self::new(Exit::InputOutput, message).with_hint(
                "nothing in it was touched: install the version that wrote it, or a later one",
            ),
            OpenStoreError::Io { .. }
            | OpenStoreError::Unusable { .. }
            | OpenStoreError::Database { .. } => Self::new(Exit::InputOutput, message),
        }
    }
}
