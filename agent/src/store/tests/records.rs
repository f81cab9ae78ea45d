//! Records come back as they were written, also those of former versions.

use leeward_core::{cycle::RevisionVerdict, git::Objects as _, model::Uptime};

use super::*;
use crate::store::{Batch, LastRun, schema};

#[test]
fn a_batch_is_read_back_whole() {
    let store = memory();
    let (key, entry) = owned("web");
    store
        .commit(Batch {
            apps: vec![app("shop"), app("db")],
            source: Some(source(7)),
            inventory: vec![("shop".to_owned(), key.clone(), Some(entry.clone()))],
            revisions: vec![revision("shop", 1)],
            link: vec![("https://git".to_owned(), b"caps".to_vec())],
            cluster_id: Some("uid".to_owned()),
            ..Batch::default()
        })
        .unwrap();
    assert_eq!(store.apps().unwrap(), [app("db"), app("shop")]);
    assert_eq!(store.source().unwrap(), Some(source(7)));
    assert_eq!(store.inventory("shop").unwrap().get(&key), Some(&entry));
    assert_eq!(store.inventory_all().unwrap().len(), 1);
    assert_eq!(store.revisions(None, 10).unwrap(), [revision("shop", 1)]);
    assert_eq!(store.link("https://git").unwrap(), Some(b"caps".to_vec()));
    assert_eq!(store.cluster_id().unwrap().as_deref(), Some("uid"));
}

#[test]
fn the_inventory_of_an_app_is_not_that_of_another_whose_name_starts_the_same() {
    let store = memory();
    let (key, entry) = owned("web");
    let inventory =
        ["shop", "shop-2"].map(|app| (app.to_owned(), key.clone(), Some(entry.clone()))).to_vec();
    store.commit(Batch { inventory, ..Batch::default() }).unwrap();
    let gone = vec![("shop".to_owned(), key.clone(), None)];
    store.commit(Batch { inventory: gone, ..Batch::default() }).unwrap();
    assert_eq!(store.inventory("shop").unwrap().len(), 0);
    assert_eq!(store.inventory("shop-2").unwrap().len(), 1);
}

#[test]
fn what_is_recorded_already_is_not_written_again() {
    let store = memory();
    let batch = Batch {
        apps: vec![app("shop")],
        source: Some(source(1)),
        wall_floor: Some("2026-01-02T03:04:05Z".parse().unwrap()),
        ..Batch::default()
    };
    assert!(store.commit(batch.clone()).unwrap().written);
    let before = store.written_bytes();
    assert!(!store.commit(batch).unwrap().written);
    assert!(!store.commit(Batch::default()).unwrap().written);
    assert_eq!(store.written_bytes(), before);
}

#[test]
fn the_wall_clock_floor_only_rises() {
    let store = memory();
    for wall in ["2026-01-02T00:00:00Z", "1970-01-01T00:00:00Z"] {
        let wall_floor = Some(wall.parse().unwrap());
        store.commit(Batch { wall_floor, ..Batch::default() }).unwrap();
    }
    assert_eq!(store.wall_floor().unwrap().unwrap().to_string(), "2026-01-02T00:00:00Z");
}

#[test]
fn history_keeps_the_newest_hundred_of_each_app() {
    let store = memory();
    for round in 0..3 {
        let revisions = (0..50).map(|number| revision("shop", round * 50 + number)).collect();
        store.commit(Batch { revisions, ..Batch::default() }).unwrap();
    }
    store.commit(Batch { revisions: vec![revision("db", 1)], ..Batch::default() }).unwrap();
    let shop = store.revisions(Some("shop"), 1000).unwrap();
    assert_eq!(shop.len(), 100);
    assert_eq!((shop[0].content.0.as_str(), shop[99].content.0.as_str()), ("149", "50"));
    let newest = store.revisions(None, 2).unwrap();
    assert_eq!((newest[0].app.as_str(), newest[1].app.as_str()), ("db", "shop"));
}

#[test]
fn the_boot_counter_knows_how_the_last_run_ended() {
    let mut disk = FaultyDisk::new();
    let mut ended = Vec::new();
    for clean in [true, false, true] {
        let store = Store::open_on(disk.clone(), MAX_SIZE).unwrap().store;
        ended.push(store.begin_boot().unwrap());
        if clean {
            store.end_boot().unwrap();
        }
        drop(store);
        disk.crash(1);
    }
    let ended: Vec<_> = ended.into_iter().map(|boot| (boot.number, boot.last_run)).collect();
    assert_eq!(ended, [(1, LastRun::First), (2, LastRun::Clean), (3, LastRun::Unclean)]);
}

#[test]
fn records_of_version_1_are_read_for_ever() {
    fn read<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> T {
        schema::decode("a fixture", bytes).unwrap()
    }
    let app: AppRecord = read(include_bytes!("../fixtures/app.v1"));
    let source: SourceRecord = read(include_bytes!("../fixtures/source.v1"));
    let revision: RevisionRecord = read(include_bytes!("../fixtures/revision.v1"));
    let owned: InventoryEntry = read(include_bytes!("../fixtures/inventory.v1"));
    let entry: leeward_core::report::Entry = read(include_bytes!("../fixtures/entry.v1"));
    let counters: crate::store::outbox::Counters = read(include_bytes!("../fixtures/counters.v1"));
    let boot: crate::store::boot::BootRecord = read(include_bytes!("../fixtures/boot.v1"));
    assert_eq!(
        (app.spec.name.as_str(), app.spec.depends_on.as_slice()),
        ("shop", ["db".to_owned()].as_slice())
    );
    assert_eq!(source.reference, "refs/heads/main");
    assert_eq!(revision.verdict, RevisionVerdict::Good);
    assert_eq!((owned.wave, owned.keep), (-1, true));
    assert_eq!(
        (entry.sequence, Uptime::from_secs(86_400).as_millis()),
        (42, entry.stamp.uptime_ms)
    );
    assert_eq!((counters.next_event, counters.refused), (43, 1));
    assert_eq!((boot.number, boot.clean), (12, true));
}

#[test]
fn a_git_object_of_version_1_is_read_for_ever() {
    for (record, plain) in [
        (include_bytes!("../fixtures/object-plain.v1").as_slice(), "hello\n".to_owned()),
        (include_bytes!("../fixtures/object-zstd.v1").as_slice(), "hello\n".repeat(100)),
    ] {
        let blob = blob(&plain);
        let read = crate::store::objects::unpack(blob.id, record);
        assert_eq!(read, Ok((blob.kind, blob.data)));
    }
}

#[test]
fn a_record_of_a_later_version_is_refused_and_named() {
    let error = schema::decode::<AppRecord>("the record of app shop", b"\x02{}").unwrap_err();
    let error = error.into_error("/var/lib/leeward/leeward.redb").to_string();
    insta::assert_snapshot!(error, @"the record of app shop in store /var/lib/leeward/leeward.redb has format 2, which is newer than this agent");
}

#[test]
fn objects_are_there_once_they_were_written() {
    let store = memory();
    let objects = [blob("one"), blob(&"two ".repeat(5000)), object(ObjectType::Tree, b"")];
    store.write(&objects).unwrap();
    for object in &objects {
        assert!(store.contains(object.id).unwrap());
        let read = store.read(object.id).unwrap();
        assert_eq!(read, Some((object.kind, object.data.clone())));
    }
    assert_eq!(store.read(id(1)).unwrap(), None);
    let before = store.written_bytes();
    store.write(&objects).unwrap();
    assert_eq!(store.written_bytes(), before);
}
