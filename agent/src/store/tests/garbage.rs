//! What nothing refers to goes, and nothing else.

use leeward_core::git::Objects as _;

use super::*;
use crate::store::Batch;

/// A tree of one blob and maybe a folder, as Git encodes it.
fn tree(file: &Object, folder: Option<&Object>) -> Object {
    let mut data = b"100644 a.yaml\0".to_vec();
    data.extend_from_slice(file.id.as_bytes());
    if let Some(folder) = folder {
        data.extend_from_slice(b"40000 sub\0");
        data.extend_from_slice(folder.id.as_bytes());
    }
    object(ObjectType::Tree, &data)
}

fn commit(tree: &Object) -> Object {
    let text = format!("tree {}\nauthor a <a> 0 +0000\ncommitter a <a> 0 +0000\n\nx\n", tree.id);
    object(ObjectType::Commit, text.as_bytes())
}

#[test]
fn objects_reached_from_a_commit_or_a_tree_are_kept() {
    let store = memory();
    let (one, two, three) = (blob("one"), blob("two"), blob("three"));
    let inner = tree(&two, None);
    let outer = tree(&one, Some(&inner));
    let root = commit(&outer);
    let other = tree(&three, None);
    let stale = tree(&blob("not there"), None);
    let kept = [&one, &two, &three, &inner, &outer, &root, &other];
    store.write(&kept.map(Clone::clone)).unwrap();
    store.write(&[stale.clone(), blob("stale")]).unwrap();

    let collected = store.collect(&[root.id, other.id, id(404)], &[]).unwrap();
    assert_eq!((collected.kept, collected.removed), (7, 2));
    assert!(kept.iter().all(|object| store.contains(object.id).unwrap()));
    assert!(!store.contains(stale.id).unwrap());
}

#[test]
fn history_names_author_and_subject_while_the_commit_is_kept_without_its_tree() {
    let store = memory();
    let outer = tree(&blob("one"), None);
    let root = commit(&outer);
    store.write(&[root.clone(), outer.clone(), blob("one")]).unwrap();
    let line = RevisionRecord { commit: root.id, ..revision("shop", 1) };
    store.commit(Batch { revisions: vec![line], ..Batch::default() }).unwrap();
    let by = || {
        let line = store.history(Some("shop"), 10).unwrap().remove(0);
        (line.author, line.subject)
    };
    store.collect(&[], &[root.id]).unwrap();
    assert!(!store.contains(outer.id).unwrap());
    assert_eq!(by(), (Some("a".to_owned()), Some("x".to_owned())));
    store.collect(&[], &[]).unwrap();
    assert_eq!(by(), (None, None));
}

#[test]
fn a_collection_that_finds_nothing_writes_nothing() {
    let store = memory();
    let root = tree(&blob("one"), None);
    store.write(&[root.clone(), blob("one")]).unwrap();
    let before = store.written_bytes();
    store.collect(&[root.id], &[]).unwrap();
    assert_eq!(store.written_bytes(), before);
}

#[test]
fn thousands_of_objects_are_collected_in_steps_and_the_file_shrinks() {
    let (_guard, path) = folder();
    let store = open(&path).store;
    let mut chance = crate::store::faulty::Chance(7);
    let mut noise = || (0..512).flat_map(|_| chance.next().to_le_bytes()).collect::<Vec<u8>>();
    for _ in 0..5 {
        let objects: Vec<_> = (0..1000).map(|_| object(ObjectType::Blob, &noise())).collect();
        store.write(&objects).unwrap();
    }
    assert!(store.collection_is_due().unwrap());
    let kept = blob("kept");
    store.write(std::slice::from_ref(&kept)).unwrap();
    let before = store.size().bytes;
    let collected = store.collect(&[kept.id], &[]).unwrap();
    assert_eq!((collected.kept, collected.removed, collected.compacted), (1, 5000, true));
    assert!(store.size().bytes < before / 10, "{} of {before}", store.size().bytes);
    assert!(store.contains(kept.id).unwrap());
    assert!(!store.collection_is_due().unwrap());
    store.begin_boot().unwrap();
}

#[test]
fn a_full_budget_refuses_objects_but_not_records() {
    let store = Store::open_on(FaultyDisk::new(), 1024 * 1024).unwrap().store;
    let mut chance = crate::store::faulty::Chance(7);
    let mut noise = || (0..1024).flat_map(|_| chance.next().to_le_bytes()).collect::<Vec<u8>>();
    let error = loop {
        if let Err(error) = store.write(&[object(ObjectType::Blob, &noise())]) {
            break error;
        }
    };
    insta::assert_snapshot!(error, @"store (memory) is full: Git objects would take 802816 of 786432 bytes");
    for number in 0..200 {
        let events = vec![event(EventKind::AppGood, &number.to_string())];
        store.commit(crate::store::Batch { events, ..Default::default() }).unwrap();
    }
    store.collect(&[], &[]).unwrap();
    store.write(&[object(ObjectType::Blob, &noise())]).unwrap();
}

#[test]
fn objects_that_find_no_room_have_the_garbage_taken_out() {
    let (_guard, path) = folder();
    let store = Store::open(&path, 1 << 20).unwrap().store;
    let mut chance = crate::store::faulty::Chance(7);
    let mut noise =
        |words: usize| (0..words).flat_map(|_| chance.next().to_le_bytes()).collect::<Vec<u8>>();
    let stale = object(ObjectType::Blob, &noise(60_000));
    let fresh = object(ObjectType::Blob, &noise(60_000));
    store.write(std::slice::from_ref(&stale)).unwrap();
    assert!(!store.wants_room());
    assert!(matches!(
        store.write(std::slice::from_ref(&fresh)),
        Err(crate::store::StoreError::Full { .. })
    ));
    assert!(store.wants_room() && store.collection_is_due().unwrap());
    store.collect(&[], &[]).unwrap();
    store.write(&[fresh]).unwrap();
    assert!(!store.wants_room());
}
