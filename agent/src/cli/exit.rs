//! How the program ends: exit codes after sysexits(3), and what is said then.

use std::io;

use camino::Utf8Path;

use crate::config::{LoadConfigError, ReadConfigError};

/// The exit codes (docs/reference/cli.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    Different = 1,
    Usage = 64,
    BadInput = 65,
    NoInput = 66,
    Unavailable = 69,
    CannotCreate = 73,
    InputOutput = 74,
    TryLater = 75,
    NoPermission = 77,
    Configuration = 78,
}

impl Exit {
    /// For the reference page and the manual.
    pub const ALL: [(Self, &'static str); 11] = [
        (Self::Done, "done; for `diff`: no difference; for `check`: every step passed"),
        (
            Self::Different,
            "`diff`: differences; `check`: a step failed; `status --exit-code` and `sync --wait`: not all apps good and healthy; `sync --wait`: an app is rolled back by hand",
        ),
        (Self::Usage, "wrong usage"),
        (Self::BadInput, "bad input file"),
        (Self::NoInput, "no such file"),
        (
            Self::Unavailable,
            "what it needs is not there (daemon, API server, remote; for `rollback`: a good revision)",
        ),
        (Self::CannotCreate, "cannot create"),
        (Self::InputOutput, "I/O error"),
        (Self::TryLater, "try again later (store locked, waited too long)"),
        (Self::NoPermission, "no permission"),
        (Self::Configuration, "bad configuration"),
    ];
}

/// Why a verb did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    /// One `error:` line each; none for an end that nobody needs to hear of.
    pub(super) messages: Vec<String>,
    pub(super) hint: Option<String>,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, messages: vec![message.into()], hint: None }
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Something that could not be done with a file.
    pub(super) fn of_file(doing: &str, path: &Utf8Path, error: &io::Error) -> Self {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::NoInput,
            io::ErrorKind::PermissionDenied => Exit::NoPermission,
            _ => Exit::InputOutput,
        };
        Self::new(exit, format!("cannot {doing} {path}: {error}"))
    }
}

/// Of writing to stdout.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            // The reader has seen enough: `leeward status | head -1`.
            return Self { exit: Exit::Done, messages: Vec::new(), hint: None };
        }
        Self::new(Exit::InputOutput, format!("cannot write the answer: {error}"))
    }
}

impl From<LoadConfigError> for Failure {
    fn from(error: LoadConfigError) -> Self {
        match error {
            LoadConfigError::Invalid(error) => Self {
                exit: Exit::Configuration,
                messages: error.problems.iter().map(ToString::to_string).collect(),
                hint: Some(
                    "docs/reference/configuration.md lists every key; `leeward check --offline` tries them"
                        .to_owned(),
                ),
            },
            LoadConfigError::Read(error) => Self::from(error),
        }
    }
}

impl From<ReadConfigError> for Failure {
    fn from(error: ReadConfigError) -> Self {
        match &error {
            ReadConfigError::NotFound { .. } => Self::new(Exit::NoInput, error.to_string())
                .with_hint("name another with `--config FILE` or $LEEWARD_CONFIG"),
            ReadConfigError::Unreadable { path, source } => {
                Self::of_file("read configuration file", path, source)
            }
            ReadConfigError::TooLarge { .. } | ReadConfigError::NotText { .. } => {
                Self::new(Exit::Configuration, error.to_string())
            }
        }
    }
}
