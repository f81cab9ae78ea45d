//! Bases of deltas: objects of this pack that are still in memory, and deltas that wait for one.

use std::collections::{HashMap, VecDeque};

use crate::{git::ObjectType, model::GitId};

/// Objects that are held as bases, bytes: the window of Git's own packer holds ten objects.
const RECENT_BYTES: usize = 16 << 20;
/// Deltas that wait for a base, bytes: beyond it the base is somebody else's.
const WAITING_BYTES: usize = 4 << 20;

/// How a delta names its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Offset(u64),
    Id(GitId),
}

/// The state of the entry at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Known(GitId),
    Waiting,
    Gone,
}

pub(super) struct Base {
    pub(super) kind: ObjectType,
    pub(super) data: Vec<u8>,
    pub(super) depth: u16,
}

pub(super) struct Waiting {
    pub(super) offset: u64,
    pub(super) delta: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Bases {
    places: HashMap<u64, Place>,
    recent: HashMap<GitId, Base>,
    order: VecDeque<GitId>,
    recent_bytes: usize,
    waiting: HashMap<Key, Vec<Waiting>>,
    waiting_bytes: usize,
}

impl Bases {
    pub(super) fn place(&mut self, offset: u64, place: Place) {
        self.places.insert(offset, place);
    }

    pub(super) fn at(&self, offset: u64) -> Option<Place> {
        self.places.get(&offset).copied()
    }

    pub(super) fn recent(&self, id: GitId) -> Option<&Base> {
        self.recent.get(&id)
    }

    /// Holds the newest object whatever its size, and older ones while they fit.
    pub(super) fn remember(&mut self, id: GitId, base: Base) {
        if self.recent.contains_key(&id) {
            return;
        }
        self.recent_bytes += base.data.len();
        while self.recent_bytes > RECENT_BYTES
            && let Some(oldest) = self.order.pop_front()
        {
            let gone = self.recent.remove(&oldest).map_or(0, |base| base.data.len());
            self.recent_bytes -= gone;
        }
        self.order.push_back(id);
        self.recent.insert(id, base);
    }

    /// Keeps a delta until its base is known. Returns whether there was room for it.
    pub(super) fn wait(&mut self, base: Key, offset: u64, delta: Vec<u8>) -> bool {
        if self.waiting_bytes + delta.len() > WAITING_BYTES {
            return false;
        }
        self.waiting_bytes += delta.len();
        self.waiting.entry(base).or_default().push(Waiting { offset, delta });
        true
    }

    pub(super) fn wake(&mut self, base: Key) -> Vec<Waiting> {
        let woken = self.waiting.remove(&base).unwrap_or_default();
        self.waiting_bytes -= woken.iter().map(|waiting| waiting.delta.len()).sum::<usize>();
        woken
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.values().map(Vec::len).sum()
    }
}
