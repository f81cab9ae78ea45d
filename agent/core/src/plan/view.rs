//! A place in a live object, together with who owns it: lets a manifest be
//! walked along the object that it became.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fields::{self, FieldSet};
use crate::model::FIELD_MANAGER;

/// The keys by which lists of the built-in kinds are merged, tried in order
/// when no managed field tells which ones a list has.
const KNOWN_KEYS: [&[&str]; 9] = [
    &["containerPort", "protocol"],
    &["port", "protocol"],
    &["topologyKey", "whenUnsatisfiable"],
    &["mountPath"],
    &["devicePath"],
    &["uid"],
    &["name"],
    &["type"],
    &["ip"],
];
/// The one key of a merged list that has a default.
pub(super) const DEFAULT_PROTOCOL: &str = "TCP";

/// What every manager owns in one live object.
pub(super) struct Ownership {
    ours: FieldSet,
    /// The newest first.
    others: Vec<(String, FieldSet)>,
}

impl Ownership {
    pub(super) fn of(live: &Value) -> Self {
        let mut others: Vec<fields::Entry<'_>> =
            fields::entries(live).filter(|entry| entry.manager != FIELD_MANAGER).collect();
        others.sort_by(|a, b| b.time.cmp(a.time));
        Self {
            ours: fields::owned(live, FIELD_MANAGER),
            others: others
                .iter()
                .map(|entry| (entry.manager.to_owned(), FieldSet::parse(entry.fields)))
                .collect(),
        }
    }

    pub(super) fn root<'a>(&'a self, live: &'a Value) -> View<'a> {
        View {
            live: Some(live),
            ours: Some(Held { set: &self.ours, whole: false }),
            others: self
                .others
                .iter()
                .map(|(manager, set)| (manager.as_str(), Held { set, whole: false }))
                .collect(),
        }
    }
}

/// A manager's hold on a place.
#[derive(Clone, Copy)]
struct Held<'a> {
    set: &'a FieldSet,
    /// Held because something above is held as a whole.
    whole: bool,
}

impl<'a> Held<'a> {
    fn below(self, find: impl Fn(&'a FieldSet) -> Option<&'a FieldSet>) -> Option<Self> {
        if self.set.is_leaf() {
            Some(Self { set: self.set, whole: true })
        } else {
            find(self.set).map(|set| Self { set, whole: false })
        }
    }
}

/// How the items of a list are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ListKind {
    Keyed(Vec<String>),
    /// Scalars, each owned by itself.
    Set,
    /// Owned and replaced as a whole.
    Atomic,
}

/// Whether we own a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ours {
    Yes,
    /// Something above it is listed as a leaf of ours: it is a part of an atomic
    /// value, or its last listed part was taken from us. FieldsV1 spells both alike.
    Perhaps,
    No,
}

/// A place in a live object. The place need not exist.
pub(super) struct View<'a> {
    pub(super) live: Option<&'a Value>,
    ours: Option<Held<'a>>,
    others: Vec<(&'a str, Held<'a>)>,
}

impl<'a> View<'a> {
    pub(super) fn field(&self, name: &str) -> Self {
        self.below(self.live.and_then(|live| live.get(name)), |set| set.field(name))
    }

    /// The place of the live item that `declared` became.
    pub(super) fn item(&self, declared: &Value, keys: &[String]) -> Self {
        let live = self.items().find(|item| item.is_object() && is_same_item(item, declared, keys));
        self.below(live, |set| {
            set.keyed_items()
                .find(|(item, _)| is_same_item(item, declared, keys))
                .map(|(_, below)| below)
        })
    }

    /// The place at an index, in a list that is owned as a whole.
    pub(super) fn at(&self, index: usize) -> Self {
        self.below(self.live.and_then(|live| live.get(index)), |_| None)
    }

    fn below(
        &self,
        live: Option<&'a Value>,
        find: impl Fn(&'a FieldSet) -> Option<&'a FieldSet>,
    ) -> Self {
        Self {
            live,
            ours: self.ours.and_then(|held| held.below(&find)),
            others: self
                .others
                .iter()
                .filter_map(|(manager, held)| held.below(&find).map(|held| (*manager, held)))
                .collect(),
        }
    }

    fn items(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.live.and_then(Value::as_array).into_iter().flatten()
    }

    pub(super) fn ours(&self) -> Ours {
        match self.ours {
            Some(held) if held.whole => Ours::Perhaps,
            Some(held) if held.set.itself => Ours::Yes,
            _ => Ours::No,
        }
    }

    /// Whether we own this place or anything below it.
    pub(super) fn is_partly_ours(&self) -> bool {
        self.ours.is_some_and(|held| !held.set.is_empty())
    }

    /// The value of a set: whether we own it.
    pub(super) fn owns_value(&self, value: &Value) -> bool {
        self.ours.is_some_and(|held| held.whole || held.set.has_value(value))
    }

    /// The other managers that own this place, the newest first.
    pub(super) fn owners(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.others.iter().filter(|(_, held)| held.set.itself).map(|(manager, _)| *manager)
    }

    /// Whether one of the others owns this place or anything below it.
    pub(super) fn is_partly_owned_by(&self, manager: &str) -> bool {
        self.others.iter().any(|(name, held)| *name == manager && !held.set.is_empty())
    }

    /// How a declared list is merged, as the managed fields of anybody tell.
    pub(super) fn list_kind(&self, declared: &[Value]) -> ListKind {
        let mut sets = self.ours.iter().chain(self.others.iter().map(|(_, held)| held));
        let mut atomic = false;
        for held in &mut sets {
            if let Some((Value::Object(keys), _)) = held.set.keyed_items().next() {
                return ListKind::Keyed(keys.into_iter().map(|(key, _)| key).collect());
            }
            if held.set.children.keys().any(|selector| selector.starts_with("v:")) {
                return ListKind::Set;
            }
            atomic |= held.set.is_leaf();
        }
        if atomic { ListKind::Atomic } else { guessed_kind(declared, self.items()) }
    }
}

/// How a list is merged when nobody owns anything in it: by the keys that all
/// of its items have, if they are known ones.
pub(super) fn guessed_kind<'a>(
    declared: &'a [Value],
    live: impl Iterator<Item = &'a Value>,
) -> ListKind {
    let items: Vec<&Value> = declared.iter().chain(live).collect();
    let has = |item: &Value, key: &str| key == "protocol" || item.get(key).is_some();
    let tell_apart = |keys: &[&str]| {
        let names: BTreeSet<String> = declared
            .iter()
            .map(|item| keys.iter().map(|key| item[*key].to_string()).collect())
            .collect();
        names.len() == declared.len()
    };
    KNOWN_KEYS
        .iter()
        .filter(|keys| !items.is_empty() && items.iter().all(|i| keys.iter().all(|k| has(i, k))))
        .find(|keys| tell_apart(keys))
        .map_or(ListKind::Atomic, |keys| {
            ListKind::Keyed(keys.iter().map(|&key| key.to_owned()).collect())
        })
}

fn is_same_item(item: &Value, declared: &Value, keys: &[String]) -> bool {
    keys.iter().all(|key| match (item.get(key), declared.get(key)) {
        (Some(found), Some(wanted)) => found == wanted,
        (Some(found), None) => found == DEFAULT_PROTOCOL,
        (None, Some(wanted)) => wanted == DEFAULT_PROTOCOL,
        (None, None) => true,
    })
}
