//! Opens files that age v1 encrypted to an X25519 recipient.
//!
//! SOPS keeps its data key in such a file: 32 bytes, or a share of them. So a
//! whole file is one chunk here, and nothing is streamed. The format is that of
//! <https://age-encryption.org/v1>; the primitives are RustCrypto's.

mod armor;
mod header;
mod identity;

use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, aead::Aead as _};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

pub use identity::{Identities, Identity, IdentityError};

use header::{Header, Stanza};

/// Bytes of an armored file. With 20 recipients it has 3 KB, with post-quantum ones 40 KB.
const ARMORED_MAX: usize = 64 << 10;
/// Bytes of what is inside: a data key has 32, a share of one has 33.
const PLAINTEXT_MAX: usize = 1 << 10;

const FILE_KEY_BYTES: usize = 16;
const NONCE_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
/// The first chunk, which is also the last.
const ONLY_CHUNK: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// Why an age file cannot be read by anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgeError {
    #[error("the armor around it is damaged: {0}")]
    Armor(&'static str),
    #[error("its header is damaged: {0}")]
    Header(&'static str),
    #[error("its header was changed after it was written")]
    HeaderMac,
    #[error("what it holds was changed after it was written")]
    Payload,
    #[error("it is larger than any that holds a data key")]
    TooLarge,
}

/// The outcome of opening an age file with the identities at hand.
#[derive(Debug)]
pub(crate) enum Opening {
    Opened(Zeroizing<Vec<u8>>),
    /// None of its stanzas is for any of them; of which types they are.
    NotForUs {
        stanzas: Vec<String>,
    },
}

/// Opens an armored file with the first identity that fits.
pub(crate) fn open(armored: &str, identities: &Identities) -> Result<Opening, AgeError> {
    if armored.len() > ARMORED_MAX {
        return Err(AgeError::TooLarge);
    }
    let bytes = armor::decode(armored)?;
    let header = header::parse(&bytes)?;
    for identity in identities.iter() {
        for stanza in &header.stanzas {
            if let Some(file_key) = unwrap(stanza, identity)? {
                verify(&header, &file_key)?;
                return payload(header.payload, &file_key).map(Opening::Opened);
            }
        }
    }
    let stanzas = header.stanzas.iter().map(|stanza| stanza.kind.to_owned()).collect();
    Ok(Opening::NotForUs { stanzas })
}

type FileKey = Zeroizing<[u8; FILE_KEY_BYTES]>;

/// The file key, if the stanza is for this identity.
fn unwrap(stanza: &Stanza<'_>, identity: &Identity) -> Result<Option<FileKey>, AgeError> {
    if stanza.kind != "X25519" {
        return Ok(None);
    }
    let [share] = stanza.arguments.as_slice() else {
        return Err(AgeError::Header("an X25519 stanza has one argument"));
    };
    let share: [u8; 32] = header::decode(share)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(AgeError::Header("the share of an X25519 stanza has 32 bytes"))?;
    // Checked before anything is decrypted, against attacks with many keys in one.
    if stanza.body.len() != FILE_KEY_BYTES + TAG_BYTES {
        return Err(AgeError::Header("the body of an X25519 stanza has 32 bytes"));
    }
    let shared = identity.agree(share).ok_or(AgeError::Header("the share is of low order"))?;
    let salt = [share, identity.public()].concat();
    let key = derive(shared.as_slice(), &salt, b"age-encryption.org/v1/X25519");
    let cipher = ChaCha20Poly1305::new((&*key).into());
    let Ok(opened) = cipher.decrypt(&[0; 12].into(), stanza.body.as_slice()) else {
        return Ok(None);
    };
    let opened = Zeroizing::new(opened);
    let mut file_key = Zeroizing::new([0; FILE_KEY_BYTES]);
    file_key.copy_from_slice(&opened);
    Ok(Some(file_key))
}

fn verify(header: &Header<'_>, file_key: &FileKey) -> Result<(), AgeError> {
    let key = derive(file_key.as_slice(), &[], b"header");
    let mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key.as_slice());
    let mac = mac.map_err(|_| AgeError::HeaderMac)?.chain_update(header.authenticated);
    mac.verify_slice(&header.mac).map_err(|_| AgeError::HeaderMac)
}

fn payload(payload: &[u8], file_key: &FileKey) -> Result<Zeroizing<Vec<u8>>, AgeError> {
    if payload.len() > NONCE_BYTES + PLAINTEXT_MAX + TAG_BYTES {
        return Err(AgeError::TooLarge);
    }
    let (nonce, chunk) = payload.split_at_checked(NONCE_BYTES).ok_or(AgeError::Payload)?;
    let key = derive(file_key.as_slice(), nonce, b"payload");
    let cipher = ChaCha20Poly1305::new((&*key).into());
    let opened = cipher.decrypt(&ONLY_CHUNK.into(), chunk);
    opened.map(Zeroizing::new).map_err(|_| AgeError::Payload)
}

/// HKDF-SHA-256.
fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    let expanded = Hkdf::<Sha256>::new(Some(salt), secret).expand(info, key.as_mut_slice());
    expanded.expect("32 bytes are within what SHA-256 expands to");
    key
}
