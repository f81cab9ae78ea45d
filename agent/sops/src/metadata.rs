//! The part of a file in which SOPS writes about itself: recipients, rules, and the MAC.

use serde_json::{Map, Value};

use crate::{
    error::Problem,
    rule::{Rules, pattern},
};

/// Recipients of all groups; each costs a key exchange with each identity.
const RECIPIENTS_MAX: usize = 100;
/// Key groups; Shamir's places are a byte, and people use two or three.
const GROUPS_MAX: usize = 20;

#[derive(Debug)]
pub(crate) struct Metadata {
    /// Never empty.
    pub(crate) groups: Vec<Group>,
    /// How many of them it takes.
    pub(crate) threshold: usize,
    pub(crate) rules: Rules,
    pub(crate) mac: String,
    pub(crate) mac_only_encrypted: bool,
    /// The text as it is written, since the MAC is bound to it.
    pub(crate) last_modified: String,
}

/// Keys of which each holds the same part of the data key.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) age: Vec<Recipient>,
    /// Services beside age that hold it too.
    pub(crate) services: Vec<&'static str>,
}

#[derive(Debug)]
pub(crate) struct Recipient {
    /// The name that SOPS gives it; not authenticated.
    pub(crate) recipient: String,
    /// The part, as an armored age file.
    pub(crate) sealed: String,
}

const SERVICES: [(&str, &str); 6] = [
    ("kms", "AWS KMS"),
    ("gcp_kms", "GCP KMS"),
    ("azure_kv", "Azure Key Vault"),
    ("hc_vault", "HashiCorp Vault"),
    ("hckms", "Huawei Cloud KMS"),
    ("pgp", "PGP"),
];

impl Metadata {
    /// Reads the block. What a newer SOPS adds is not looked at: should it change
    /// what is encrypted, the MAC does not fit.
    pub(crate) fn read(block: &Value) -> Result<Self, Problem> {
        let block = block.as_object().ok_or_else(|| wrong("it is not a mapping"))?;
        let required = |key| text(block, key)?.ok_or_else(|| wrong(format!("{key} is missing")));
        let groups = match list(block, "key_groups")? {
            [] => vec![group(block)?],
            groups => groups
                .iter()
                .map(|group| group.as_object().ok_or_else(|| wrong("a key group is no mapping")))
                .map(|block| group(block?))
                .collect::<Result<_, _>>()?,
        };
        if groups.len() > GROUPS_MAX {
            return Err(wrong(format!("it has more than {GROUPS_MAX} key groups")));
        }
        if groups.iter().map(|group| group.age.len()).sum::<usize>() > RECIPIENTS_MAX {
            return Err(wrong(format!("it has more than {RECIPIENTS_MAX} age recipients")));
        }
        if groups.iter().all(|group| group.age.is_empty() && group.services.is_empty()) {
            return Err(wrong("it names nobody who can decrypt the file"));
        }
        let threshold = match text(block, "shamir_threshold")?.as_deref() {
            None | Some("0") => groups.len(),
            Some(number) => {
                let parsed = number.parse().ok().filter(|number| *number <= groups.len());
                parsed.ok_or_else(|| wrong("shamir_threshold is no number of its key groups"))?
            }
        };
        Ok(Self {
            threshold,
            groups,
            rules: rules(block)?,
            mac: required("mac")?,
            mac_only_encrypted: match text(block, "mac_only_encrypted")?.as_deref() {
                None | Some("false") => false,
                Some("true") => true,
                Some(_) => return Err(wrong("mac_only_encrypted is neither true nor false")),
            },
            last_modified: required("lastmodified")?,
        })
    }
}

fn group(block: &Map<String, Value>) -> Result<Group, Problem> {
    let mut group = Group::default();
    for (key, name) in SERVICES {
        if !list(block, key)?.is_empty() {
            group.services.push(name);
        }
    }
    for entry in list(block, "age")? {
        let entry = entry.as_object().ok_or_else(|| wrong("an age recipient is no mapping"))?;
        let sealed = text(entry, "enc")?.ok_or_else(|| wrong("an age recipient has no `enc`"))?;
        let recipient = text(entry, "recipient")?.unwrap_or_default();
        group.age.push(Recipient { recipient, sealed });
    }
    Ok(group)
}

fn rules(block: &Map<String, Value>) -> Result<Rules, Problem> {
    let regex = |key: &str| {
        let compile = |text: String| {
            pattern(&text).ok_or_else(|| wrong(format!("{key} is not a pattern that can be used")))
        };
        text(block, key)?.map(compile).transpose()
    };
    let by_comments = text(block, "unencrypted_comment_regex")?.is_some()
        || text(block, "encrypted_comment_regex")?.is_some();
    Ok(Rules {
        unencrypted_suffix: text(block, "unencrypted_suffix")?,
        encrypted_suffix: text(block, "encrypted_suffix")?,
        unencrypted_regex: regex("unencrypted_regex")?,
        encrypted_regex: regex("encrypted_regex")?,
        by_comments,
    })
}

/// A scalar as text, since dotenv has nothing else; empty is as good as absent.
fn text(block: &Map<String, Value>, key: &str) -> Result<Option<String>, Problem> {
    let text = match block.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(value)) => value.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return Err(wrong(format!("{key} is not a text"))),
    };
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn list<'b>(block: &'b Map<String, Value>, key: &str) -> Result<&'b [Value], Problem> {
    match block.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(wrong(format!("{key} is not a list"))),
    }
}

pub(crate) fn wrong(what: impl Into<String>) -> Problem {
    Problem::Metadata(what.into())
}
