//! Packs, decoded while they arrive: every object comes out as soon as its last byte is in.
//!
//! The trailing checksum is skipped: each object proves itself by its own
//! hash, and what is cut off before the checksum is worth keeping.

mod bases;
mod entry;

use std::mem;

use gix_zlib::{Decompress, FlushDecompress, Status};

use self::{
    bases::{Bases, Key, Place},
    entry::{EntryKind, Header, ID_BYTES, parse_entry},
};
use super::{
    Object, ObjectType, Objects,
    delta::{DeltaError, apply_delta, delta_sizes},
    hash::{Collision, ObjectHasher, hash_object},
};
use crate::model::GitId;

/// Trees and commits beyond 8 MiB are an attack: a tree of 200,000 entries is smaller.
const MAX_STRUCTURE_BYTES: u64 = 8 << 20;
/// Entries decoded of one pack; each costs some 50 bytes of memory until its end.
const MAX_ENTRIES: usize = 262_144;
/// Longest chain of deltas: the most that Git itself allows.
const MAX_DELTA_DEPTH: u16 = 4_095;
/// Inflated at a time, bytes.
const WINDOW: usize = 16 << 10;
const PACK_HEADER: usize = 12;

/// Limits on a pack and its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackLimits {
    /// The largest blob that is kept, in bytes.
    pub blob: u64,
}

impl Default for PackLimits {
    /// 64 MiB: no manifest is that large, and a small board can still hold it in memory.
    fn default() -> Self {
        Self { blob: 64 << 20 }
    }
}

impl PackLimits {
    fn of(self, kind: ObjectType) -> u64 {
        if kind == ObjectType::Blob { self.blob } else { MAX_STRUCTURE_BYTES }
    }
}

/// One thing that the decoder read from a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    Object(Object),
    /// It was hashed and let go: only somebody who needs it has to care.
    Oversized {
        id: GitId,
        kind: ObjectType,
        size: u64,
        limit: u64,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum PackError<E: std::error::Error + 'static> {
    #[error("the answer holds no pack but `{0}`")]
    NotAPack(String),
    #[error("pack is of version {0}, not 2")]
    Version(u32),
    #[error("pack entry at {offset} is of unknown kind {kind}")]
    Kind { offset: u64, kind: u8 },
    #[error("pack entry at {offset} has a header that does not end")]
    Header { offset: u64 },
    #[error("pack entry at {offset} is no zlib stream of {size} bytes")]
    Inflate { offset: u64, size: u64 },
    #[error("pack entry at {offset} is a delta against an object outside of the pack")]
    BaseOffset { offset: u64 },
    #[error("pack entry at {offset} is a bad delta")]
    Delta { offset: u64, source: DeltaError },
    #[error("pack entry at {offset} ends a chain of more than {MAX_DELTA_DEPTH} deltas")]
    Depth { offset: u64 },
    #[error("pack holds more than {MAX_ENTRIES} entries")]
    Entries,
    #[error(transparent)]
    Collision(#[from] Collision),
    #[error("cannot read the base {id} of a delta")]
    Store { id: GitId, source: E },
}

/// Where the inflated bytes of an entry go.
enum Sink {
    Keep(Vec<u8>),
    /// Too large to be held, but its id shows whether anyone needs it.
    Hash(Box<ObjectHasher>, ObjectType),
    Discard,
}

struct Inflating {
    offset: u64,
    kind: EntryKind,
    size: u64,
    written: u64,
    sink: Sink,
}

enum State {
    Header,
    Entry,
    Inflating(Inflating),
    Trailer,
    Done,
}

/// Takes the bytes of a pack in any pieces, gives its objects. Deltas find
/// their bases in the pack, before or after them, or in the store; those
/// that find none are about objects that we never had, and are dropped.
pub struct PackDecoder {
    limits: PackLimits,
    state: State,
    /// Bytes that are not enough yet for a header.
    input: Vec<u8>,
    /// Bytes of the pack in front of `input`.
    consumed: u64,
    promised: u32,
    entries: usize,
    inflate: Decompress,
    window: Vec<u8>,
    bases: Bases,
    dropped: usize,
}

impl std::fmt::Debug for PackDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackDecoder")
            .field("consumed", &self.consumed)
            .field("promised", &self.promised)
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}

