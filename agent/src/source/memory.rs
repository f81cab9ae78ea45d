//! Objects in memory only: for looking at a repository without keeping it.

use std::{cell::RefCell, collections::BTreeMap, convert::Infallible};

use leeward_core::{
    git::{Object, ObjectType, Objects},
    model::GitId,
};

/// A store that lasts as long as a command.
#[derive(Debug, Default)]
pub struct MemoryObjects(RefCell<BTreeMap<GitId, (ObjectType, Vec<u8>)>>);

impl MemoryObjects {
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

impl Objects for MemoryObjects {
    type Error = Infallible;

    fn read(&self, id: GitId) -> Result<Option<(ObjectType, Vec<u8>)>, Infallible> {
        Ok(self.0.borrow().get(&id).cloned())
    }

    fn contains(&self, id: GitId) -> Result<bool, Infallible> {
        Ok(self.0.borrow().contains_key(&id))
    }

    fn write(&self, objects: &[Object]) -> Result<(), Infallible> {
        let entries = objects.iter().map(|object| (object.id, (object.kind, object.data.clone())));
        self.0.borrow_mut().extend(entries);
        Ok(())
    }
}
