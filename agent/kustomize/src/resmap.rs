//! The objects of a build, in order.

use std::collections::HashSet;

use leeward_yaml::Node;

use crate::{
    budget::Budget,
    error::{Outcome, Problem},
    id::ResId,
    resource::{Behavior, Resource},
};

#[derive(Clone, Debug, Default)]
pub(crate) struct ResMap {
    pub(crate) list: Vec<Resource>,
}

impl ResMap {
    /// Adds objects; two may not have the same id.
    pub(crate) fn append_all(&mut self, others: Vec<Resource>, budget: &Budget) -> Outcome<()> {
        let mut known: HashSet<ResId> =
            self.list.iter().map(|resource| resource.id().canonical()).collect();
        for resource in others {
            let id = resource.id();
            if !known.insert(id.clone().canonical()) {
                return resource.locate(Err(Problem::Duplicate { id: id.to_string() }.into()));
            }
            self.list.push(resource);
            budget.objects(self.list.len())?;
        }
        Ok(())
    }

    /// Adds what a generator made: beside, instead of or into an object that
    /// is or was called the same.
    pub(crate) fn absorb(&mut self, mut new: Resource, budget: &Budget) -> Outcome<()> {
        let id = new.id();
        let problem = |message: String| -> Outcome<()> {
            Err(Problem::Generator { generator: id.to_string(), message }.into())
        };
        let matches = self.find_by_any_id(|other| other.same(&id));
        match (matches.as_slice(), new.behavior) {
            ([], behavior @ (Behavior::Merge | Behavior::Replace)) => problem(format!(
                "behavior is {}, but there is no such object to {0}",
                behavior.name()
            )),
            ([], _) => self.append_all(vec![new], budget),
            ([at], Behavior::Replace) => {
                new.take_identity(&self.list[*at]);
                self.list[*at] = new;
                Ok(())
            }
            ([at], Behavior::Merge) => {
                let old = &self.list[*at];
                new.take_identity(old);
                merge_data(&mut new, old);
                new.origin.clone_from(&old.origin);
                self.list[*at] = new;
                Ok(())
            }
            ([_], behavior) => problem(format!(
                "the object exists, and behavior is {}: it must be merge or replace",
                behavior.name()
            )),
            (several, _) => problem(format!("{} objects could accept it", several.len())),
        }
    }

    /// Indices of the objects that are, or were, called so.
    pub(crate) fn find_by_any_id(&self, fits: impl Fn(&ResId) -> bool) -> Vec<usize> {
        let found = self.list.iter().enumerate().filter(|(_, resource)| {
            resource.previous_ids().any(|id| fits(&id)) || fits(&resource.id())
        });
        found.map(|(at, _)| at).collect()
    }

    /// Objects without content were deleted by a patch.
    pub(crate) fn drop_blank(&mut self) {
        self.list.retain(|resource| !resource.node.is_blank());
    }
}

/// The entries of `data` and `binaryData` of both, the new ones winning.
fn merge_data(new: &mut Resource, old: &Resource) {
    for field in ["data", "binaryData"] {
        let entries = |resource: &Resource| -> Vec<(String, String)> {
            let node = resource.node.get(field);
            let entries = node.map(Node::entries).unwrap_or_default();
            let text = |value: &Node| {
                if value.is_nothing() { String::new() } else { value.raw().to_owned() }
            };
            entries.iter().map(|entry| (entry.key.clone(), text(&entry.value))).collect()
        };
        let (theirs, own) = (entries(old), entries(new));
        new.node.remove(field);
        if theirs.is_empty() && own.is_empty() {
            continue;
        }
        let mut data = Node::mapping();
        for (key, value) in theirs.into_iter().chain(own) {
            data.put(&key, Node::text_of(value));
        }
        new.node.put(field, data);
    }
}
