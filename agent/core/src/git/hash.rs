//! Object ids: SHA-1 with collision detection.

use crate::{git::ObjectType, model::GitId};

/// The content is made to collide: somebody tries to pass one object off as another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} of {size} bytes is a forged SHA-1 collision")]
pub struct Collision {
    pub kind: ObjectType,
    pub size: u64,
}

/// Computes the id of an object, or says that its content attacks SHA-1.
pub fn hash_object(kind: ObjectType, data: &[u8]) -> Result<GitId, Collision> {
    let mut hasher = ObjectHasher::new(kind, data.len() as u64);
    hasher.update(data);
    hasher.finish()
}

/// Computes an id from content that comes in pieces, when all of it is too large to be held.
pub(super) struct ObjectHasher {
    hasher: gix_hash::Hasher,
    kind: ObjectType,
    size: u64,
}

impl ObjectHasher {
    pub(super) fn new(kind: ObjectType, size: u64) -> Self {
        let mut hasher = gix_hash::hasher(gix_hash::Kind::Sha1);
        hasher.update(format!("{kind} {size}\0").as_bytes());
        Self { hasher, kind, size }
    }

    pub(super) fn update(&mut self, data: &[u8]) {
        self.hasher.update(data);
    }

    pub(super) fn finish(self) -> Result<GitId, Collision> {
        let Self { hasher, kind, size } = self;
        hasher.try_finalize().map(GitId).map_err(|_| Collision { kind, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_git() {
        let id = hash_object(ObjectType::Blob, b"hello\n").unwrap();
        assert_eq!(id.to_string(), "ce013625030ba8dba906f756967f9e9ca394464a");
    }

    #[test]
    fn the_empty_tree_has_its_well_known_id() {
        let id = hash_object(ObjectType::Tree, b"").unwrap();
        assert_eq!(id.to_string(), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
    }
}
