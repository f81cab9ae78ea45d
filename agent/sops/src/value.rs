//! One encrypted value: `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`.

use std::fmt::Write as _;

use aes_gcm::{
    AesGcm, KeyInit as _, Nonce,
    aead::{
        Aead, Payload,
        array::ArraySize,
        consts::{U12, U16, U32},
    },
    aes::Aes256,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value as Json;
use zeroize::Zeroizing;

/// The beginning of every encrypted value.
pub(crate) const PREFIX: &str = "ENC[AES256_GCM,";
const TAG_BYTES: usize = 16;
const KEY_BYTES: usize = 32;

/// The key that all values of one file are encrypted with.
pub(crate) struct DataKey(Zeroizing<[u8; KEY_BYTES]>);

impl DataKey {
    /// `None` when it is none of AES-256.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if bytes.len() != KEY_BYTES {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(key))
    }
}

/// Why a value cannot be decrypted. Never repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("it is not encrypted, though the rules of the file say so")]
    NotSealed,
    #[error("it is not written as SOPS writes it")]
    Malformed,
    #[error("an initialisation vector of {0} bytes is not known")]
    Nonce(usize),
    #[error("it was changed, moved to another key, or encrypted with another data key")]
    Refused,
    #[error("its type is not known")]
    UnknownType,
    #[error("it does not fit its type")]
    WrongType,
    #[error("it is not UTF-8")]
    NotUtf8,
}

/// A value before it was encrypted.
#[derive(Clone, Debug)]
pub(crate) enum Plain {
    Text(Zeroizing<Vec<u8>>),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Time(Zeroizing<Vec<u8>>),
}

/// Decrypts a value. `place` is where it stands, which is authenticated with it.
pub(crate) fn open(text: &str, key: &DataKey, place: &str) -> Result<Plain, ValueError> {
    let (sealed, nonce, kind) = parse(text)?;
    let opened = match nonce.len() {
        32 => decrypt::<U32>(key, &nonce, &sealed, place),
        16 => decrypt::<U16>(key, &nonce, &sealed, place),
        12 => decrypt::<U12>(key, &nonce, &sealed, place),
        other => return Err(ValueError::Nonce(other)),
    };
    typed(kind, Zeroizing::new(opened.ok_or(ValueError::Refused)?))
}

/// Ciphertext with its tag, nonce and type.
fn parse(text: &str) -> Result<(Vec<u8>, Vec<u8>, &str), ValueError> {
    let inner = text.strip_prefix(PREFIX).ok_or(ValueError::NotSealed)?;
    let inner = inner.strip_suffix(']').ok_or(ValueError::Malformed)?;
    let fields: Vec<&str> = inner.split(',').collect();
    let [data, nonce, tag, kind] = fields.as_slice() else { return Err(ValueError::Malformed) };
    let field = |field: &str, name: &str| {
        let encoded = field.strip_prefix(name).filter(|encoded| !encoded.is_empty())?;
        STANDARD.decode(encoded).ok()
    };
    let mut sealed = field(data, "data:").ok_or(ValueError::Malformed)?;
    let nonce = field(nonce, "iv:").ok_or(ValueError::Malformed)?;
    let tag = field(tag, "tag:").filter(|tag| tag.len() == TAG_BYTES);
    sealed.extend(tag.ok_or(ValueError::Malformed)?);
    Ok((sealed, nonce, kind.strip_prefix("type:").ok_or(ValueError::Malformed)?))
}

fn decrypt<N: ArraySize>(
    key: &DataKey,
    nonce: &[u8],
    sealed: &[u8],
    place: &str,
) -> Option<Vec<u8>> {
    let cipher = AesGcm::<Aes256, N>::new((&*key.0).into());
    let nonce = Nonce::<N>::try_from(nonce).ok()?;
    cipher.decrypt(&nonce, Payload { msg: sealed, aad: place.as_bytes() }).ok()
}

fn typed(kind: &str, bytes: Zeroizing<Vec<u8>>) -> Result<Plain, ValueError> {
    let text = || str::from_utf8(&bytes).map_err(|_| ValueError::WrongType);
    Ok(match kind {
        "str" | "bytes" => Plain::Text(bytes),
        "int" => Plain::Integer(text()?.parse().map_err(|_| ValueError::WrongType)?),
        "float" => Plain::Float(float(text()?)?),
        "bool" => match text()? {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Plain::Bool(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Plain::Bool(false),
            _ => return Err(ValueError::WrongType),
        },
        "time" if is_time(text()?) => Plain::Time(bytes),
        "time" => return Err(ValueError::WrongType),
        _ => return Err(ValueError::UnknownType),
    })
}

fn float(text: &str) -> Result<f64, ValueError> {
    match text {
        "+Inf" => Ok(f64::INFINITY),
        text => text.parse().map_err(|_| ValueError::WrongType),
    }
}

/// Characters of RFC 3339 and nothing that YAML would see something else in.
fn is_time(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || b"-+:.TZ".contains(&byte))
}

impl Plain {
    /// Returns the bytes that go into the MAC.
    pub(crate) fn counted(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::Text(bytes) | Self::Time(bytes) => return bytes.clone(),
            Self::Integer(number) => number.to_string().into_bytes(),
            Self::Float(number) => float_text(*number).into_bytes(),
            Self::Bool(true) => b"True".to_vec(),
            Self::Bool(false) => b"False".to_vec(),
        })
    }

    /// The scalar as YAML and JSON read it.
    pub(crate) fn written(&self) -> Result<Zeroizing<String>, ValueError> {
        Ok(Zeroizing::new(match self {
            Self::Text(bytes) => {
                return str::from_utf8(bytes).map(quoted).map_err(|_| ValueError::NotUtf8);
            }
            Self::Time(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Integer(number) => number.to_string(),
            Self::Float(number) if number.is_nan() => ".nan".to_owned(),
            Self::Float(f64::INFINITY) => ".inf".to_owned(),
            Self::Float(f64::NEG_INFINITY) => "-.inf".to_owned(),
            Self::Float(number) => float_text(*number),
            Self::Bool(value) => value.to_string(),
        }))
    }

    /// The text that reading [`Plain::written`] gives.
    pub(crate) fn is_read_as(&self, text: &str) -> bool {
        match self {
            Self::Text(bytes) => text.as_bytes() == bytes.as_slice(),
            other => other.written().is_ok_and(|written| *written == text),
        }
    }
}

/// Writes a float like Go's `FormatFloat(…, 'f', -1, 64)`: never an exponent, digits that read
/// back the same.
pub(crate) fn float_text(number: f64) -> String {
    match number {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        number => format!("{number}"),
    }
}

/// In double quotes, on one line, with nothing in it that YAML would refuse or take for a break.
fn quoted(text: &str) -> Zeroizing<String> {
    let json = Zeroizing::new(Json::String(text.to_owned()).to_string());
    let is_printable = |character: char| {
        !matches!(
            character,
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
    };
    if json.chars().all(is_printable) {
        return json;
    }
    let mut escaped = Zeroizing::new(String::with_capacity(json.len() * 2));
    for character in json.chars() {
        if is_printable(character) {
            escaped.push(character);
        } else {
            let _ = write!(escaped, "\\u{:04x}", u32::from(character));
        }
    }
    escaped
}
