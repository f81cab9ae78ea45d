//! The age keys that encrypted files are opened with, read from their files at
//! every use so that rotation works.

use std::{fs::File, io, io::Read as _, os::unix::fs::PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use leeward_core::render::{Identities, IdentityError};
use zeroize::Zeroizing;

/// Bytes of one file, and one more to see that it has more: keys have 74 each.
const MAX_FILE_BYTES: u64 = (64 << 10) + 1;
/// Read, written or executed by everybody.
const OTHERS: u32 = 0o007;

/// Why a key file cannot be used. Whoever can change that need not change Git.
#[derive(Debug, thiserror::Error)]
pub enum AgeKeysError {
    #[error("the age key file {path} cannot be read: {source}")]
    Unreadable { path: Utf8PathBuf, source: io::Error },
    #[error("the age key file {path} is open to every user (mode {mode:04o}): `chmod 0600 {path}`")]
    Exposed { path: Utf8PathBuf, mode: u32 },
    #[error("the age key file {path} cannot be used: {reason}")]
    Unusable { path: Utf8PathBuf, reason: IdentityError },
}

/// All keys of all files.
pub fn read(files: &[Utf8PathBuf]) -> Result<Identities, AgeKeysError> {
    let mut identities = Identities::default();
    for path in files {
        let content = content(path)?;
        let added = identities.add(&content);
        added.map_err(|reason| AgeKeysError::Unusable { path: path.clone(), reason })?;
    }
    Ok(identities)
}

fn content(path: &Utf8Path) -> Result<Zeroizing<Vec<u8>>, AgeKeysError> {
    let failed = |source| AgeKeysError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(AgeKeysError::Exposed { path: path.to_owned(), mode });
    }
    // Whole at once: a buffer that grew would leave copies behind.
    let mut content =
        Zeroizing::new(Vec::with_capacity(usize::try_from(MAX_FILE_BYTES).unwrap_or(0)));
    file.take(MAX_FILE_BYTES).read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const KEY: &[u8] = include_bytes!("../sops/src/vectors/keys.txt");

    fn read_with_mode(content: &[u8], mode: u32) -> Result<usize, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().join("age.key")).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let read = read(std::slice::from_ref(&path));
        read.map(|keys| keys.iter().count())
            .map_err(|error| error.to_string().replace(folder.path().to_str().unwrap(), "/etc"))
    }

    #[test]
    fn a_key_file_is_for_its_owner_and_group() {
        assert_eq!([0o600, 0o440].map(|mode| read_with_mode(KEY, mode)), [Ok(1), Ok(1)]);
        assert_eq!(
            read_with_mode(KEY, 0o644).unwrap_err(),
            "the age key file /etc/age.key is open to every user (mode 0644): `chmod 0600 /etc/age.key`"
        );
    }

    #[test]
    fn what_is_no_key_file_is_named() {
        assert_eq!(
            read_with_mode(b"secret\n", 0o600).unwrap_err(),
            "the age key file /etc/age.key cannot be used: line 1 is not an age key: it should begin with AGE-SECRET-KEY-1"
        );
        let missing = read(&["/no/such/key".into()]).unwrap_err().to_string();
        assert!(missing.starts_with("the age key file /no/such/key cannot be read"), "{missing}");
    }
}
