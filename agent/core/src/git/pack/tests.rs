//! Packs built by hand, cut and split in every way.

use std::{cell::RefCell, collections::BTreeMap, convert::Infallible};

use proptest::prelude::*;

use super::*;

#[derive(Default)]
struct Memory(RefCell<BTreeMap<GitId, (ObjectType, Vec<u8>)>>);

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

/// A zlib stream of stored blocks (RFC 1950, RFC 1951 §3.2.4).
fn deflate(data: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = data.chunks(300).peekable();
    if blocks.peek().is_none() {
        stream.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap();
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in data {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    stream.extend(((high << 16) | low).to_be_bytes());
    stream
}

fn varint_header(kind: u8, mut size: usize) -> Vec<u8> {
    let mut bytes = vec![(kind << 4) | u8::try_from(size & 15).unwrap()];
    size >>= 4;
    while size > 0 {
        *bytes.last_mut().unwrap() |= 0x80;
        bytes.push(u8::try_from(size & 0x7f).unwrap());
        size >>= 7;
    }
    bytes
}

#[derive(Clone, Debug)]
enum Entry {
    Blob(Vec<u8>),
    /// Upon the entry with this index, named by its distance.
    Near(usize, Vec<u8>),
    /// Upon an object with this id.
    Far(GitId, Vec<u8>),
}

/// A delta that copies the first bytes of its base and appends others.
fn delta(base_size: usize, copy: u8, insert: &[u8]) -> Vec<u8> {
    assert!(base_size < 128 && insert.len() < 100);
    let mut delta =
        vec![u8::try_from(base_size).unwrap(), copy + u8::try_from(insert.len()).unwrap()];
    if copy > 0 {
        delta.extend([0x90, copy]);
    }
    if !insert.is_empty() {
        delta.push(u8::try_from(insert.len()).unwrap());
        delta.extend(insert);
    }
    delta
}

struct Pack {
    bytes: Vec<u8>,
    /// Where each entry ends.
    ends: Vec<usize>,
}

fn pack(entries: &[Entry]) -> Pack {
    let mut bytes = b"PACK\0\0\0\x02".to_vec();
    bytes.extend(u32::try_from(entries.len()).unwrap().to_be_bytes());
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for entry in entries {
        let start = bytes.len();
        let content = match entry {
            Entry::Blob(data) => {
                bytes.extend(varint_header(3, data.len()));
                data
            }
            Entry::Near(index, delta) => {
                bytes.extend(varint_header(6, delta.len()));
                bytes.extend(distance(start - starts[*index]));
                delta
            }
            Entry::Far(id, delta) => {
                bytes.extend(varint_header(7, delta.len()));
                bytes.extend(id.as_bytes());
                delta
            }
        };
        bytes.extend(deflate(content));
        starts.push(start);
        ends.push(bytes.len());
    }
    bytes.extend([0; 20]);
    Pack { bytes, ends }
}

fn distance(mut distance: usize) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(distance & 0x7f).unwrap()];
    distance >>= 7;
    while distance > 0 {
        distance -= 1;
        bytes.insert(0, 0x80 | u8::try_from(distance & 0x7f).unwrap());
        distance >>= 7;
    }
    bytes
}

fn blob_id(data: &[u8]) -> GitId {
    hash_object(ObjectType::Blob, data).unwrap()
}

fn contents(decoded: &[Decoded]) -> Vec<Vec<u8>> {
    decoded
        .iter()
        .map(|decoded| match decoded {
            Decoded::Object(object) => object.data.clone(),
            Decoded::Oversized { .. } => panic!("nothing here is large"),
        })
        .collect()
}

fn decode(bytes: &[u8], pieces: &[usize], store: &Memory) -> (PackDecoder, Vec<Vec<u8>>) {
    let mut decoder = PackDecoder::new(PackLimits::default());
    let mut out = Vec::new();
    let mut rest = bytes;
    for piece in pieces {
        let (now, after) = rest.split_at((*piece).min(rest.len()));
        decoder.push(now, store, &mut out).unwrap();
        rest = after;
    }
    decoder.push(rest, store, &mut out).unwrap();
    (decoder, contents(&out))
}

/// Blobs, and deltas of both kinds upon earlier entries.
fn arbitrary_entries() -> impl Strategy<Value = Vec<Entry>> {
    let seed =
        (any::<proptest::sample::Index>(), 0_u8..3, proptest::collection::vec(any::<u8>(), 0..20));
    (proptest::collection::vec(any::<u8>(), 1..60), proptest::collection::vec(seed, 0..8)).prop_map(
        |(first, seeds)| {
            let mut entries = vec![Entry::Blob(first.clone())];
            let mut data = vec![first];
            for (index, kind, bytes) in seeds {
                let base = index.index(data.len());
                let kept = data[base].len().min(20);
                let made = [&data[base][..kept], &bytes].concat();
                let delta = delta(data[base].len(), u8::try_from(kept).unwrap(), &bytes);
                entries.push(match kind {
                    0 => Entry::Blob(made.clone()),
                    1 => Entry::Near(base, delta),
                    _ => Entry::Far(blob_id(&data[base]), delta),
                });
                data.push(made);
            }
            entries
        },
    )
}

