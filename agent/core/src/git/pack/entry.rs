//! The header of one entry of a pack: kind, size, and the base of a delta.

use super::{PackError, bases::Key};
use crate::{git::ObjectType, model::GitId};

/// Ten bytes hold 67 bits of size, and of distance.
const MAX_VARINT_BYTES: usize = 10;
pub(super) const ID_BYTES: usize = 20;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    Whole(ObjectType),
    Delta(Key),
}

pub(super) struct Header {
    pub(super) kind: EntryKind,
    /// Bytes of the inflated content, or of the delta.
    pub(super) size: u64,
}

/// `None` when more bytes are needed.
pub(super) fn parse_entry<E: std::error::Error>(
    bytes: &[u8],
    offset: u64,
) -> Result<Option<(Header, usize)>, PackError<E>> {
    let Some(first) = bytes.first().copied() else { return Ok(None) };
    let mut size = u64::from(first & 0x0f);
    let mut used = 1;
    let mut more = first & 0x80 != 0;
    while more {
        if used == MAX_VARINT_BYTES {
            return Err(PackError::Header { offset });
        }
        let Some(byte) = bytes.get(used).copied() else { return Ok(None) };
        let shift = 4 + 7 * (used - 1);
        let part = u64::from(byte & 0x7f);
        // Ten bytes could say more than 64 bits do.
        if shift > 56 && part >> (64 - shift) != 0 {
            return Err(PackError::Header { offset });
        }
        size |= part << shift;
        more = byte & 0x80 != 0;
        used += 1;
    }
    let whole = |kind| Ok(Some((Header { kind: EntryKind::Whole(kind), size }, used)));
    match (first >> 4) & 7 {
        1 => whole(ObjectType::Commit),
        2 => whole(ObjectType::Tree),
        3 => whole(ObjectType::Blob),
        4 => whole(ObjectType::Tag),
        6 => Ok(base_distance(&bytes[used..], offset)?.map(|(distance, length)| {
            let base = Key::Offset(offset.saturating_sub(distance));
            (Header { kind: EntryKind::Delta(base), size }, used + length)
        })),
        7 => Ok(bytes
            .get(used..used + ID_BYTES)
            .and_then(GitId::from_bytes)
            .map(|id| (Header { kind: EntryKind::Delta(Key::Id(id)), size }, used + ID_BYTES))),
        kind => Err(PackError::Kind { offset, kind }),
    }
}

/// How far before this entry its base starts; each further byte counts from one higher.
fn base_distance<E: std::error::Error>(
    bytes: &[u8],
    offset: u64,
) -> Result<Option<(u64, usize)>, PackError<E>> {
    let mut distance = 0_u64;
    for (index, byte) in bytes.iter().take(MAX_VARINT_BYTES).enumerate() {
        let carry = if index == 0 { 0 } else { distance + 1 };
        if carry > u64::MAX >> 8 {
            break;
        }
        distance = (carry << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return if distance == 0 || distance > offset {
                Err(PackError::BaseOffset { offset })
            } else {
                Ok(Some((distance, index + 1)))
            };
        }
    }
    if bytes.len() < MAX_VARINT_BYTES { Ok(None) } else { Err(PackError::Header { offset }) }
}
