//! A small repository, of which pieces are taken away.

use super::*;
use crate::git::{
    folder::{DEPTH_MAX, parse_path},
    hash_object,
    memory::Memory,
};

struct Repository {
    store: Memory,
    commit: Object,
    root: Object,
    clusters: Object,
    folder: Object,
    nested: Object,
    web: Object,
    deep: Object,
}

fn repository() -> Repository {
    let store = Memory::default();
    let web = store.add(ObjectType::Blob, b"kind: Service\n");
    let deep = store.add(ObjectType::Blob, b"kind: Secret\n");
    let foreign = hash_object(ObjectType::Blob, b"foreign").unwrap();
    let nested = store.tree(&[("100644", "deep.yaml", deep.id)]);
    let folder = store.tree(&[
        ("120000", "link", foreign),
        ("40000", "nested", nested.id),
        ("160000", "sub", foreign),
        ("100644", "web.yaml", web.id),
    ]);
    let clusters = store.tree(&[("40000", "shop-1", folder.id), ("40000", "shop-2", foreign)]);
    let root = store.tree(&[("100644", "README", foreign), ("40000", "clusters", clusters.id)]);
    let commit = store.add(ObjectType::Commit, format!("tree {}\n\nx", root.id).as_bytes());
    Repository { store, commit, root, clusters, folder, nested, web, deep }
}

fn need(repository: &Repository, path: &str) -> Need {
    Missing::of(&repository.store, repository.commit.id, &parse_path(path)).unwrap().need()
}

const PATH: &str = "clusters/shop-1";

#[test]
fn a_whole_folder_needs_nothing_and_links_and_submodules_do_not_count() {
    let repository = repository();
    assert_eq!(need(&repository, PATH), Need::Nothing { tree: repository.folder.id });
}

#[test]
fn the_need_goes_down_from_the_commit_level_by_level() {
    let repository = repository();
    repository.store.remove(repository.web.id);
    let contents = |trees: &[GitId], blobs: &[GitId], salvaged: &[GitId]| Need::Contents {
        tree: repository.folder.id,
        trees: trees.to_vec(),
        blobs: blobs.to_vec(),
        salvaged: salvaged.to_vec(),
    };
    assert_eq!(need(&repository, PATH), contents(&[], &[repository.web.id], &[repository.deep.id]));
    repository.store.remove(repository.nested.id);
    assert_eq!(
        need(&repository, PATH),
        contents(&[repository.nested.id], &[repository.web.id], &[])
    );
    repository.store.remove(repository.folder.id);
    assert_eq!(need(&repository, PATH), contents(&[repository.folder.id], &[], &[]));
    repository.store.remove(repository.clusters.id);
    assert_eq!(need(&repository, PATH), Need::PathTree { level: 1, id: repository.clusters.id });
    repository.store.remove(repository.root.id);
    assert_eq!(need(&repository, PATH), Need::PathTree { level: 0, id: repository.root.id });
    repository.store.remove(repository.commit.id);
    assert_eq!(need(&repository, PATH), Need::Commit);
}

#[test]
fn a_vanished_folder_is_named_with_its_nearest_sibling() {
    let Need::NoFolder(fault) = need(&repository(), "clusters/shop-3") else { panic!() };
    assert_eq!(fault.to_string(), "folder `clusters` has no `shop-3`");
    let PathFault::NoEntry { nearest: Some(nearest), .. } = fault else { panic!() };
    assert!(nearest.starts_with("shop-"), "{nearest}");
}

#[test]
fn a_path_that_leads_to_a_file_or_link_is_no_folder() {
    let repository = repository();
    for (path, message) in [
        ("README", "`README` is a file, not a folder"),
        ("clusters/shop-1/link", "`clusters/shop-1/link` is a symbolic link, not a folder"),
        ("clusters/shop-1/sub/x", "`clusters/shop-1/sub` is a submodule, not a folder"),
    ] {
        let Need::NoFolder(fault) = need(&repository, path) else { panic!("{path}") };
        assert_eq!(fault.to_string(), message);
    }
}

#[test]
fn the_root_of_the_repository_is_a_folder_too() {
    let repository = repository();
    repository.store.remove(repository.root.id);
    assert!(
        matches!(need(&repository, ""), Need::Contents { trees, .. } if trees == [repository.root.id])
    );
}

#[test]
fn arriving_objects_are_claimed_in_whatever_order_they_come() {
    let repository = repository();
    let all = [
        &repository.commit,
        &repository.root,
        &repository.clusters,
        &repository.folder,
        &repository.nested,
        &repository.web,
        &repository.deep,
    ];
    let empty = Memory::default();
    let path = parse_path(PATH);
    let mut missing = Missing::of(&empty, repository.commit.id, &path).unwrap();
    // Children first: each is foreign until its parent is in.
    let mut waiting: Vec<&Object> = all.into_iter().rev().collect();
    let mut rounds = 0;
    while !waiting.is_empty() {
        waiting.retain(|object| missing.accept(&empty, object).unwrap().is_none());
        rounds += 1;
        assert!(rounds < 10);
    }
    assert!(missing.is_path_known());
    assert_eq!(missing.need(), Need::Nothing { tree: repository.folder.id });
}

#[test]
fn a_folder_with_a_forbidden_name_is_refused() {
    let repository = repository();
    let store = &repository.store;
    let bad = store.tree(&[("40000", ".git", repository.nested.id)]);
    let root = store.tree(&[("40000", "a", bad.id)]);
    let commit = store.add(ObjectType::Commit, format!("tree {}\n", root.id).as_bytes());
    let error = Missing::of(store, commit.id, &parse_path("a")).unwrap_err();
    assert!(matches!(error, WalkError::Object { id, source: TreeError::Name(_) } if id == bad.id));
}

#[test]
fn folders_nested_without_end_are_refused() {
    let store = Memory::default();
    let mut tree = store.tree::<&str>(&[]);
    for _ in 0..=DEPTH_MAX {
        tree = store.tree(&[("40000", "a", tree.id)]);
    }
    let commit = store.add(ObjectType::Commit, format!("tree {}\n", tree.id).as_bytes());
    let error = Missing::of(&store, commit.id, &[]).unwrap_err();
    assert_eq!(error.to_string(), "the folder is nested deeper than 64");
}
