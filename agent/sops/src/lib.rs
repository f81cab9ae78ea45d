//! Files encrypted with SOPS for age keys, opened.
//!
//! [`open`] takes the bytes of a file and gives back those that `sops decrypt`
//! would, or says that the file is none of SOPS. It hands out nothing that the
//! MAC of the file does not vouch for. It is pure: keys come in as
//! [`Identities`], and nothing is read, started or asked.
//!
//! From the outside in: `format` tells the four formats apart, `metadata` reads
//! what SOPS wrote of itself, `data_key` gets the key of the file with `age` and
//! `shamir`, `verify` opens and counts each value, `tree`, `splice` and `dotenv`
//! put them where they belong.
//!
//! Keys, and plaintext while it is here, lie in memory that is wiped. The caller
//! gets such memory too; what is rendered from it is the caller's.

mod age;
mod data_key;
mod dotenv;
mod error;
mod format;
mod metadata;
mod rule;
mod shamir;
mod splice;
mod tree;
mod value;
mod verify;

use zeroize::Zeroizing;

pub use age::{AgeError, Identities, Identity, IdentityError};
pub use error::{Problem, SopsError};
pub use format::Format;
pub use value::ValueError;

/// A file, opened if it was encrypted.
#[derive(Debug)]
pub enum Opened {
    /// None of SOPS: its bytes are what they are.
    Plain,
    /// The bytes before it was encrypted. Values are on the lines that they were on.
    Decrypted(Zeroizing<Vec<u8>>),
}

/// Opens a file, if SOPS encrypted it. `path` tells its format, and is named in errors.
pub fn open(path: &str, content: &[u8], identities: &Identities) -> Result<Opened, SopsError> {
    let opened = match format::recognised(path, content) {
        Ok(None) => return Ok(Opened::Plain),
        Ok(Some(Format::Yaml | Format::Json)) => tree::open(content, identities),
        Ok(Some(Format::Binary)) => tree::open_binary(content, identities),
        Ok(Some(Format::Dotenv)) => dotenv::open(content, identities),
        Err(problem) => Err(problem),
    };
    opened.map(Opened::Decrypted).map_err(|problem| SopsError { file: path.to_owned(), problem })
}

/// Returns whether SOPS encrypted a file, or the file says so. Nothing else of it is looked at.
pub fn is_encrypted(path: &str, content: &[u8]) -> bool {
    !matches!(format::recognised(path, content), Ok(None))
}

#[cfg(test)]
#[expect(clippy::format_push_string, clippy::format_collect, reason = "a test reads better so")]
mod seal;
#[cfg(test)]
#[expect(clippy::format_push_string, clippy::format_collect, reason = "a test reads better so")]
mod tests;