proptest! {
    #[test]
    fn however_the_bytes_are_split_the_objects_are_the_same(
        entries in arbitrary_entries(),
        pieces in proptest::collection::vec(1_usize..40, 0..60),
    ) {
        let pack = pack(&entries);
        let (_, whole) = decode(&pack.bytes, &[], &Memory::default());
        let (decoder, split) = decode(&pack.bytes, &pieces, &Memory::default());
        prop_assert_eq!(whole.len(), entries.len());
        prop_assert_eq!(whole, split);
        prop_assert!(decoder.is_complete());
    }

    #[test]
    fn a_cut_pack_gives_exactly_the_objects_that_are_complete_in_it(entries in arbitrary_entries()) {
        let pack = pack(&entries);
        let (_, whole) = decode(&pack.bytes, &[], &Memory::default());
        for length in 0..pack.bytes.len() {
            let complete = pack.ends.iter().filter(|end| **end <= length).count();
            let (_, cut) = decode(&pack.bytes[..length], &[], &Memory::default());
            prop_assert_eq!(&cut[..], &whole[..complete], "cut after {} bytes", length);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
        entries in arbitrary_entries(),
        flip in any::<proptest::sample::Index>(),
    ) {
        let mut damaged = pack(&entries).bytes;
        let at = flip.index(damaged.len());
        damaged[at] ^= 0x55;
        bytes.splice(0..0, b"PACK\0\0\0\x02\0\0\0\x09".iter().copied());
        for input in [damaged, bytes] {
            let mut decoder = PackDecoder::new(PackLimits::default());
            drop(decoder.push(&input, &Memory::default(), &mut Vec::new()));
        }
    }
}

#[test]
fn a_delta_waits_for_a_base_that_comes_later() {
    let base = b"the base".to_vec();
    let entries = [
        Entry::Far(blob_id(&base), delta(8, 4, b"top")),
        Entry::Near(0, delta(7, 7, b"!")),
        Entry::Blob(base.clone()),
    ];
    let (decoder, found) = decode(&pack(&entries).bytes, &[], &Memory::default());
    assert_eq!(found, [base, b"the top".to_vec(), b"the top!".to_vec()]);
    assert_eq!(decoder.unresolved(), 0);
}

#[test]
fn a_thin_delta_finds_its_base_in_the_store() {
    let store = Memory::default();
    let base = b"stored".to_vec();
    store
        .write(&[Object { id: blob_id(&base), kind: ObjectType::Blob, data: base.clone() }])
        .unwrap();
    let entries = [Entry::Far(blob_id(&base), delta(6, 6, b" before"))];
    let (_, found) = decode(&pack(&entries).bytes, &[], &store);
    assert_eq!(found, [b"stored before".to_vec()]);
}

#[test]
fn deltas_upon_what_we_never_had_are_dropped_and_counted() {
    let foreign = blob_id(b"never seen");
    let entries = [
        Entry::Far(foreign, delta(10, 5, b"")),
        Entry::Near(0, delta(5, 5, b"")),
        Entry::Blob(b"ours".to_vec()),
    ];
    let (decoder, found) = decode(&pack(&entries).bytes, &[], &Memory::default());
    assert_eq!(found, [b"ours".to_vec()]);
    assert!(decoder.is_complete());
    assert_eq!(decoder.unresolved(), 2);
}

#[test]
fn an_oversized_blob_is_named_and_what_follows_still_comes() {
    let large = vec![9; 2_000];
    let entries = [Entry::Blob(large.clone()), Entry::Blob(b"small".to_vec())];
    let mut decoder = PackDecoder::new(PackLimits { blob: 1_000 });
    let mut out = Vec::new();
    decoder.push(&pack(&entries).bytes, &Memory::default(), &mut out).unwrap();
    let small = b"small".to_vec();
    assert_eq!(
        out,
        [
            Decoded::Oversized {
                id: blob_id(&large),
                kind: ObjectType::Blob,
                size: 2_000,
                limit: 1_000
            },
            Decoded::Object(Object { id: blob_id(&small), kind: ObjectType::Blob, data: small }),
        ]
    );
}

#[test]
fn a_stream_that_inflates_to_more_than_promised_is_refused() {
    let mut bytes = b"PACK\0\0\0\x02\0\0\0\x01".to_vec();
    bytes.extend(varint_header(3, 4));
    bytes.extend(deflate(b"five!"));
    let mut decoder = PackDecoder::new(PackLimits::default());
    let error = decoder.push(&bytes, &Memory::default(), &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "pack entry at 12 is no zlib stream of 4 bytes");
}

#[test]
fn an_answer_that_is_no_pack_is_quoted() {
    let mut decoder = PackDecoder::new(PackLimits::default());
    let error = decoder.push(b"<htm", &Memory::default(), &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "the answer holds no pack but `<htm`");
}
