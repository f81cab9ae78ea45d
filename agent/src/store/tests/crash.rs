//! Power cuts and full disks, drawn from seeds.

use std::collections::BTreeSet;

use leeward_core::git::Objects as _;

use super::*;
use crate::store::{Batch, StoreError, faulty::Chance};

/// What was acknowledged before the power went.
#[derive(Default)]
struct Promised {
    source: u64,
    objects: Vec<Object>,
    /// In the outbox, as far as nobody tried to take them out.
    events: BTreeSet<u64>,
    boot: u64,
    steps: u64,
}

fn step(store: &Store, chance: &mut Chance, promised: &mut Promised) -> Result<(), StoreError> {
    let number = promised.source + 1;
    match chance.next() % 4 {
        0 => {
            let objects: Vec<_> = (0..=chance.next() % 20)
                .map(|line| {
                    blob(&format!(
                        "{number} {line} {}",
                        "pad ".repeat(usize::try_from(line).unwrap() * 60)
                    ))
                })
                .collect();
            store.write(&objects)?;
            promised.objects.extend(objects);
        }
        1 => {
            let head = store.outbox_head(2000)?;
            let sequences: Vec<_> = head.iter().map(|entry| entry.sequence).collect();
            promised.events.retain(|event| !sequences.contains(event));
            store.acknowledge(&sequences, stamp(1).wall)?;
        }
        _ => {
            let count = 1 + chance.next() % 5;
            let events = (0..count).map(|_| event(EventKind::AppGood, &number.to_string()));
            let committed = store.commit(Batch {
                source: Some(source(number)),
                apps: vec![app("shop")],
                inventory: (0..number % 30)
                    .map(|object| owned(&object.to_string()))
                    .map(|(key, entry)| ("shop".to_owned(), key, Some(entry)))
                    .collect(),
                events: events.collect(),
                ..Batch::default()
            })?;
            promised.source = number;
            let last = committed.last_sequence;
            promised.events.extend(last + 1 - count..=last);
        }
    }
    promised.steps += 1;
    Ok(())
}

/// The store after a power cut has everything that was promised before it.
fn check(store: &Store, promised: &mut Promised, seed: u64) {
    if promised.source > 0 {
        let read = store.source().unwrap().unwrap().commit;
        // The step that was cut off may have been committed all the same.
        assert!(read >= id(promised.source), "SEED={seed}: source {read}");
    }
    for object in &promised.objects {
        let read = store.read(object.id).unwrap();
        assert_eq!(read, Some((object.kind, object.data.clone())), "SEED={seed}");
    }
    let waiting = store.outbox_head(u64::MAX).unwrap();
    assert!(waiting.is_sorted_by_key(|entry| entry.sequence), "SEED={seed}");
    let waiting: BTreeSet<u64> = waiting.iter().map(|entry| entry.sequence).collect();
    assert!(promised.events.is_subset(&waiting), "SEED={seed}: an event is gone");
    assert_eq!(store.outbox_status().unwrap().pending, waiting.len() as u64, "SEED={seed}");
}

/// Runs until the power fails at an instant that the seed draws, also while opening.
fn live_and_die(disk: &mut FaultyDisk, seed: u64, promised: &mut Promised) {
    let mut chance = Chance(seed);
    if chance.next().is_multiple_of(3) {
        disk.cut_power_after(1 + chance.next() % 12);
        drop(Store::open_on(disk.clone(), MAX_SIZE));
        disk.crash(seed);
    }
    let opened = Store::open_on(disk.clone(), MAX_SIZE);
    let store = opened.unwrap_or_else(|error| panic!("SEED={seed}: cannot open: {error:?}")).store;
    check(&store, promised, seed);
    let boot = store.begin_boot().unwrap().number;
    assert!(boot > promised.boot, "SEED={seed}: boot {boot} again");
    promised.boot = boot;
    disk.cut_power_after(1 + chance.next() % 120);
    while step(&store, &mut chance, promised).is_ok() {}
    drop(store);
    disk.crash(seed);
}

#[test]
fn no_power_cut_takes_back_what_was_acknowledged() {
    let mut disk = FaultyDisk::new();
    let mut promised = Promised::default();
    for seed in 0..300 {
        live_and_die(&mut disk, seed, &mut promised);
        promised.objects.drain(..promised.objects.len().saturating_sub(500));
    }
    let steps = promised.steps;
    assert!(steps > 300, "{steps} steps: the power was cut before anything happened");
}

#[test]
fn a_power_cut_while_the_store_is_made_leaves_one_that_opens() {
    for seed in 0..100 {
        let mut disk = FaultyDisk::new();
        disk.cut_power_after(1 + seed % 12);
        drop(Store::open_on(disk.clone(), MAX_SIZE));
        disk.crash(seed);
        let store = Store::open_on(disk, MAX_SIZE)
            .unwrap_or_else(|error| panic!("SEED={seed}: {error:?}"))
            .store;
        assert_eq!(store.begin_boot().unwrap().number, 1);
    }
}

#[test]
fn what_was_not_synced_is_sometimes_lost_and_what_was_synced_never() {
    use redb::StorageBackend as _;
    let survivors = |sync: bool| {
        let survives = |seed: &u64| {
            let mut disk = FaultyDisk::new();
            disk.set_len(4096).unwrap();
            disk.write(0, &[1; 4096]).unwrap();
            if sync {
                disk.sync_data().unwrap();
            }
            disk.crash(*seed);
            let mut bytes = [0; 4096];
            disk.read(0, &mut bytes).is_ok() && bytes == [1; 4096]
        };
        (0..200).filter(survives).count()
    };
    assert_eq!(survivors(true), 200);
    assert!((20..180).contains(&survivors(false)));
}

#[test]
fn a_full_disk_refuses_writes_and_stays_readable() {
    let disk = FaultyDisk::new();
    let store = Store::open_on(disk.clone(), MAX_SIZE).unwrap().store;
    store.commit(Batch { source: Some(source(3)), ..Batch::default() }).unwrap();
    disk.hold_at_most(Some(256 * 1024));
    let mut chance = Chance(3);
    let noise: Vec<u8> = (0..200_000).flat_map(|_| chance.next().to_le_bytes()).collect();
    let error = store.write(&[object(ObjectType::Blob, &noise)]).unwrap_err();
    insta::assert_snapshot!(error, @"store (memory) is full: no space left on the disk");
    assert_eq!(store.source().unwrap(), Some(source(3)));
    // What is small still goes in.
    store.commit(Batch { source: Some(source(4)), ..Batch::default() }).unwrap();
    assert_eq!(store.source().unwrap(), Some(source(4)));
    disk.hold_at_most(None);
    store.write(&[object(ObjectType::Blob, &noise)]).unwrap();
}
