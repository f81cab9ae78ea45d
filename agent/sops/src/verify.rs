//! Values are decrypted and counted here, in the order of the file; at the end
//! the MAC says whether they are those that were encrypted.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha512};

use crate::{
    error::Problem,
    metadata::Metadata,
    value::{self, DataKey, Plain, ValueError},
};

/// The beginning of the bytes under the MAC when it covers encrypted values only, so that the
/// two kinds of MAC never agree. The number is SOPS' own.
pub(crate) const ONLY_ENCRYPTED: [u8; 32] = [
    0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0x0b,
    0x0b, 0x97, 0x5b, 0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
];

pub(crate) struct Verifier<'m> {
    metadata: &'m Metadata,
    key: &'m DataKey,
    hash: Sha512,
}

/// A value as it stands in the file.
pub(crate) enum Found<'t> {
    Text(&'t str),
    /// A number, boolean or time, in the bytes that the MAC counts.
    Other(Vec<u8>),
}

impl<'m> Verifier<'m> {
    pub(crate) fn new(metadata: &'m Metadata, key: &'m DataKey) -> Self {
        let mut hash = Sha512::new();
        if metadata.mac_only_encrypted {
            hash.update(ONLY_ENCRYPTED);
        }
        Self { metadata, key, hash }
    }

    /// Counts the value below these keys; what it was, if it is encrypted.
    pub(crate) fn value(
        &mut self,
        path: &[&str],
        found: &Found<'_>,
    ) -> Result<Option<Plain>, ValueError> {
        let looks_sealed = matches!(found, Found::Text(text) if text.starts_with(value::PREFIX));
        let is_encrypted = self.metadata.rules.encrypts(path, looks_sealed);
        match found {
            // Nothing is left as it is, encrypted or not.
            Found::Text("") => Ok(None),
            Found::Text(text) if is_encrypted => {
                let plain = value::open(text, self.key, &place(path))?;
                self.hash.update(&*plain.counted());
                Ok(Some(plain))
            }
            Found::Other(_) if is_encrypted => Err(ValueError::NotSealed),
            _ if self.metadata.mac_only_encrypted => Ok(None),
            Found::Text(text) => {
                self.hash.update(text);
                Ok(None)
            }
            Found::Other(bytes) => {
                self.hash.update(bytes);
                Ok(None)
            }
        }
    }

    /// Returns whether the values are those that the MAC was made of.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        let written = value::open(&self.metadata.mac, self.key, &self.metadata.last_modified);
        let Plain::Text(written) = written.map_err(Problem::MacUnreadable)? else {
            return Err(Problem::MacUnreadable(ValueError::WrongType));
        };
        let found = self.hash.finalize().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02X}");
            text
        });
        // Both sides are a digest that nobody could choose: time tells nothing.
        if written.as_slice() == found.as_bytes() { Ok(()) } else { Err(Problem::Mac) }
    }
}

/// Authenticated with a value, so that none can be moved to another key.
pub(crate) fn place(path: &[&str]) -> String {
    format!("{}:", path.join(":"))
}
