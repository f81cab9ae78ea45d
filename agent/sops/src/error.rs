//! Faults of encrypted files, and hints to their cure.

use leeward_yaml::{Mark, YamlError};

use crate::{age::AgeError, value::ValueError};

/// Why a file could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct SopsError {
    pub file: String,
    pub problem: Problem,
}

/// A fault of an encrypted file. No text of it is ever secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error(
        "it is encrypted with SOPS for {recipients}, and no age key is given: \
         name the file with the key in `sops.age_key_files`, or with `--sops-age-key` to `render` or `diff`"
    )]
    NoIdentity { recipients: String },
    #[error(
        "it is encrypted with SOPS for {recipients}, and the keys given are those of {identities}: \
         encrypt it to one of these too (`sops updatekeys`), or give the key"
    )]
    OtherIdentity { recipients: String, identities: String },
    #[error(
        "{opened} of its {groups} key groups can be opened, {needed} have to: \
         it is encrypted with SOPS for {recipients}; give the keys that are missing"
    )]
    KeyGroups { opened: usize, groups: usize, needed: usize, recipients: String },
    #[error(
        "it is encrypted with SOPS for {services} only, which would have to be asked over the link: \
         encrypt it to an age key too (`sops rotate --add-age`)"
    )]
    OtherServices { services: String },
    #[error(
        "it is encrypted with SOPS for {recipient}, a post-quantum key, which cannot be used yet: \
         encrypt it to a key of `age-keygen` without `-pq` too"
    )]
    PostQuantum { recipient: String },
    #[error(
        "it is encrypted with SOPS for {recipient}, which is no key of `age-keygen`: \
         encrypt it to one too"
    )]
    OtherRecipient { recipient: String },
    #[error("the data key that SOPS encrypted for {recipient} cannot be used: {reason}")]
    DataKey { recipient: String, reason: AgeError },
    #[error("the data key of SOPS does not have 32 bytes: the file is damaged")]
    DataKeyLength,
    #[error("the parts of its data key do not fit together: the file is damaged")]
    KeyParts,
    #[error("its SOPS metadata cannot be used: {0}")]
    Metadata(String),
    #[error(
        "values in it are encrypted with SOPS, but what SOPS wrote of itself (`sops`) is not there: \
         take the file from where it was encrypted"
    )]
    NoMetadata,
    #[error("{mark}: the value of {path} cannot be decrypted: {reason}")]
    Value { mark: Mark, path: String, reason: ValueError },
    #[error("the MAC of SOPS cannot be decrypted ({0}): the file was changed without `sops`")]
    MacUnreadable(ValueError),
    #[error(
        "the MAC of SOPS does not fit: the file was changed without `sops`; \
         whoever owns it should look at the change, and encrypt the file anew"
    )]
    Mac,
    #[error("it is an INI file encrypted with SOPS: only YAML, JSON, dotenv and binary are opened")]
    Ini,
    #[error("it is encrypted with SOPS and cannot be read: {0}")]
    Yaml(YamlError),
    #[error("line {line} of the dotenv file has no `=`")]
    NotDotenv { line: usize },
    #[error("it is not UTF-8, which every file encrypted with SOPS is")]
    NotUtf8,
    #[error("it is encrypted with SOPS and has {bytes} bytes, at most {limit} are opened")]
    TooLarge { bytes: usize, limit: usize },
    #[error(
        "{mark}: it is not written as SOPS writes it ({what}): \
         decrypt and encrypt it once with `sops`"
    )]
    Unusual { mark: Mark, what: &'static str },
}

impl Problem {
    /// Returns whether a different key can help, with the file as it is.
    pub fn needs_key(&self) -> bool {
        matches!(
            self,
            Self::NoIdentity { .. } | Self::OtherIdentity { .. } | Self::KeyGroups { .. }
        )
    }
}

/// Characters of a recipient that are repeated: an X25519 one has 62, a post-quantum one 2,000.
const RECIPIENT_MAX: usize = 62;
/// Recipients that are named.
const NAMED_MAX: usize = 3;

/// `age1…, age1… and 2 more`.
pub(crate) fn listed<S: AsRef<str>>(recipients: impl IntoIterator<Item = S>) -> String {
    let all: Vec<String> = recipients.into_iter().map(|one| shortened(one.as_ref())).collect();
    let named = all.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match all.len() {
        0 => "nobody".to_owned(),
        count if count > NAMED_MAX => format!("{named} and {} more", count - NAMED_MAX),
        _ => named,
    }
}

pub(crate) fn shortened(recipient: &str) -> String {
    let mut text: String =
        recipient.chars().filter(|c| !c.is_control()).take(RECIPIENT_MAX).collect();
    if recipient.chars().nth(RECIPIENT_MAX).is_some() {
        text.push('…');
    }
    if text.is_empty() { "somebody who is not named".to_owned() } else { text }
}
