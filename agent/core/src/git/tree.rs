//! Reading trees, commits and tags, as far as the way to a folder needs them.

use jiff::Timestamp;

use crate::{git::ObjectType, model::GitId};

/// The type of a tree's entry. Modes of old and broken writers count as plain files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryMode {
    Folder,
    File {
        executable: bool,
    },
    /// Never followed.
    Symlink,
    /// A submodule, which is a commit of a different repository; never fetched.
    Submodule,
}

/// One entry, borrowed from its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeEntry<'a> {
    pub mode: EntryMode,
    pub name: &'a [u8],
    pub id: GitId,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    #[error("tree ends in the middle of an entry")]
    Truncated,
    #[error("tree holds an entry with mode `{0}`")]
    Mode(String),
    #[error("tree holds the forbidden name `{0}`")]
    Name(String),
    #[error("tree holds the name `{0}`, which is not UTF-8")]
    NameNotText(String),
    #[error("commit has no `{0}` line")]
    NoLine(&'static str),
}

/// The entries of a tree, in its order.
pub fn parse_tree(mut data: &[u8]) -> impl Iterator<Item = Result<TreeEntry<'_>, TreeError>> {
    std::iter::from_fn(move || {
        if data.is_empty() {
            return None;
        }
        let entry = split_entry(data);
        data = entry.as_ref().map_or(&[], |(_, rest)| *rest);
        Some(entry.map(|(entry, _)| entry))
    })
}

/// Returns the first entry of a tree, and what is behind it.
fn split_entry(data: &[u8]) -> Result<(TreeEntry<'_>, &[u8]), TreeError> {
    let (mode, name, id, rest) = split_fields(data)?;
    Ok((TreeEntry { mode: parse_mode(mode)?, name, id }, rest))
}

type Fields<'d> = (&'d [u8], &'d [u8], GitId, &'d [u8]);

/// Returns mode, name and id of the first entry of a tree, and what is behind it.
fn split_fields(data: &[u8]) -> Result<Fields<'_>, TreeError> {
    let space = data.iter().take(8).position(|byte| *byte == b' ').ok_or(TreeError::Truncated)?;
    let (mode, rest) = (&data[..space], &data[space + 1..]);
    let zero = rest.iter().position(|byte| *byte == 0).ok_or(TreeError::Truncated)?;
    let (name, rest) = (&rest[..zero], &rest[zero + 1..]);
    let (id, rest) = rest.split_at_checked(20).ok_or(TreeError::Truncated)?;
    let id = GitId::from_bytes(id).ok_or(TreeError::Truncated)?;
    Ok((mode, name, id, rest))
}

/// The objects that an object refers to and that may be in the store, with whether each is a
/// blob for certain: trees of commits, targets of tags, entries of trees but for submodules.
///
/// This decides what is thrown away, so it is more lenient than any other reader: a mode that
/// nobody knows may be that of a folder. What cannot be parsed refers to nothing. It was hashed
/// when it came, so it is what somebody wrote.
pub fn referred_to(kind: ObjectType, mut data: &[u8]) -> Vec<(GitId, bool)> {
    match kind {
        ObjectType::Blob => Vec::new(),
        ObjectType::Commit => commit_of(data).ok().map(|c| (c.tree, false)).into_iter().collect(),
        ObjectType::Tag => first_id(data, b"object ").map(|id| (id, false)).into_iter().collect(),
        ObjectType::Tree => {
            let mut found = Vec::new();
            while let Ok((mode, _, id, rest)) = split_fields(data) {
                match parse_mode(mode) {
                    Ok(EntryMode::Submodule) => {}
                    Ok(EntryMode::File { .. } | EntryMode::Symlink) => found.push((id, true)),
                    Ok(EntryMode::Folder) | Err(_) => found.push((id, false)),
                }
                data = rest;
            }
            found
        }
    }
}

fn parse_mode(mode: &[u8]) -> Result<EntryMode, TreeError> {
    match mode {
        b"40000" | b"040000" => Ok(EntryMode::Folder),
        b"120000" => Ok(EntryMode::Symlink),
        b"160000" => Ok(EntryMode::Submodule),
        [b'1', b'0', b'0', permissions @ ..] if permissions.len() == 3 => {
            Ok(EntryMode::File { executable: permissions[0] & 1 == 1 })
        }
        other => Err(TreeError::Mode(other.escape_ascii().to_string())),
    }
}

/// Returns a name as text. Refuses names that no honest tree holds and that could lead
/// out of a folder, and names that cannot be shown to anybody as they are.
pub(super) fn checked_name(name: &[u8]) -> Result<&str, TreeError> {
    let forbidden = matches!(name, b"" | b"." | b"..")
        || name.eq_ignore_ascii_case(b".git")
        || name.contains(&b'/');
    let shown = || name.escape_ascii().to_string();
    if forbidden {
        return Err(TreeError::Name(shown()));
    }
    str::from_utf8(name).map_err(|_| TreeError::NameNotText(shown()))
}

/// The parts of a commit that finding a folder needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub tree: GitId,
    pub parents: Vec<GitId>,
}

