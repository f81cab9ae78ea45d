//! A Git tree in the store, seen as a folder of files.
//!
//! Symbolic links and submodules do not exist here: neither may lead a reader
//! out of the folder.

use std::{cell::OnceCell, collections::BTreeMap};

use gix_object::{TreeRefIter, tree::EntryKind};

use super::{Around, Boundary, FileError, Files, Found, path::join};
use crate::{
    git::{ObjectType, Objects, git_id},
    model::GitId,
};

/// Files and folders below one tree; an app of a small cluster has hundreds.
const ENTRIES_MAX: usize = 20_000;

/// Levels of folders: no repository that people work with has half of it.
const DEPTH_MAX: usize = 64;

/// [`Files`] of a tree. The tree is walked once, at the first use.
#[derive(Debug)]
pub struct TreeFiles<'a, O> {
    objects: &'a O,
    /// Trees by the folder that they are shown as; one that is empty for the root.
    trees: BTreeMap<String, GitId>,
    prefix: String,
    around: Option<(String, Box<Self>, Boundary)>,
    blobs: OnceCell<BTreeMap<String, GitId>>,
}

impl<'a, O: Objects> TreeFiles<'a, O> {
    /// `tree` is the folder; nothing is read yet.
    pub fn new(objects: &'a O, tree: GitId) -> Self {
        Self::of(objects, BTreeMap::from([(String::new(), tree)]))
    }

    fn of(objects: &'a O, trees: BTreeMap<String, GitId>) -> Self {
        Self { objects, trees, prefix: String::new(), around: None, blobs: OnceCell::new() }
    }

    /// Lets kustomizations see more of the repository: the folder is at `at`
    /// in it, the others are where their names say, and nothing is beyond the boundary.
    #[must_use]
    pub fn within(mut self, at: &str, others: BTreeMap<String, GitId>, boundary: Boundary) -> Self {
        let others = Self::of(self.objects, others);
        self.around = Some((at.trim_matches('/').to_owned(), Box::new(others), boundary));
        self
    }

    /// Names files to people as if they were below `folder`, as they are in the repository.
    #[must_use]
    pub fn shown_below(mut self, folder: &str) -> Self {
        folder.trim_matches('/').clone_into(&mut self.prefix);
        self
    }

    fn blobs(&self) -> Result<&BTreeMap<String, GitId>, FileError> {
        if let Some(blobs) = self.blobs.get() {
            return Ok(blobs);
        }
        let mut blobs = BTreeMap::new();
        for (folder, tree) in &self.trees {
            let found = walk(self.objects, *tree)?;
            blobs.extend(found.into_iter().map(|(path, id)| (join(folder, &path), id)));
        }
        Ok(self.blobs.get_or_init(|| blobs))
    }
}

impl<O: Objects> Files for TreeFiles<'_, O> {
    fn list(&self) -> Result<Vec<String>, FileError> {
        Ok(self.blobs()?.keys().cloned().collect())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        let id = self.blobs()?.get(path).ok_or_else(|| broken(path, "no such file"))?;
        object(self.objects, *id, ObjectType::Blob, path)
    }

    /// What cannot be read is as good as absent; whoever refers to it says so.
    fn look(&self, path: &str) -> Result<Found, FileError> {
        Ok(self.blobs().map_or(Found::Nothing, |blobs| Found::among(blobs, path)))
    }

    fn shown(&self, path: &str) -> String {
        join(&self.prefix, path)
    }

    fn around(&self) -> Option<Around<'_>> {
        let (at, others, boundary) = self.around.as_ref()?;
        Some(Around { at, others: &**others, boundary })
    }
}

/// The tree of the folder `path` below `tree`; `None` when there is no such
/// folder. An empty path is `tree` itself.
pub fn subtree<O: Objects>(
    objects: &O,
    tree: GitId,
    path: &str,
) -> Result<Option<GitId>, FileError> {
    let mut found = tree;
    let mut walked = String::new();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        let data = object(objects, found, ObjectType::Tree, &walked)?;
        let entry = entries(&data, &walked)?.into_iter().find(|entry| entry.name == segment);
        match entry {
            Some(Entry { kind: EntryKind::Tree, id, .. }) => found = id,
            _ => return Ok(None),
        }
        walked = join(&walked, segment);
    }
    Ok(Some(found))
}