impl PackDecoder {
    pub fn new(limits: PackLimits) -> Self {
        Self {
            limits,
            state: State::Header,
            input: Vec::new(),
            consumed: 0,
            promised: 0,
            entries: 0,
            inflate: Decompress::new(),
            window: vec![0; WINDOW],
            bases: Bases::default(),
            dropped: 0,
        }
    }

    /// Every entry that the header promised has been read.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Trailer | State::Done)
    }

    /// Entries that the pack says it holds; 0 before its header is in.
    pub fn promised(&self) -> u32 {
        self.promised
    }

    /// In the middle of a whole blob.
    pub fn is_in_blob(&self) -> bool {
        let blob = EntryKind::Whole(ObjectType::Blob);
        matches!(&self.state, State::Inflating(entry) if entry.kind == blob)
    }

    /// Deltas that found no base so far.
    pub fn unresolved(&self) -> usize {
        self.dropped + self.bases.waiting()
    }

    /// An object that came out lately, if it is still at hand.
    pub fn recent(&self, id: GitId) -> Option<Object> {
        self.bases.recent(id).map(|base| Object { id, kind: base.kind, data: base.data.clone() })
    }

    /// Takes the next bytes, appends what they complete to `out`.
    pub fn push<O: Objects>(
        &mut self,
        bytes: &[u8],
        objects: &O,
        out: &mut Vec<Decoded>,
    ) -> Result<(), PackError<O::Error>> {
        let mut held = mem::take(&mut self.input);
        held.extend_from_slice(bytes);
        let mut rest = held.as_slice();
        loop {
            let used = match &self.state {
                State::Header => self.read_header(rest)?,
                State::Entry => self.read_entry(rest)?,
                State::Inflating(_) => self.read_content(rest, objects, out)?,
                State::Trailer => self.read_trailer(rest),
                State::Done => return Ok(()),
            };
            let Some(used) = used else { break };
            rest = &rest[used..];
            self.consumed += used as u64;
        }
        let used = held.len() - rest.len();
        held.drain(..used);
        self.input = held;
        Ok(())
    }

    fn read_header<E: std::error::Error>(
        &mut self,
        bytes: &[u8],
    ) -> Result<Option<usize>, PackError<E>> {
        let magic = &bytes[..bytes.len().min(4)];
        if !b"PACK".starts_with(magic) {
            return Err(PackError::NotAPack(magic.escape_ascii().to_string()));
        }
        let Some(header) = bytes.first_chunk::<PACK_HEADER>() else { return Ok(None) };
        let version = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        if version != 2 {
            return Err(PackError::Version(version));
        }
        self.promised = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        self.state = if self.promised == 0 { State::Trailer } else { State::Entry };
        Ok(Some(PACK_HEADER))
    }

    fn read_trailer(&mut self, bytes: &[u8]) -> Option<usize> {
        (bytes.len() >= ID_BYTES).then(|| {
            self.state = State::Done;
            ID_BYTES
        })
    }

    fn read_entry<E: std::error::Error>(
        &mut self,
        bytes: &[u8],
    ) -> Result<Option<usize>, PackError<E>> {
        let offset = self.consumed;
        let Some((header, used)) = parse_entry(bytes, offset)? else { return Ok(None) };
        if self.entries == MAX_ENTRIES {
            return Err(PackError::Entries);
        }
        self.entries += 1;
        let Header { kind, size } = header;
        let sink = match kind {
            EntryKind::Whole(kind) if size > self.limits.of(kind) => {
                Sink::Hash(Box::new(ObjectHasher::new(kind, size)), kind)
            }
            EntryKind::Delta(_) if size > self.limits.blob => Sink::Discard,
            _ => Sink::Keep(Vec::new()),
        };
        self.inflate.reset();
        self.state = State::Inflating(Inflating { offset, kind, size, written: 0, sink });
        Ok(Some(used))
    }

    /// `None`: everything that is there has been inflated, and it is not the end.
    fn read_content<O: Objects>(
        &mut self,
        bytes: &[u8],
        objects: &O,
        out: &mut Vec<Decoded>,
    ) -> Result<Option<usize>, PackError<O::Error>> {
        let State::Inflating(entry) = &mut self.state else { return Ok(None) };
        let failed = PackError::Inflate { offset: entry.offset, size: entry.size };
        let mut used = 0;
        loop {
            let before = (self.inflate.total_in(), self.inflate.total_out());
            let Ok(status) =
                self.inflate.decompress(&bytes[used..], &mut self.window, FlushDecompress::None)
            else {
                return Err(failed);
            };
            let took = usize::try_from(self.inflate.total_in() - before.0).unwrap_or(usize::MAX);
            let made = usize::try_from(self.inflate.total_out() - before.1).unwrap_or(usize::MAX);
            used += took;
            entry.written += made as u64;
            if entry.written > entry.size {
                return Err(failed);
            }
            match &mut entry.sink {
                Sink::Keep(data) => data.extend_from_slice(&self.window[..made]),
                Sink::Hash(hasher, _) => hasher.update(&self.window[..made]),
                Sink::Discard => {}
            }
            if status == Status::StreamEnd {
                break;
            }
            if took == 0 && made == 0 {
                // An empty remainder is no progress: the caller would ask again at once.
                return if used == bytes.len() {
                    Ok((used > 0).then_some(used))
                } else {
                    Err(failed)
                };
            }
        }
        if entry.written != entry.size {
            return Err(failed);
        }
        let following =
            if self.entries == self.promised as usize { State::Trailer } else { State::Entry };
        if let State::Inflating(entry) = mem::replace(&mut self.state, following) {
            self.complete_entry(entry, objects, out)?;
        }
        Ok(Some(used))
    }

    fn complete_entry<O: Objects>(
        &mut self,
        entry: Inflating,
        objects: &O,
        out: &mut Vec<Decoded>,
    ) -> Result<(), PackError<O::Error>> {
        let Inflating { offset, kind, size, sink, .. } = entry;
        match (kind, sink) {
            (EntryKind::Whole(kind), Sink::Keep(data)) => self.settle(offset, kind, data, 0, out),
            (EntryKind::Delta(base), Sink::Keep(delta)) => {
                self.resolve(offset, base, delta, objects, out)
            }
            (_, Sink::Hash(hasher, kind)) => {
                let limit = self.limits.of(kind);
                out.push(Decoded::Oversized { id: hasher.finish()?, kind, size, limit });
                self.bases.place(offset, Place::Gone);
                Ok(())
            }
            (_, Sink::Discard) => {
                self.drop_delta(offset);
                Ok(())
            }
        }
    }

    /// Applies a delta whose base is at hand, keeps one whose base may still come.
    fn resolve<O: Objects>(
        &mut self,
        offset: u64,
        base: Key,
        delta: Vec<u8>,
        objects: &O,
        out: &mut Vec<Decoded>,
    ) -> Result<(), PackError<O::Error>> {
        let id = match base {
            Key::Id(id) => Some(id),
            Key::Offset(at) => match self.bases.at(at) {
                Some(Place::Known(id)) => Some(id),
                Some(Place::Waiting) => None,
                Some(Place::Gone) => {
                    self.drop_delta(offset);
                    return Ok(());
                }
                None => return Err(PackError::BaseOffset { offset }),
            },
        };
        if let Some(id) = id {
            if let Some(known) = self.bases.recent(id) {
                let (kind, depth) = (known.kind, known.depth);
                let made = applied(offset, kind, &known.data, &delta, self.limits)?;
                return self.settle_applied(offset, kind, made, depth, out);
            }
            let stored = objects.read(id).map_err(|source| PackError::Store { id, source })?;
            if let Some((kind, data)) = stored {
                let made = applied(offset, kind, &data, &delta, self.limits)?;
                return self.settle_applied(offset, kind, made, 0, out);
            }
            if matches!(base, Key::Offset(_)) {
                // It was in this pack, nobody kept it, and it has left the cache.
                self.drop_delta(offset);
                return Ok(());
            }
        }
        if self.bases.wait(base, offset, delta) {
            self.bases.place(offset, Place::Waiting);
        } else {
            self.drop_delta(offset);
        }
        Ok(())
    }

    fn settle_applied<E: std::error::Error>(
        &mut self,
        offset: u64,
        kind: ObjectType,
        made: Applied,
        base_depth: u16,
        out: &mut Vec<Decoded>,
    ) -> Result<(), PackError<E>> {
        match made {
            Applied::OverLimit => {
                self.drop_delta(offset);
                Ok(())
            }
            Applied::Data(data) => self.settle(offset, kind, data, base_depth + 1, out),
        }
    }

    /// Lets an object out, and after it every delta that waited for it.
    fn settle<E: std::error::Error>(
        &mut self,
        offset: u64,
        kind: ObjectType,
        data: Vec<u8>,
        depth: u16,
        out: &mut Vec<Decoded>,
    ) -> Result<(), PackError<E>> {
        let mut ready = self.emit(offset, kind, data, depth, out)?;
        // A list, not a recursion: chains of deltas can be long. Bases are
        // looked up again instead of being held, so memory stays bounded.
        while let Some((base, waiting)) = ready.pop() {
            let Some(known) = self.bases.recent(base) else {
                self.drop_delta(waiting.offset);
                continue;
            };
            let (kind, depth) = (known.kind, known.depth);
            match applied(waiting.offset, kind, &known.data, &waiting.delta, self.limits)? {
                Applied::OverLimit => self.drop_delta(waiting.offset),
                Applied::Data(data) => {
                    ready.extend(self.emit(waiting.offset, kind, data, depth + 1, out)?);
                }
            }
        }
        Ok(())
    }

    fn emit<E: std::error::Error>(
        &mut self,
        offset: u64,
        kind: ObjectType,
        data: Vec<u8>,
        depth: u16,
        out: &mut Vec<Decoded>,
    ) -> Result<Vec<(GitId, bases::Waiting)>, PackError<E>> {
        if depth > MAX_DELTA_DEPTH {
            return Err(PackError::Depth { offset });
        }
        let id = hash_object(kind, &data)?;
        out.push(Decoded::Object(Object { id, kind, data: data.clone() }));
        self.bases.place(offset, Place::Known(id));
        self.bases.remember(id, bases::Base { kind, data, depth });
        let woken =
            self.bases.wake(Key::Offset(offset)).into_iter().chain(self.bases.wake(Key::Id(id)));
        Ok(woken.map(|waiting| (id, waiting)).collect())
    }

    fn drop_delta(&mut self, offset: u64) {
        self.dropped += 1;
        self.bases.place(offset, Place::Gone);
    }
}

enum Applied {
    Data(Vec<u8>),
    OverLimit,
}

fn applied<E: std::error::Error>(
    offset: u64,
    kind: ObjectType,
    base: &[u8],
    delta: &[u8],
    limits: PackLimits,
) -> Result<Applied, PackError<E>> {
    let failed = |source| PackError::Delta { offset, source };
    let (_, size) = delta_sizes(delta).map_err(failed)?;
    if size > limits.of(kind) {
        return Ok(Applied::OverLimit);
    }
    apply_delta(base, delta).map(Applied::Data).map_err(failed)
}

#[cfg(test)]
mod tests;