/// Reads the first lines of a commit.
pub fn commit_of(data: &[u8]) -> Result<Commit, TreeError> {
    let mut lines = data.split(|byte| *byte == b'\n');
    let tree =
        lines.next().and_then(|line| id_after(line, b"tree ")).ok_or(TreeError::NoLine("tree"))?;
    let parents = lines.map_while(|line| id_after(line, b"parent ")).collect();
    Ok(Commit { tree, parents })
}

/// The tree that holds nothing; no server ever sends it.
pub const EMPTY_TREE: GitId = GitId::new([
    0x4b, 0x82, 0x5d, 0xc6, 0x42, 0xcb, 0x6e, 0xb9, 0xa0, 0x60, 0xe5, 0x4b, 0xf8, 0xd6, 0x92, 0x88,
    0xfb, 0xee, 0x49, 0x04,
]);

/// When a commit was made, by its committer's clock; `None` when it does not say.
pub fn committed_at(commit: &[u8]) -> Option<Timestamp> {
    let line = commit.split(|byte| *byte == b'\n').find_map(|l| l.strip_prefix(b"committer "))?;
    let mut words = std::str::from_utf8(line).ok()?.rsplit(' ');
    let seconds = words.nth(1)?.parse().ok()?;
    Timestamp::from_second(seconds).ok()
}

/// The id on the first line, behind a word.
fn first_id(data: &[u8], word: &[u8]) -> Option<GitId> {
    id_after(data.split(|byte| *byte == b'\n').next()?, word)
}

fn id_after(line: &[u8], word: &[u8]) -> Option<GitId> {
    std::str::from_utf8(line.strip_prefix(word)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(mode: &str, name: &str) -> Vec<u8> {
        [mode.as_bytes(), b" ", name.as_bytes(), &[0], &[7; 20]].concat()
    }

    #[test]
    fn a_tree_tells_folders_files_links_and_submodules_apart() {
        let tree = [
            entry("40000", "a"),
            entry("100644", "b"),
            entry("100755", "c"),
            entry("120000", "d"),
            entry("160000", "e"),
        ]
        .concat();
        let modes: Vec<_> = parse_tree(&tree).map(|entry| entry.unwrap().mode).collect();
        assert_eq!(
            modes,
            [
                EntryMode::Folder,
                EntryMode::File { executable: false },
                EntryMode::File { executable: true },
                EntryMode::Symlink,
                EntryMode::Submodule,
            ]
        );
    }

    #[test]
    fn names_that_lead_out_of_a_folder_are_refused() {
        for name in ["", ".", "..", ".git", ".GIT", "a/b"] {
            assert!(checked_name(name.as_bytes()).is_err(), "{name}");
        }
        assert_eq!(checked_name(b".gitignore"), Ok(".gitignore"));
        assert_eq!(checked_name(b"a\xff"), Err(TreeError::NameNotText(r"a\xff".into())));
    }

    #[test]
    fn a_cut_tree_is_an_error_and_ends() {
        let tree = entry("40000", "a");
        for length in 1..tree.len() {
            let read: Vec<_> = parse_tree(&tree[..length]).collect();
            assert_eq!(read, [Err(TreeError::Truncated)], "{length}");
        }
    }

    #[test]
    fn an_object_refers_to_all_but_submodules_whatever_their_modes_and_names() {
        let tree = [
            entry("40000", "a"),
            entry("100644", "\u{1}/.."),
            entry("120000", "d"),
            entry("160000", "e"),
            entry("777", "f"),
            b"40000 cut".to_vec(),
        ]
        .concat();
        let blobs: Vec<bool> =
            referred_to(ObjectType::Tree, &tree).iter().map(|(_, is_blob)| *is_blob).collect();
        assert_eq!(blobs, [false, true, true, false]);
        let one = "1".repeat(40);
        for (kind, text) in [
            (ObjectType::Commit, format!("tree {one}\nparent {one}\n")),
            (ObjectType::Tag, format!("object {one}\ntype tree\n")),
        ] {
            assert_eq!(referred_to(kind, text.as_bytes()), [(one.parse().unwrap(), false)]);
            assert_eq!(referred_to(kind, b"else"), []);
        }
    }

    #[test]
    fn a_commit_gives_its_tree_and_every_parent() {
        let one = "1".repeat(40);
        let two = "2".repeat(40);
        let text = format!("tree {one}\nparent {two}\nparent {one}\nauthor parent\n\nparent {two}");
        assert_eq!(
            commit_of(text.as_bytes()).unwrap(),
            Commit {
                tree: one.parse().unwrap(),
                parents: vec![two.parse().unwrap(), one.parse().unwrap()]
            }
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(0_u8.., 0..200)) {
            proptest::prop_assert!(parse_tree(&bytes).count() <= bytes.len());
            drop(commit_of(&bytes));
            for kind in [ObjectType::Commit, ObjectType::Tree, ObjectType::Tag, ObjectType::Blob] {
                proptest::prop_assert!(referred_to(kind, &bytes).len() <= bytes.len());
            }
        }
    }
}