/// All blobs below a tree by path. Not recursive: depth is the sender's choice.
fn walk<O: Objects>(objects: &O, root: GitId) -> Result<BTreeMap<String, GitId>, FileError> {
    let mut blobs = BTreeMap::new();
    let mut open = vec![(String::new(), root, 0_usize)];
    let mut seen = 0_usize;
    while let Some((path, id, depth)) = open.pop() {
        if depth > DEPTH_MAX {
            return Err(broken(&path, &format!("folders are nested more than {DEPTH_MAX} deep")));
        }
        let data = object(objects, id, ObjectType::Tree, &path)?;
        for entry in entries(&data, &path)? {
            seen += 1;
            if seen > ENTRIES_MAX {
                let message = format!("more than {ENTRIES_MAX} files and folders");
                return Err(broken(&path, &message));
            }
            let below = join(&path, entry.name);
            match entry.kind {
                EntryKind::Tree => open.push((below, entry.id, depth + 1)),
                EntryKind::Blob | EntryKind::BlobExecutable => {
                    blobs.insert(below, entry.id);
                }
                EntryKind::Link | EntryKind::Commit => {}
            }
        }
    }
    Ok(blobs)
}

struct Entry<'d> {
    name: &'d str,
    kind: EntryKind,
    id: GitId,
}

/// The entries of one tree, its names checked as Git checks them on checkout.
fn entries<'d>(data: &'d [u8], path: &str) -> Result<Vec<Entry<'d>>, FileError> {
    TreeRefIter::from_bytes(data, gix_hash::Kind::Sha1)
        .map(|entry| {
            let entry = entry.map_err(|_| broken(path, "the Git tree is malformed"))?;
            let name = str::from_utf8(entry.filename)
                .map_err(|_| broken(path, "a file name is not UTF-8"))?;
            if matches!(name, "" | "." | "..")
                || name.eq_ignore_ascii_case(".git")
                || name.contains('/')
            {
                return Err(broken(path, &format!("{name:?} is not a name for a file")));
            }
            Ok(Entry { name, kind: entry.mode.kind(), id: git_id(entry.oid) })
        })
        .collect()
}

fn object<O: Objects>(
    objects: &O,
    id: GitId,
    wanted: ObjectType,
    path: &str,
) -> Result<Vec<u8>, FileError> {
    match objects.read(id) {
        Ok(Some((kind, data))) if kind == wanted => Ok(data),
        Ok(Some((kind, _))) => Err(broken(path, &format!("object {id} is a {kind}"))),
        Ok(None) => Err(FileError {
            path: path.to_owned(),
            message: format!("{wanted} {id} is not in the store"),
            missing: true,
        }),
        Err(error) => Err(broken(path, &format!("the store cannot be read: {error}"))),
    }
}

