//! How the key of one file is got out of its metadata.

use zeroize::Zeroizing;

use crate::{
    age::{self, Identities, Opening},
    error::{Problem, listed, shortened},
    metadata::{Group, Metadata, Recipient},
    shamir,
    value::DataKey,
};

/// Gets the data key with the identities at hand.
pub(crate) fn unwrap(metadata: &Metadata, identities: &Identities) -> Result<DataKey, Problem> {
    let mut parts = Vec::new();
    let mut obstacle = None;
    for group in &metadata.groups {
        match part(group, identities) {
            Ok(part) => parts.push(part),
            Err(problem) => {
                obstacle.get_or_insert(problem);
            }
        }
    }
    if let ([_], [part]) = (metadata.groups.as_slice(), parts.as_slice()) {
        return DataKey::new(part).ok_or(Problem::DataKeyLength);
    }
    let needed = metadata.threshold;
    if parts.len() >= needed.max(2) {
        let combined = shamir::combine(&parts).ok_or(Problem::KeyParts)?;
        return DataKey::new(&combined).ok_or(Problem::DataKeyLength);
    }
    match obstacle {
        // A damaged part, or nothing to try at all, says more than a count.
        Some(problem) if metadata.groups.len() == 1 || !problem.needs_key() => Err(problem),
        Some(problem) if identities.is_empty() => Err(problem),
        _ => Err(Problem::KeyGroups {
            opened: parts.len(),
            groups: metadata.groups.len(),
            needed,
            recipients: listed(all_recipients(metadata)),
        }),
    }
}

fn all_recipients(metadata: &Metadata) -> impl Iterator<Item = &str> {
    metadata.groups.iter().flat_map(|group| &group.age).map(|age| age.recipient.as_str())
}

/// The secret that one group of keys holds: the data key, or a share of it. Any key of the
/// group opens it.
fn part(group: &Group, identities: &Identities) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let (usable, others): (Vec<_>, Vec<_>) =
        group.age.iter().partition(|age| Kind::of(&age.recipient) == Kind::X25519);
    if usable.is_empty() {
        return Err(unusable(group, &others));
    }
    let named = || listed(usable.iter().map(|age| age.recipient.as_str()));
    if identities.is_empty() {
        return Err(Problem::NoIdentity { recipients: named() });
    }
    let mut damaged = None;
    for recipient in &usable {
        match age::open(&recipient.sealed, identities) {
            Ok(Opening::Opened(part)) => return Ok(part),
            Ok(Opening::NotForUs { stanzas }) => {
                if stanzas.iter().any(|kind| kind == "mlkem768x25519") {
                    let recipient = shortened(&recipient.recipient);
                    damaged.get_or_insert(Problem::PostQuantum { recipient });
                }
            }
            Err(reason) => {
                let recipient = shortened(&recipient.recipient);
                damaged.get_or_insert(Problem::DataKey { recipient, reason });
            }
        }
    }
    Err(damaged.unwrap_or_else(|| Problem::OtherIdentity {
        recipients: named(),
        identities: listed(identities.iter().map(age::Identity::recipient)),
    }))
}

/// Why a group without a key of ours is of no use.
fn unusable(group: &Group, others: &[&Recipient]) -> Problem {
    match others.first() {
        Some(age) if Kind::of(&age.recipient) == Kind::PostQuantum => {
            Problem::PostQuantum { recipient: shortened(&age.recipient) }
        }
        Some(age) => Problem::OtherRecipient { recipient: shortened(&age.recipient) },
        None => Problem::OtherServices { services: group.services.join(", ") },
    }
}

#[derive(PartialEq, Eq)]
enum Kind {
    X25519,
    PostQuantum,
    Other,
}

impl Kind {
    fn of(recipient: &str) -> Self {
        if recipient.starts_with("age1pq1") {
            Self::PostQuantum
        } else if recipient.starts_with("ssh-") || recipient.starts_with("age1tag") {
            Self::Other
        } else {
            // The name is not authenticated; the file itself says for whom it is.
            Self::X25519
        }
    }
}
