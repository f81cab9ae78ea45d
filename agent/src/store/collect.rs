//! Throws away Git objects that nothing kept refers to.

use std::{
    collections::HashSet,
    sync::{PoisonError, atomic::Ordering},
};

use leeward_core::{
    git::{Objects as _, referred_to},
    model::GitId,
};
use redb::ReadableTable as _;

use super::{
    Store, StoreError,
    error::Fault,
    objects::{footprint, object_bytes_in, object_id},
    schema::{self, ObjectId, encode, key},
};

/// Objects that one transaction looks at: some milliseconds of work.
const STEP: usize = 2000;
/// New objects after which a collection is worth its reads.
const FRESH_MAX: u64 = 2000;
/// The file is rewritten when this much of it, in bytes, was thrown away at once …
const COMPACT_MIN: u64 = 8 * 1024 * 1024;

/// What a collection did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    pub kept: u64,
    pub removed: u64,
    /// Of the objects that were removed.
    pub removed_bytes: u64,
    /// The file was made smaller as well.
    pub compacted: bool,
}

impl Store {
    /// Whether Git objects were refused for want of room: what was kept of a
    /// fetch that will never fit must not be in the way of one that would.
    pub fn wants_room(&self) -> bool {
        self.wants_room.load(Ordering::Relaxed)
    }

    /// Whether Git objects were refused because they would exceed the budget: then
    /// room can be made, as it cannot on a disk that is full.
    pub fn is_over_budget(&self) -> bool {
        self.over_budget.load(Ordering::Relaxed)
    }

    /// Whether so much was fetched that [`Store::collect`] is worth it.
    pub fn collection_is_due(&self) -> Result<bool, StoreError> {
        if self.wants_room() || self.fresh_objects.load(Ordering::Relaxed) > FRESH_MAX {
            return Ok(true);
        }
        let bytes = self.object_bytes()?;
        Ok(bytes > self.object_budget() / 4 * 3)
    }

    /// Removes every Git object that `roots` (commits and trees to keep) do
    /// not reach, except for those in `alone`. Parents of commits are not followed, and what is missing is
    /// passed over. Not to be called while a fetch is under way: what arrived
    /// of it hangs together with nothing yet, unless its commit is a root.
    pub fn collect(&self, roots: &[GitId], alone: &[GitId]) -> Result<Collected, StoreError> {
        let mut keep = self.reachable(roots)?;
        keep.extend(alone.iter().copied().map(object_id));
        let mut collected = Collected { kept: 0, ..Collected::default() };
        let mut from: Option<ObjectId> = Some([0; 20]);
        while let Some(start) = from {
            let step = self.sweep(start, &keep)?;
            collected.kept += step.kept;
            collected.removed += step.removed;
            collected.removed_bytes += step.bytes;
            from = step.next;
        }
        self.fresh_objects.store(0, Ordering::Relaxed);
        self.wants_room.store(false, Ordering::Relaxed);
        self.over_budget.store(false, Ordering::Relaxed);
        collected.compacted = self.compact_after(collected.removed_bytes)?;
        Ok(collected)
    }

    /// Bytes that Git objects take.
    pub fn object_bytes(&self) -> Result<u64, StoreError> {
        self.view(|transaction| object_bytes_in(&transaction.open_table(schema::META)?))
    }

    fn reachable(&self, roots: &[GitId]) -> Result<HashSet<ObjectId>, StoreError> {
        let mut keep: HashSet<ObjectId> = HashSet::new();
        // Blobs have no children, so they are never read.
        let mut open: Vec<GitId> = roots.to_vec();
        keep.extend(roots.iter().copied().map(object_id));
        while let Some(id) = open.pop() {
            let Some((kind, data)) = self.read(id)? else { continue };
            for (child, is_blob) in referred_to(kind, &data) {
                if keep.insert(object_id(child)) && !is_blob {
                    open.push(child);
                }
            }
        }
        Ok(keep)
    }

    fn sweep(&self, start: ObjectId, keep: &HashSet<ObjectId>) -> Result<Step, StoreError> {
        let look = |transaction: &redb::WriteTransaction| -> Result<Step, Fault> {
            let mut objects = transaction.open_table(schema::OBJECTS)?;
            let mut step = Step::default();
            let mut doomed = Vec::new();
            for (seen, item) in objects.range::<&ObjectId>(&start..)?.enumerate() {
                let (id, record) = item?;
                if seen == STEP {
                    step.next = Some(*id.value());
                    break;
                }
                if keep.contains(id.value()) {
                    step.kept += 1;
                } else {
                    step.bytes += footprint(record.value().len());
                    doomed.push(*id.value());
                }
            }
            for id in &doomed {
                objects.remove(id)?;
            }
            step.removed = doomed.len() as u64;
            if step.removed > 0 {
                let mut meta = transaction.open_table(schema::META)?;
                let bytes = object_bytes_in(&meta)?.saturating_sub(step.bytes);
                meta.insert(key::OBJECT_BYTES, encode(&bytes).as_slice())?;
            }
            Ok(step)
        };
        // A step that removes nothing must not write either.
        let step = std::cell::Cell::new(Step::default());
        self.update(|transaction| {
            let found = look(transaction)?;
            step.set(found);
            Ok((found.removed > 0).then_some(()))
        })?;
        Ok(step.get())
    }

    /// Makes the file smaller when most of it was thrown away; works within the
    /// file, so that it needs no room.
    fn compact_after(&self, removed: u64) -> Result<bool, StoreError> {
        if removed < COMPACT_MIN || removed < self.size().bytes / 2 {
            return Ok(false);
        }
        self.compact().map_err(|fault| self.failed(fault))
    }

    fn compact(&self) -> Result<bool, Fault> {
        let mut guard = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = guard.as_mut() else { return Ok(false) };
        let result = database.compact().map_err(Fault::from);
        if matches!(&result, Err(fault) if fault.closes_database()) {
            drop(guard.take());
        }
        result
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Step {
    kept: u64,
    removed: u64,
    bytes: u64,
    /// Where the next step starts.
    next: Option<ObjectId>,
}
