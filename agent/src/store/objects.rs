//! Git objects: compressed, and hashed again whenever they are read.

use std::{io, sync::atomic::Ordering};

use leeward_core::{
    git::{Object, ObjectType, Objects, git_id},
    model::GitId,
};
use redb::ReadableTable;

use super::{
    Store, StoreError,
    error::Fault,
    schema::{self, ObjectId, decode, encode, key},
};

/// Largest object, in bytes. The fetch has a lower limit; this one bounds what a
/// rotten record can make us allocate.
pub const MAX_OBJECT_SIZE: usize = 64 * 1024 * 1024;
/// Compression level of zstd. Above it, an object takes longer and hardly less room.
const LEVEL: i32 = 3;
/// Set in the kind byte of an object that zstd would not make smaller.
const PLAIN: u8 = 0x10;

impl Objects for Store {
    type Error = StoreError;

    fn read(&self, id: GitId) -> Result<Option<(ObjectType, Vec<u8>)>, StoreError> {
        let key = object_id(id);
        let object = self.view(|transaction| {
            let objects = transaction.open_table(schema::OBJECTS)?;
            Ok(objects.get(&key)?.map(|record| unpack(id, record.value())))
        })?;
        Ok(object.and_then(|unpacked| {
            unpacked
                .inspect_err(|reason| {
                    tracing::warn!(%id, %reason, "A Git object rotted in the store; it will be fetched again.");
                })
                .ok()
        }))
    }

    fn contains(&self, id: GitId) -> Result<bool, StoreError> {
        let key = object_id(id);
        self.view(|transaction| Ok(transaction.open_table(schema::OBJECTS)?.get(&key)?.is_some()))
    }

    fn write(&self, objects: &[Object]) -> Result<(), StoreError> {
        let written = self.write_all(objects);
        if matches!(&written, Err(StoreError::Full { .. })) {
            self.wants_room.store(true, Ordering::Relaxed);
        }
        self.fresh_objects.fetch_add(written?, Ordering::Relaxed);
        Ok(())
    }
}

impl Store {
    /// Returns how many of the objects were new.
    fn write_all(&self, objects: &[Object]) -> Result<u64, StoreError> {
        let packed = objects
            .iter()
            .map(|object| Ok((object_id(object.id), pack(object)?)))
            .collect::<Result<Vec<_>, Fault>>()
            .map_err(|fault| self.failed(fault))?;
        if let Some(Err(error)) = self.folder.as_ref().map(super::Folder::take_ballast) {
            let reason = format!("no room to keep in reserve: {error}");
            return Err(StoreError::Full { store: self.name.clone(), reason });
        }
        let budget = self.object_budget();
        self.write_objects(&packed, budget)
    }

    /// Bytes that Git objects may take.
    pub fn object_budget(&self) -> u64 {
        self.max_size() - self.reserve()
    }

    fn write_objects(
        &self,
        packed: &[(ObjectId, Vec<u8>)],
        budget: u64,
    ) -> Result<u64, StoreError> {
        let result = self.attempt(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_quick_repair(true);
            let written = insert(&transaction, packed, budget)?;
            if written == 0 {
                transaction.abort()?;
            } else {
                transaction.commit()?;
            }
            Ok(written)
        });
        if matches!(&result, Err(Fault::Full(_))) {
            self.over_budget.store(true, Ordering::Relaxed);
        }
        // Not through `Store::update`: the ballast is not thrown off for objects.
        result.map_err(|fault| self.failed(fault))
    }
}

fn insert(
    transaction: &redb::WriteTransaction,
    packed: &[(ObjectId, Vec<u8>)],
    budget: u64,
) -> Result<u64, Fault> {
    let mut meta = transaction.open_table(schema::META)?;
    let mut bytes = object_bytes_in(&meta)?;
    let mut written = 0;
    let mut table = transaction.open_table(schema::OBJECTS)?;
    for (id, record) in packed {
        // An equal record is not written again, but one that rotted is replaced.
        let former = table
            .get(id)?
            .map(|old| (old.value() == record.as_slice(), footprint(old.value().len())));
        if matches!(former, Some((true, _))) {
            continue;
        }
        bytes = bytes.saturating_sub(former.map_or(0, |(_, size)| size)) + footprint(record.len());
        if bytes > budget {
            return Err(Fault::Full(format!("Git objects would take {bytes} of {budget} bytes")));
        }
        table.insert(id, record.as_slice())?;
        written += 1;
    }
    if written > 0 {
        meta.insert(key::OBJECT_BYTES, encode(&bytes).as_slice())?;
    }
    Ok(written)
}

