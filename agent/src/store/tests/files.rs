//! Whatever is found in the folder, there is a store in the end, and nothing was deleted.

use std::{fs, os::unix::fs::PermissionsExt as _};

use leeward_core::git::Objects as _;

use super::*;
use crate::store::{Batch, OpenStoreError};

fn commit_source(store: &Store, number: u64) {
    store.commit(Batch { source: Some(source(number)), ..Batch::default() }).unwrap();
}

#[test]
fn a_new_folder_is_private() {
    let (_guard, path) = folder();
    let opened = open(&path);
    assert_eq!(opened.recovered, None);
    let mode = |path: &camino::Utf8Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join("leeward.redb"))), (0o700, 0o600));
}

#[test]
fn a_store_is_still_there_after_it_was_closed() {
    let (_guard, path) = folder();
    commit_source(&open(&path).store, 5);
    let opened = Store::open_existing(&path, MAX_SIZE).unwrap();
    assert_eq!(opened.store.source().unwrap(), Some(source(5)));
    assert!(opened.store.size().bytes > 0);
}

#[test]
fn a_second_process_is_told_who_has_the_store() {
    let (_guard, path) = folder();
    let _first = open(&path);
    let error = Store::open(&path, MAX_SIZE).unwrap_err();
    let expected = format!("store {path}/leeward.redb is in use by process {}", std::process::id());
    assert_eq!(error.to_string(), expected);
    assert!(matches!(error, OpenStoreError::Locked { holder: Some(_), .. }));
}

#[test]
fn an_agent_waits_for_a_command_that_is_reading() {
    let (_guard, path) = folder();
    drop(open(&path));
    let reading = Store::open_existing(&path, MAX_SIZE).unwrap();
    let (about_to, told) = std::sync::mpsc::channel();
    let folder = path.clone();
    let agent = std::thread::spawn(move || {
        about_to.send(()).unwrap();
        Store::open(&folder, MAX_SIZE).map(drop)
    });
    told.recv().unwrap();
    drop(reading);
    assert!(agent.join().unwrap().is_ok());
}

#[test]
fn a_command_does_not_make_a_store() {
    let (_guard, path) = folder();
    let error = Store::open_existing(&path, MAX_SIZE).unwrap_err();
    assert!(matches!(error, OpenStoreError::Missing { .. }));
    assert!(!path.exists());
}

#[test]
fn an_empty_file_was_never_a_store_and_is_replaced() {
    let (_guard, path) = folder();
    fs::create_dir(&path).unwrap();
    fs::write(path.join("leeward.redb"), b"").unwrap();
    assert_eq!(open(&path).recovered, None);
}

#[test]
fn a_store_that_cannot_be_opened_is_set_aside_and_replaced() {
    let (_guard, path) = folder();
    let file = path.join("leeward.redb");
    drop(open(&path));
    let whole = fs::read(&file).unwrap();
    let cut = whole[..8192].to_vec();
    let mut torn = whole.clone();
    torn[64..4096].fill(0xAA);
    let foreign = b"not a database at all".to_vec();
    for (number, damaged) in [cut, torn, foreign].into_iter().enumerate() {
        fs::write(&file, &damaged).unwrap();
        let opened = open(&path);
        let recovery = opened.recovered.unwrap();
        assert_eq!(recovery.set_aside, path.join(format!("leeward.redb.corrupt-{}", number + 1)));
        // redb may have repaired what it could before it gave up, so only the size is compared.
        assert_eq!(fs::metadata(&recovery.set_aside).unwrap().len(), damaged.len() as u64);
        commit_source(&opened.store, 1);
    }
}

#[test]
fn a_command_leaves_a_store_that_cannot_be_opened_to_the_agent() {
    let (_guard, path) = folder();
    drop(open(&path));
    fs::write(path.join("leeward.redb"), b"not a database at all").unwrap();
    let error = Store::open_existing(&path, MAX_SIZE).unwrap_err();
    assert!(matches!(error, OpenStoreError::Unusable { .. }), "{error}");
    assert!(open(&path).recovered.is_some());
}

#[test]
fn event_ids_stay_unique_when_the_store_is_lost() {
    let (_guard, path) = folder();
    let store = open(&path).store;
    store.begin_boot().unwrap();
    let events = || vec![event(EventKind::AppGood, "a")];
    let first = store.commit(Batch { events: events(), ..Batch::default() }).unwrap();
    drop(store);
    fs::write(path.join("leeward.redb"), b"gone").unwrap();

    let store = open(&path).store;
    let boot = store.begin_boot().unwrap();
    let second = store.commit(Batch { events: events(), ..Batch::default() }).unwrap();
    assert_eq!((boot.number, boot.last_run), (2, crate::store::LastRun::Unclean));
    assert!(first.last_sequence < second.last_sequence);
}