fn broken(path: &str, message: &str) -> FileError {
    FileError { path: path.to_owned(), message: message.to_owned(), missing: false }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, convert::Infallible};

    use super::*;
    use crate::git::Object;

    /// Objects by id, as a store has them.
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
            for object in objects {
                self.0.borrow_mut().insert(object.id, (object.kind, object.data.clone()));
            }
            Ok(())
        }
    }

    impl Memory {
        fn add(&self, kind: ObjectType, data: &[u8]) -> GitId {
            let git_kind = match kind {
                ObjectType::Tree => gix_object::Kind::Tree,
                _ => gix_object::Kind::Blob,
            };
            let id = gix_object::compute_hash(gix_hash::Kind::Sha1, git_kind, data).unwrap();
            self.0.borrow_mut().insert(git_id(&id), (kind, data.to_vec()));
            git_id(&id)
        }

        fn tree(&self, entries: &[(&str, &[u8], GitId)]) -> GitId {
            let mut data = Vec::new();
            for (mode, name, id) in entries {
                data.extend_from_slice(mode.as_bytes());
                data.push(b' ');
                data.extend_from_slice(name);
                data.push(0);
                data.extend_from_slice(id.as_bytes());
            }
            self.add(ObjectType::Tree, &data)
        }
    }

    #[test]
    fn files_are_listed_by_path_without_links_and_submodules() {
        let store = Memory::default();
        let blob = store.add(ObjectType::Blob, b"text");
        let inner = store.tree(&[("100755", b"run.sh", blob), ("120000", b"link", blob)]);
        let root = store.tree(&[
            ("100644", b"a.yaml", blob),
            ("40000", b"a", inner),
            ("160000", b"module", blob),
        ]);
        let files = TreeFiles::new(&store, root).shown_below("clusters/shop/");
        assert_eq!(files.list().unwrap(), ["a.yaml", "a/run.sh"]);
        assert_eq!(files.read("a/run.sh").unwrap(), b"text");
        assert_eq!(files.shown("a/run.sh"), "clusters/shop/a/run.sh");
        assert!(!files.read("a/link").unwrap_err().missing);
        assert_eq!(subtree(&store, root, "a").unwrap(), Some(inner));
        assert_eq!(subtree(&store, root, "").unwrap(), Some(root));
        assert_eq!(subtree(&store, root, "a.yaml").unwrap(), None);
        assert_eq!(subtree(&store, root, "a/b").unwrap(), None);
    }

    #[test]
    fn an_object_that_has_not_arrived_is_missing() {
        let store = Memory::default();
        let blob = store.add(ObjectType::Blob, b"text");
        let inner = store.tree(&[]);
        let root = store.tree(&[("40000", b"a", inner), ("100644", b"b", blob)]);
        store.0.borrow_mut().remove(&blob);
        let files = TreeFiles::new(&store, root);
        assert!(files.read("b").unwrap_err().missing);
        store.0.borrow_mut().remove(&inner);
        let error = TreeFiles::new(&store, root).list().unwrap_err();
        assert!(error.missing);
        assert_eq!(error.path, "a");
        assert!(subtree(&store, root, "a/b").unwrap_err().missing);
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let store = Memory::default();
        let blob = store.add(ObjectType::Blob, b"text");
        for name in [&b".."[..], b".", b"", b".git", b".GIT", b"a/b", b"\xff"] {
            let root = store.tree(&[("100644", name, blob)]);
            assert!(TreeFiles::new(&store, root).list().is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_tree_that_is_broken_or_no_tree_is_an_error() {
        let store = Memory::default();
        let broken = store.add(ObjectType::Tree, b"100644 a\0too short");
        let blob = store.add(ObjectType::Blob, b"text");
        let messages =
            [broken, blob].map(|id| TreeFiles::new(&store, id).list().unwrap_err().message);
        insta::assert_snapshot!(messages.join("\n"), @r"
        the Git tree is malformed
        object f3a34851d44d6b97c90fbb99dd3d18c261b9a237 is a blob
        ");
    }

    #[test]
    fn depth_and_number_of_entries_are_bounded() {
        let store = Memory::default();
        let blob = store.add(ObjectType::Blob, b"text");
        let mut deep = store.tree(&[("100644", b"a", blob)]);
        for _ in 0..70 {
            deep = store.tree(&[("40000", b"d", deep)]);
        }
        let mut wide = store.tree(&[("100644", b"a", blob)]);
        for _ in 0..15 {
            // Twice the same tree: the listing doubles at each level.
            wide = store.tree(&[("40000", b"a", wide), ("40000", b"b", wide)]);
        }
        let messages =
            [deep, wide].map(|id| TreeFiles::new(&store, id).list().unwrap_err().message);
        insta::assert_snapshot!(messages.join("\n"), @r"
        folders are nested more than 64 deep
        more than 20000 files and folders
        ");
    }
}
