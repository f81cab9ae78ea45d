//! Objects by id in memory, as a store has them: for the tests of this crate.

use std::{cell::RefCell, collections::BTreeMap, convert::Infallible};

use super::{Object, ObjectType, Objects, hash_object};
use crate::model::GitId;

#[derive(Default)]
pub(crate) struct Memory(RefCell<BTreeMap<GitId, (ObjectType, Vec<u8>)>>);

impl Objects for Memory {
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

impl Memory {
    pub(crate) fn add(&self, kind: ObjectType, data: &[u8]) -> Object {
        let object = Object { id: hash_object(kind, data).unwrap(), kind, data: data.to_vec() };
        self.write(std::slice::from_ref(&object)).unwrap();
        object
    }

    /// Adds a tree of entries, each with its mode, name and object.
    pub(crate) fn tree<N: AsRef<[u8]>>(&self, entries: &[(&str, N, GitId)]) -> Object {
        let entry = |(mode, name, id): &(&str, N, GitId)| {
            [mode.as_bytes(), b" ", name.as_ref(), &[0], id.as_bytes()].concat()
        };
        let data: Vec<u8> = entries.iter().flat_map(entry).collect();
        self.add(ObjectType::Tree, &data)
    }

    pub(crate) fn remove(&self, id: GitId) {
        self.0.borrow_mut().remove(&id);
    }
}
