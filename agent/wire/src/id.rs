//! Names of apps and of content.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The name of an app; a DNS label, since it becomes a label value.
pub type AppName = String;

/// The id of a Git object: 40 hex digits of SHA-1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GitId([u8; GitId::BYTES]);

/// A text that should name a Git object and does not.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an object id of 40 hex digits")]
pub struct ParseIdError(String);

impl GitId {
    /// Bytes of a SHA-1.
    pub const BYTES: usize = 20;
    /// Forty zeros: the id of nothing.
    pub const NULL: Self = Self([0; Self::BYTES]);

    pub const fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads the 20 raw bytes of an id, as trees and packs hold it.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for GitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for GitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for GitId {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = || ParseIdError(text.chars().take(64).collect());
        if text.len() != 2 * Self::BYTES {
            return Err(error());
        }
        let mut bytes = [0; Self::BYTES];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
                return Err(error());
            };
            *byte = u8::try_from(high << 4 | low).map_err(|_| error())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for GitId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GitId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The content of an app, whatever commit it is seen through.
///
/// Two commits in which an app has the same content differ in nothing that
/// concerns it. Lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentId(pub String);

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_in_lower_case_and_read_in_both() {
        let text = "0123456789ABCDEFabcdef0123456789abcdef01";
        let id: GitId = text.parse().unwrap();
        assert_eq!(id.to_string(), text.to_lowercase());
        assert_eq!(GitId::from_bytes(id.as_bytes()), Some(id));
        assert_eq!(serde_json::to_value(id).unwrap(), text.to_lowercase());
    }

    #[test]
    fn a_text_that_is_no_id_is_named_in_the_error() {
        for text in ["", "0123", &"g".repeat(40), &"0".repeat(41), &"é".repeat(20)] {
            let error = text.parse::<GitId>().unwrap_err().to_string();
            assert_eq!(error, format!("`{text}` is not an object id of 40 hex digits"));
        }
    }
}
