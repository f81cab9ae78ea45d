//! The text around an age file: base64 of 64 columns between two lines.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::AgeError;

const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const END: &str = "-----END AGE ENCRYPTED FILE-----";
const COLUMNS: usize = 64;

/// Strict, as the format asks for: one text for each file, so that no byte of
/// it can be changed without notice. White space around the whole is allowed.
pub(super) fn decode(armored: &str) -> Result<Vec<u8>, AgeError> {
    let mut lines = armored.trim().lines();
    if lines.next() != Some(BEGIN) {
        return Err(AgeError::Armor("the first line is not that of age"));
    }
    let mut encoded = String::with_capacity(armored.len());
    let mut is_last = false;
    for line in lines.by_ref() {
        if line == END {
            if lines.next().is_some() {
                return Err(AgeError::Armor("text follows the last line"));
            }
            let bytes = STANDARD.decode(encoded);
            return bytes.map_err(|_| AgeError::Armor("it is not base64"));
        }
        if is_last || line.is_empty() || line.len() > COLUMNS {
            return Err(AgeError::Armor("its lines are not of 64 columns"));
        }
        is_last = line.len() < COLUMNS;
        encoded.push_str(line);
    }
    Err(AgeError::Armor("the last line is missing"))
}