pub(super) fn object_bytes_in(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<u64, Fault> {
    meta.get(key::OBJECT_BYTES)?
        .map_or(Ok(0), |record| decode("the size of all objects", record.value()))
}

/// Bytes that a record really takes: small ones share pages that are three
/// quarters full, a large one has a run of pages of a power of two.
pub(super) fn footprint(len: usize) -> u64 {
    const PAGE: u64 = 4096;
    /// Key, offsets and page header.
    const OVERHEAD: u64 = 64;
    let len = len as u64 + OVERHEAD;
    if len > PAGE { len.next_power_of_two() } else { len + len / 3 }
}

pub(super) fn object_id(id: GitId) -> ObjectId {
    id.as_bytes().try_into().expect("ids are SHA-1, 20 bytes")
}

fn kind_byte(kind: ObjectType) -> u8 {
    match kind {
        ObjectType::Commit => 1,
        ObjectType::Tree => 2,
        ObjectType::Blob => 3,
        ObjectType::Tag => 4,
    }
}

/// Kind byte, length as four bytes, and the content: as it is, or as zstd.
fn pack(object: &Object) -> Result<Vec<u8>, Fault> {
    let size = object.data.len();
    let Some(length) = u32::try_from(size).ok().filter(|_| size <= MAX_OBJECT_SIZE) else {
        return Err(Fault::ObjectTooLarge(size));
    };
    let small = zstd::bulk::compress(&object.data, LEVEL).map_err(redb::StorageError::Io)?;
    let (flag, content) = if small.len() < size { (0, &small) } else { (PLAIN, &object.data) };
    let mut record = Vec::with_capacity(content.len() + 5);
    record.push(kind_byte(object.kind) | flag);
    record.extend_from_slice(&length.to_le_bytes());
    record.extend_from_slice(content);
    Ok(record)
}

/// Reads a record and checks that it is the object that its key names.
pub(super) fn unpack(id: GitId, record: &[u8]) -> Result<(ObjectType, Vec<u8>), String> {
    let Some((&[kind, a, b, c, d], content)) = record.split_first_chunk() else {
        return Err("the record is too short".to_owned());
    };
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > MAX_OBJECT_SIZE {
        return Err(format!("the record claims {length} bytes"));
    }
    let (kind, git_kind) = match kind & !PLAIN {
        1 => (ObjectType::Commit, gix_object::Kind::Commit),
        2 => (ObjectType::Tree, gix_object::Kind::Tree),
        3 => (ObjectType::Blob, gix_object::Kind::Blob),
        4 => (ObjectType::Tag, gix_object::Kind::Tag),
        other => return Err(format!("the record has kind {other}")),
    };
    let data = if record[0] & PLAIN == 0 {
        zstd::bulk::decompress(content, length).map_err(|error: io::Error| error.to_string())?
    } else {
        content.to_vec()
    };
    let hash = gix_object::compute_hash(gix_hash::Kind::Sha1, git_kind, &data);
    match hash {
        Ok(hash) if git_id(&hash) == id => Ok((kind, data)),
        Ok(hash) => Err(format!("its content hashes to {hash}")),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn object(kind: ObjectType, git: gix_object::Kind, data: Vec<u8>) -> Object {
        let id = gix_object::compute_hash(gix_hash::Kind::Sha1, git, &data).unwrap();
        Object { id: git_id(&id), kind, data }
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked_again(data in proptest::collection::vec(any::<u8>(), 0..3000), times in 1_usize..40) {
            let object = object(ObjectType::Blob, gix_object::Kind::Blob, data.repeat(times));
            let record = pack(&object).unwrap();
            prop_assert!(record.len() <= object.data.len() + 5);
            prop_assert_eq!(unpack(object.id, &record), Ok((object.kind, object.data)));
        }

        #[test]
        fn a_record_that_rotted_never_passes(data in proptest::collection::vec(any::<u8>(), 1..600), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let object = object(ObjectType::Tree, gix_object::Kind::Tree, data);
            let mut record = pack(&object).unwrap();
            let at = at.index(record.len());
            record[at] ^= 1 << bit;
            // The length of a plain record is not looked at, so a flip in it changes nothing.
            if let Ok(read) = unpack(object.id, &record) {
                prop_assert_eq!(read, (object.kind, object.data));
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(record in proptest::collection::vec(any::<u8>(), 0..200)) {
            let id = object(ObjectType::Blob, gix_object::Kind::Blob, Vec::new()).id;
            prop_assert!(unpack(id, &record).is_err() || record.len() >= 5);
        }
    }
}
