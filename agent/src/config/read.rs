//! The thin part: finds and reads the configuration file.

use std::{collections::BTreeMap, fs::File, io, io::Read as _};

use camino::{Utf8Path, Utf8PathBuf};

use super::{LoadConfigError, Loaded, ReadConfigError, Sources, load};

/// Where the file is when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/leeward/agent.toml";
/// A real file has a few KiB; this one is somebody's disk image. In bytes.
const MAX_FILE_SIZE: u64 = 1 << 20;

/// How the process was started, as far as the configuration is concerned.
/// Kept by the daemon, so that SIGHUP can read the file again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    /// `--config`.
    pub file: Option<Utf8PathBuf>,
    pub environment: BTreeMap<String, String>,
    /// `--set`, in order.
    pub flags: Vec<String>,
    /// stderr is connected to the systemd journal.
    pub journal: bool,
}

impl Invocation {
    /// Reads the file and hands everything over as data. That the default file
    /// is not there is no error: the environment may say it all.
    pub fn read(&self) -> Result<Sources, ReadConfigError> {
        let named = self.file.clone().or_else(|| {
            let path = self.environment.get("LEEWARD_CONFIG").filter(|path| !path.is_empty());
            path.map(Utf8PathBuf::from)
        });
        let path = named.clone().unwrap_or_else(|| DEFAULT_PATH.into());
        let text = match read_text(&path) {
            Ok(text) => Some(text),
            Err(ReadConfigError::NotFound { .. }) if named.is_none() => None,
            Err(error) => return Err(error),
        };
        Ok(Sources {
            path,
            text,
            environment: self.environment.clone(),
            flags: self.flags.clone(),
            journal: self.journal,
        })
    }

    /// Reads, merges and checks.
    pub fn load(&self) -> Result<Loaded, LoadConfigError> {
        Ok(load(&self.read()?)?)
    }
}

fn read_text(path: &Utf8Path) -> Result<String, ReadConfigError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ReadConfigError::NotFound { path: path.to_owned() },
        _ => ReadConfigError::Unreadable { path: path.to_owned(), source },
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_SIZE {
        return Err(ReadConfigError::TooLarge { path: path.to_owned(), limit: MAX_FILE_SIZE });
    }
    String::from_utf8(bytes).map_err(|_| ReadConfigError::NotText { path: path.to_owned() })
}