/// Every record of the store's head, and its other files; not the lock, which names whoever
/// looked last, and not how redb has laid the records out, which it does anew at each closing.
fn content(path: &camino::Utf8Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(path).unwrap().map(Result::unwrap);
    let named = files.map(|file| (file.file_name().into_string().unwrap(), file.path()));
    let kept = named.filter(|(name, _)| !["leeward.lock", "leeward.redb"].contains(&&**name));
    let mut content: std::collections::BTreeMap<_, _> =
        kept.map(|(name, file)| (name, fs::read(file).unwrap())).collect();
    let file = path.join("leeward.redb");
    let Ok(database) = redb::Database::create(&file) else {
        content.insert("leeward.redb".to_owned(), fs::read(&file).unwrap());
        return content;
    };
    let transaction = redb::ReadableDatabase::begin_read(&database).unwrap();
    let meta = transaction.open_table(crate::store::schema::META).unwrap();
    for record in redb::ReadableTable::iter(&meta).unwrap() {
        let (key, value) = record.unwrap();
        content.insert(format!("meta/{}", key.value()), value.value().to_vec());
    }
    content
}

/// Opens it as the agent and as a command do, often enough that a suspicious
/// agent would check every page; what they say, and whether they touched it.
fn refused(path: &camino::Utf8Path) -> String {
    let before = content(path);
    let said: std::collections::BTreeSet<_> = (0..5)
        .flat_map(|_| [Store::open(path, MAX_SIZE), Store::open_existing(path, MAX_SIZE)])
        .map(|opened| opened.unwrap_err().to_string().replace(path.as_str(), "STORE"))
        .collect();
    assert_eq!(content(path), before);
    assert!(before.len() > 1 || before.contains_key("leeward.redb"), "{:?}", before.keys());
    assert_eq!(said.len(), 1, "{said:?}");
    said.into_iter().next().unwrap()
}

/// Puts another record in the place of the schema version.
fn write_schema(path: &camino::Utf8Path, record: &[u8]) {
    let database = redb::Database::create(path.join("leeward.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut meta = transaction.open_table(crate::store::schema::META).unwrap();
    meta.insert("schema", record).unwrap();
    drop(meta);
    transaction.commit().unwrap();
    drop(database);
}

#[test]
fn a_store_of_a_later_schema_is_refused_and_left_as_it_is() {
    let (_guard, path) = folder();
    commit_source(&open(&path).store, 5);
    write_schema(&path, &crate::store::schema::encode(&2_u32));
    insta::assert_snapshot!(refused(&path), @"store STORE/leeward.redb has schema 2, which is newer than this agent's 1");
}

#[test]
fn a_store_with_records_of_a_later_format_is_refused_and_left_as_it_is() {
    let (_guard, path) = folder();
    commit_source(&open(&path).store, 5);
    write_schema(&path, b"\x02a format that nobody knows yet");
    insta::assert_snapshot!(refused(&path), @"store STORE/leeward.redb has record format 2, which is newer than this agent's 1");
}

#[test]
fn a_store_in_a_later_file_format_is_refused_and_left_as_it_is() {
    let (_guard, path) = folder();
    let file = path.join("leeward.redb");
    commit_source(&open(&path).store, 5);
    let mut bytes = fs::read(&file).unwrap();
    assert_eq!([bytes[64], bytes[192]], [3, 3], "redb's format; see FILE_FORMAT");
    bytes[64] = 4;
    fs::write(&file, &bytes).unwrap();
    // One slot alone is rot, and the other one still has the whole of the store.
    assert!(open(&path).recovered.is_some());

    bytes[192] = 4;
    fs::write(&file, &bytes).unwrap();
    insta::assert_snapshot!(refused(&path), @"store STORE/leeward.redb has file format 4, which is newer than this agent's 3");
}

#[test]
fn every_page_is_checked_after_three_starts_that_did_not_end() {
    let (_guard, path) = folder();
    let file = path.join("leeward.redb");
    let store = open(&path).store;
    let blobs: Vec<_> = (0..3000).map(|number| blob(&format!("blob {number}"))).collect();
    store.write(&blobs).unwrap();
    drop(store);
    // Rot in the middle of the file, where a leaf of the objects is.
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(8).position(|window| window == b"blob 150").unwrap();
    bytes[at] ^= 0xFF;
    fs::write(&file, bytes).unwrap();
    assert_eq!(open(&path).recovered, None);
    fs::write(path.join("leeward.unclean"), "3\n").unwrap();
    assert!(open(&path).recovered.unwrap().set_aside.exists());
}

#[test]
fn an_object_that_rotted_is_missing_and_can_be_written_again() {
    let (_guard, path) = folder();
    let file = path.join("leeward.redb");
    let rotten = blob("to be rotten");
    open(&path).store.write(std::slice::from_ref(&rotten)).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(12).position(|window| window == b"to be rotten").unwrap();
    bytes[at] ^= 0x01;
    fs::write(&file, bytes).unwrap();

    let store = open(&path).store;
    assert_eq!(store.read(rotten.id).unwrap(), None);
    store.write(std::slice::from_ref(&rotten)).unwrap();
    assert_eq!(store.read(rotten.id).unwrap(), Some((rotten.kind, rotten.data)));
}

#[test]
fn ballast_is_taken_once_and_thrown_once() {
    let (_guard, path) = folder();
    let store = open(&path).store;
    let ballast = path.join("leeward.ballast");
    assert!(!ballast.exists());
    store.write(&[blob("one")]).unwrap();
    assert_eq!(fs::metadata(&ballast).unwrap().len(), 1024 * 1024);
    assert!(store.throw_ballast());
    assert!(!store.throw_ballast() && !ballast.exists());
    store.write(&[blob("two")]).unwrap();
    assert!(ballast.exists());
}
