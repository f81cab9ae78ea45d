//! Files as one kustomization may see them, and the way that led to it.

use std::{cell::RefCell, rc::Rc};

use leeward_yaml::{self as yaml, Dialect, Documents, Duplicates, Node};

use crate::{
    budget::Budget,
    error::{Outcome, Problem},
    files::{Files, Found, is_within, join, parent},
    schema::{Schema, Scopes},
};

/// Which files a kustomization may read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadRestrictor {
    /// Those in and below its own folder.
    #[default]
    Root,
    /// All.
    None,
}

/// What all kustomizations of a build share.
pub(crate) struct Session<'f> {
    pub(crate) files: &'f dyn Files,
    pub(crate) budget: Budget,
    pub(crate) restrictor: LoadRestrictor,
    /// A document that a kustomization brought; the first one counts.
    pub(crate) schema: RefCell<Option<Rc<Schema>>>,
    pub(crate) scopes: RefCell<Rc<Scopes>>,
}

impl Session<'_> {
    pub(crate) fn scopes(&self) -> Rc<Scopes> {
        Rc::clone(&self.scopes.borrow())
    }

    /// Asks the document of the kustomization, or the one that is built in.
    pub(crate) fn with_schema<T>(&self, ask: impl FnOnce(&Schema) -> T) -> T {
        let custom = self.schema.borrow().clone();
        match custom {
            Some(schema) => ask(&schema),
            None => ask(crate::schema::builtin()),
        }
    }
}

/// The folder of one kustomization.
#[derive(Clone)]
pub(crate) struct Loader<'s, 'f> {
    pub(crate) session: &'s Session<'f>,
    pub(crate) root: String,
    /// The folders of the kustomizations that led here, the outermost first.
    visited: Vec<String>,
}

/// A file that was read.
pub(crate) struct Loaded {
    pub(crate) bytes: Vec<u8>,
    /// What people call it.
    pub(crate) file: String,
}

impl<'s, 'f> Loader<'s, 'f> {
    pub(crate) fn new(session: &'s Session<'f>, root: String) -> Self {
        Self { session, root, visited: Vec::new() }
    }

    pub(crate) fn depth(&self) -> usize {
        self.visited.len()
    }

    pub(crate) fn shown(&self, path: &str) -> String {
        self.session.files.shown(path)
    }

    /// What a reference of this kustomization leads to, and what it is called.
    fn look(&self, reference: &str) -> Outcome<(Found, String)> {
        let Some(path) = join(&self.root, reference) else {
            let path = format!("{}/{reference}", self.shown(&self.root));
            return Err(Problem::NotFetched { path }.into());
        };
        let found = self.session.files.look(&path).map_err(|error| {
            let path = self.shown(&path);
            Box::from(if error.missing {
                Problem::NotArrived { path }
            } else {
                Problem::Unreadable { path, message: error.message }
            })
        })?;
        Ok((found, path))
    }

    /// Reads a file that a field refers to.
    pub(crate) fn load(&self, field: &str, reference: &str) -> Outcome<Loaded> {
        if is_url(reference) {
            let (field, reference) = (field.to_owned(), reference.to_owned());
            return Err(Problem::Remote { field, reference }.into());
        }
        match self.look(reference)? {
            (Found::File(path), _) => self.read(&path),
            (Found::Folder(_), path) => {
                let path = self.shown(&path);
                let message = "it is a folder, and must be a file".to_owned();
                Err(Problem::Unreadable { path, message }.into())
            }
            (Found::Nothing, path) => Err(Problem::Missing { path: self.shown(&path) }.into()),
        }
    }

    /// Reads a file by its real path.
    pub(crate) fn read(&self, path: &str) -> Outcome<Loaded> {
        let file = self.shown(path);
        if self.session.restrictor == LoadRestrictor::Root && !is_within(parent(path), &self.root) {
            return Err(Problem::Outside { path: file, root: self.shown(&self.root) }.into());
        }
        let bytes = self.session.files.read(path).map_err(|error| {
            let path = file.clone();
            Box::<crate::BuildError>::from(if error.missing {
                Problem::NotArrived { path }
            } else {
                Problem::Unreadable { path, message: error.message }
            })
        })?;
        self.session.budget.file(bytes.len()).map_err(|error| error.at(&file, None))?;
        Ok(Loaded { bytes, file })
    }

    /// What a resource refers to: a file to read, or a folder to build.
    pub(crate) fn resolve(&self, field: &str, reference: &str) -> Outcome<Found> {
        if !is_url(reference) {
            let (found, path) = self.look(reference)?;
            if found != Found::Nothing {
                return Ok(found);
            }
            if !is_git(reference) {
                return Err(Problem::Missing { path: self.shown(&path) }.into());
            }
        }
        let (field, reference) = (field.to_owned(), reference.to_owned());
        Err(Problem::Remote { field, reference }.into())
    }

    /// The loader of a kustomization that this one refers to.
    pub(crate) fn enter(&self, root: String) -> Outcome<Self> {
        let mut visited = self.visited.clone();
        visited.push(self.root.clone());
        if let Some(first) = visited.iter().rev().find(|visited| is_within(visited, &root)) {
            let (folder, visited) = (self.shown(&root), self.shown(first));
            return Err(Problem::Cycle { folder, visited }.into());
        }
        let inner = Self { session: self.session, root, visited };
        self.session.budget.kustomization(inner.depth())?;
        Ok(inner)
    }

    /// Reads configuration, the last of equal keys counting. Only the first document does.
    pub(crate) fn parse(&self, loaded: &Loaded) -> Outcome<Option<Node>> {
        parse(&loaded.bytes, Duplicates::LastWins, self.session.budget.limits.yaml)
            .map_err(|error| error.at(&loaded.file, None))
    }

    /// Reads configuration in which no key may stand twice.
    pub(crate) fn parse_strictly(&self, loaded: &Loaded) -> Outcome<Option<Node>> {
        parse(&loaded.bytes, Duplicates::Refused, self.session.budget.limits.yaml)
            .map_err(|error| error.at(&loaded.file, None))
    }
}

pub(crate) fn parse(
    bytes: &[u8],
    duplicates: Duplicates,
    limits: yaml::Limits,
) -> Outcome<Option<Node>> {
    let documents = Documents::new(bytes, Dialect::Kubernetes, limits)?;
    match documents.with_duplicates(duplicates).next() {
        None => Ok(None),
        Some(Ok(node)) => Ok(Some(node)),
        Some(Err(errors)) => Err(errors
            .into_iter()
            .next()
            .map_or_else(|| Problem::Empty.into(), Box::<crate::BuildError>::from)),
    }
}

fn is_url(reference: &str) -> bool {
    reference.starts_with("http://") || reference.starts_with("https://")
}

/// The forms of Git URLs that upstream clones.
fn is_git(reference: &str) -> bool {
    let lower = reference.to_ascii_lowercase();
    lower.contains("://")
        || lower.starts_with("git::")
        || lower.starts_with("gh:")
        || lower.contains("?ref=")
        || lower.contains(".git")
        || ["github.com/", "github.com:", "git@"].iter().any(|start| lower.starts_with(start))
}
