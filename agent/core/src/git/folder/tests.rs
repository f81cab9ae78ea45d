//! Claims about the walk, on trees in memory.

use super::*;
use crate::git::memory::Memory;

fn listing(store: &Memory, tree: GitId) -> Result<Vec<Listed>, (String, String)> {
    let shown = |(path, error): (String, WalkError<_>)| (path, error.to_string());
    walk(store, tree).collect::<Result<_, _>>().map_err(shown)
}

#[test]
fn a_walk_gives_every_file_with_its_path_in_the_order_of_the_trees() {
    let store = Memory::default();
    let blob = store.add(ObjectType::Blob, b"text").id;
    let nested = store.tree(&[("100644", "deep.yaml", blob)]).id;
    let root = store.tree(&[
        ("120000", "link", blob),
        ("40000", "nested", nested),
        ("160000", "sub", blob),
        ("100644", "web.yaml", blob),
    ]);
    let listed = listing(&store, root.id).unwrap();
    let paths: Vec<_> = listed.iter().map(|listed| listed.path.as_str()).collect();
    assert_eq!(paths, ["link", "nested/deep.yaml", "sub", "web.yaml"]);
    let modes: Vec<_> = listed.iter().map(|listed| listed.mode).collect();
    let file = EntryMode::File { executable: false };
    assert_eq!(modes, [EntryMode::Symlink, file, EntryMode::Submodule, file]);
}

#[test]
fn a_name_that_leads_elsewhere_ends_the_walk_with_its_folder() {
    let store = Memory::default();
    let blob = store.add(ObjectType::Blob, b"text").id;
    for name in [&b".."[..], b".", b"", b".git", b".GIT", b"a/b", b"\xff"] {
        let inner = store.tree(&[("100644", name, blob)]).id;
        let root = store.tree(&[("40000", "in", inner)]).id;
        let mut walk = walk(&store, root);
        let (folder, error) = walk.next().unwrap().unwrap_err();
        let WalkError::Object { id, source } = error else { panic!("{error}") };
        assert!(matches!(source, TreeError::Name(_) | TreeError::NameNotText(_)));
        assert_eq!(id, inner);
        assert_eq!(folder, "in");
        assert!(walk.next().is_none());
    }
}

#[test]
fn depth_and_number_of_entries_are_bounded() {
    let store = Memory::default();
    let blob = store.add(ObjectType::Blob, b"text").id;
    let nested = |levels: usize| {
        let innermost = store.tree(&[("100644", "a", blob)]).id;
        (0..levels).fold(innermost, |below, _| store.tree(&[("40000", "d", below)]).id)
    };
    assert_eq!(listing(&store, nested(DEPTH_MAX)).unwrap().len(), 1);
    let (folder, error) = listing(&store, nested(DEPTH_MAX + 1)).unwrap_err();
    assert_eq!(folder.split('/').count(), DEPTH_MAX + 1);
    assert_eq!(error, "the folder is nested deeper than 64");
    // The same tree twice: the listing doubles at each level.
    let wide = (0..15)
        .fold(nested(0), |below, _| store.tree(&[("40000", "a", below), ("40000", "b", below)]).id);
    let (_, error) = listing(&store, wide).unwrap_err();
    assert_eq!(error, "the folder holds more than 20000 files and folders");
}

#[test]
fn a_folder_is_found_by_its_path_and_nothing_else_is() {
    let store = Memory::default();
    let blob = store.add(ObjectType::Blob, b"text").id;
    let inner = store.tree::<&str>(&[]).id;
    let root = store.tree(&[("40000", "a", inner), ("100644", "b.yaml", blob)]).id;
    let found = |path: &str| subtree(&store, root, &parse_path(path));
    assert_eq!(found("a").unwrap(), Some(inner));
    assert_eq!(found("").unwrap(), Some(root));
    assert_eq!(found("b.yaml").unwrap(), None);
    assert_eq!(found("a/b").unwrap(), None);
    store.remove(inner);
    assert!(matches!(found("a/b").unwrap_err(), WalkError::Absent { id } if id == inner));
}

#[test]
fn a_commit_of_which_the_store_lacks_a_part_leads_to_no_folder() {
    let store = Memory::default();
    let folder = store.tree::<&str>(&[]).id;
    let root = store.tree(&[("40000", "a", folder)]).id;
    let commit = store.add(ObjectType::Commit, format!("tree {root}\n").as_bytes()).id;
    let found = |path: &str| subtree_at(&store, commit, &parse_path(path)).unwrap();
    assert_eq!(found("a"), Some(folder));
    assert_eq!(found("b"), None);
    store.remove(root);
    assert_eq!(found("a"), None);
    store.remove(commit);
    assert_eq!(found(""), None);
}
