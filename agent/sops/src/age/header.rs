//! The header of an age file: who may open it, and the MAC over that.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

use super::AgeError;

const VERSION: &str = "age-encryption.org/v1";
/// Stanzas, one a recipient. SOPS writes a file for each.
const STANZAS_MAX: usize = 20;
const COLUMNS: usize = 64;

#[derive(Debug)]
pub(super) struct Header<'f> {
    pub(super) stanzas: Vec<Stanza<'f>>,
    /// The bytes that the MAC is over.
    pub(super) authenticated: &'f [u8],
    pub(super) mac: Vec<u8>,
    /// All that follows the header.
    pub(super) payload: &'f [u8],
}

#[derive(Debug)]
pub(super) struct Stanza<'f> {
    pub(super) kind: &'f str,
    pub(super) arguments: Vec<&'f str>,
    pub(super) body: Vec<u8>,
}

pub(super) fn parse(file: &[u8]) -> Result<Header<'_>, AgeError> {
    let mut lines = Lines { file, at: 0 };
    if lines.next()? != VERSION {
        return Err(AgeError::Header("its version is not v1"));
    }
    let mut stanzas = Vec::new();
    loop {
        let start = lines.at;
        let line = lines.next()?;
        if let Some(mac) = line.strip_prefix("--- ") {
            let mac = decode(mac).ok_or(AgeError::Header("the MAC is not base64"))?;
            let authenticated = &file[..start + "---".len()];
            return Ok(Header { stanzas, authenticated, mac, payload: &file[lines.at..] });
        }
        let mut words = line
            .strip_prefix("-> ")
            .ok_or(AgeError::Header("a line is neither a stanza nor the MAC"))?
            .split(' ');
        let kind = words.next().unwrap_or_default();
        let arguments: Vec<&str> = words.collect();
        if kind.is_empty() || arguments.iter().any(|argument| argument.is_empty()) {
            return Err(AgeError::Header("a stanza has an empty word"));
        }
        if stanzas.len() == STANZAS_MAX {
            return Err(AgeError::Header("it has more than 20 stanzas"));
        }
        let body = body(&mut lines)?;
        stanzas.push(Stanza { kind, arguments, body });
    }
}

/// Canonical base64 without padding.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD_NO_PAD.decode(text).ok()
}

/// Ends with the first line that is not full, which may be empty.
fn body(lines: &mut Lines<'_>) -> Result<Vec<u8>, AgeError> {
    let mut encoded = String::new();
    loop {
        let line = lines.next()?;
        if line.len() > COLUMNS {
            return Err(AgeError::Header("a line of a stanza is too long"));
        }
        encoded.push_str(line);
        if line.len() < COLUMNS {
            return decode(&encoded).ok_or(AgeError::Header("a stanza is not base64"));
        }
    }
}

struct Lines<'f> {
    file: &'f [u8],
    at: usize,
}

impl<'f> Lines<'f> {
    fn next(&mut self) -> Result<&'f str, AgeError> {
        let rest = &self.file[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = &rest[..end.ok_or(AgeError::Header("it ends too early"))?];
        let is_visible = |byte: &u8| (b' '..=b'~').contains(byte);
        self.at += line.len() + 1;
        str::from_utf8(line)
            .ok()
            .filter(|_| line.iter().all(is_visible))
            .ok_or(AgeError::Header("it is not text"))
    }
}
