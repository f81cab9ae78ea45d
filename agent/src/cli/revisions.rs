//! `leeward diff` of one folder at two revisions, or at one and in the working
//! tree: what a change does to the objects that the agent would apply.
//!
//! Needs a checkout and `git`; no configuration, daemon or cluster.

use std::collections::BTreeMap;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use leeward_core::{
    model::{AppName, Manifest, ObjectKey},
    plan::compare::compare,
    render::Found,
};
use leeward_kustomize::Files as _;
use leeward_wire::control::{Difference, ObjectDiff};

use super::{
    Session,
    arguments::DiffFlags,
    console::Console,
    declared::Rendering,
    diff::{Sides, answer},
    exit::{Exit, Failure},
    folder::Place,
    git::{Objects, Repository},
    machine::Machine,
    revision::Revision,
};

/// Names the files that are checked out, committed or not.
const WORKING_TREE: &str = "working tree";
/// Names the commit that `A...B` begins at.
const MERGE_BASE: &str = "merge base";
/// At the end of a name that Kustomize made of the content: `-` and this many characters.
const HASH_LENGTH: usize = 10;
/// The characters of such a hash.
const HASH_CHARACTERS: &str = "2456789bcdfghkmt";

/// What is compared with what.
pub(super) struct Range<'f> {
    pub(super) old: &'f str,
    /// The working tree when there is none.
    pub(super) new: Option<&'f str>,
    /// `A...B`: from the newest commit that both have in their history.
    pub(super) from_merge_base: bool,
}

impl<'f> Range<'f> {
    /// `A..B` or `A...B`; what is left out is `HEAD`, as for `git diff`.
    pub(super) fn parse(word: &'f str) -> Self {
        let (old, new) = word.split_once("..").unwrap_or((word, ""));
        let or_head = |revision: &'f str| if revision.is_empty() { "HEAD" } else { revision };
        let rest = new.strip_prefix('.');
        Self {
            old: or_head(old),
            new: Some(or_head(rest.unwrap_or(new))),
            from_merge_base: rest.is_some(),
        }
    }
}

pub(super) fn run(
    range: &Range<'_>,
    flags: &DiffFlags,
    session: &Session,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let rendering = Rendering::of(&flags.rendering, &session.invocation.flags)?;
    let start = flags.repository.as_deref().unwrap_or(".".into());
    let named = flags.path.as_deref().unwrap_or(".".into());
    let repository = Repository::around(start, &session.environment)?;
    let folder = inside(&repository, named)?;
    let objects = repository.objects()?;
    let (old, new) = revisions(range, &repository, &objects)?;
    let (machine, checked_out) = (Machine::from_here(), start.join(named));
    let old = Side::of_revision(&old, &folder)?;
    let new = match &new {
        Some(new) => Side::of_revision(new, &folder)?,
        None => Side::of_working_tree(&machine, &repository, &checked_out)?,
    };
    if old.folder.is_none() && new.folder.is_none() {
        let message = format!("no folder {named}, neither in {} nor in {}", old.name, new.name);
        return Err(Failure::new(Exit::NoInput, message)
            .with_hint("--path is relative to the current folder, or to --repository"));
    }
    for side in [&old, &new].into_iter().filter(|side| side.folder.is_none()) {
        console.note(&format!("there is no folder {named} in {}", side.name));
    }
    let app = app_of(&folder, &checked_out);
    let differences =
        differences(&old.declared(&rendering, &app)?, &new.declared(&rendering, &app)?);
    let sides = Sides { old: old.name, new: new.name, missing: "is added", surplus: "is removed" };
    answer(&differences, &sides, console, summary)
}

/// Where a folder lies in the repository, from its root.
fn inside(repository: &Repository<'_>, named: &Utf8Path) -> Result<String, Failure> {
    let outside = || {
        Failure::new(Exit::Usage, format!("the folder {named} is not in the repository"))
            .with_hint("--path is relative to the current folder, or to --repository")
    };
    let mut path = Utf8PathBuf::new();
    if named.is_absolute() {
        let root = repository.root()?;
        let real = named.canonicalize_utf8();
        let real = real.as_deref().unwrap_or(named);
        let below = named.strip_prefix(&root).or_else(|_| real.strip_prefix(&root));
        path.push(below.map_err(|_| outside())?);
    } else {
        path.push(&repository.prefix);
        path.push(named);
    }
    let mut segments = Vec::new();
    for component in path.components() {
        match component {
            Utf8Component::Normal(name) => segments.push(name),
            Utf8Component::ParentDir => {
                segments.pop().ok_or_else(outside)?;
            }
            _ => {}
        }
    }
    Ok(segments.join("/"))
}

/// The last segment, which names the app when nothing else does.
fn app_of(folder: &str, checked_out: &Utf8Path) -> String {
    let last = folder.rsplit('/').next().filter(|name| !name.is_empty());
    // The root of a repository is called as it is called here.
    let root = || checked_out.canonicalize_utf8().ok()?.file_name().map(str::to_owned);
    last.map(str::to_owned).or_else(root).unwrap_or_default()
}

/// Finds the revisions; no second one stands for the working tree.
fn revisions<'g>(
    range: &Range<'_>,
    repository: &Repository<'_>,
    objects: &'g Objects,
) -> Result<(Revision<'g>, Option<Revision<'g>>), Failure> {
    let unknown = |name: &str| {
        Failure::new(
            Exit::NoInput,
            format!("`{name}` is no revision of this repository, or not of it alone"),
        )
        .with_hint(
            "a clone may be shallow: `git fetch --deepen 1`, or `fetch-depth: 2` in a workflow",
        )
    };
    let revision = |name: &str| {
        let tree = objects.tree_of(name)?.ok_or_else(|| unknown(name))?;
        Ok::<_, Failure>(Revision { objects, tree, name: name.to_owned() })
    };
    let new = range.new.map(revision).transpose()?;
    let old = match range.new {
        Some(new) if range.from_merge_base => {
            let commit = |name: &str| objects.commit_of(name)?.ok_or_else(|| unknown(name));
            let base = repository.merge_base(commit(range.old)?, commit(new)?)?;
            Revision { name: MERGE_BASE.to_owned(), ..revision(&base.to_string())? }
        }
        _ => revision(range.old)?,
    };
    Ok((old, new))
}

/// One of the two that are compared.
struct Side<'p> {
    place: &'p dyn Place,
    /// What people call it.
    name: &'p str,
    /// `None` when the folder is not there.
    folder: Option<String>,
}

type Declarations = BTreeMap<(AppName, ObjectKey), Manifest>;

impl<'p> Side<'p> {
    fn of_revision(revision: &'p Revision<'p>, folder: &str) -> Result<Self, Failure> {
        let shown = revision.shown(folder);
        let bad = |message: String| Failure::new(Exit::BadInput, format!("{shown}: {message}"));
        let folder = match revision.look(folder).map_err(|error| bad(error.message))? {
            Found::Folder(real) => Some(real),
            Found::Nothing => None,
            Found::File(_) => return Err(bad("it is not a folder".to_owned())),
        };
        Ok(Self { place: revision, name: &revision.name, folder })
    }

    fn of_working_tree(
        machine: &'p Machine,
        repository: &Repository<'_>,
        folder: &Utf8Path,
    ) -> Result<Self, Failure> {
        if !repository.is_checkout {
            let message = "a bare repository has no working tree to compare with".to_owned();
            return Err(Failure::new(Exit::Usage, message)
                .with_hint("name two revisions: `leeward diff A B --path FOLDER`"));
        }
        let folder = match Machine::folder(folder) {
            Ok(folder) => Some(folder),
            Err(failure) if failure.exit == Exit::NoInput => None,
            Err(failure) => return Err(failure),
        };
        Ok(Self { place: machine, name: WORKING_TREE, folder })
    }

    /// What the folder declares; nothing when it is not there.
    fn declared(&self, rendering: &Rendering, app: &str) -> Result<Declarations, Failure> {
        let mut declarations = Declarations::new();
        let Some(folder) = &self.folder else { return Ok(declarations) };
        for (app, manifests) in rendering.declared(self.place, folder, app)?.by_app(app)? {
            declarations.extend(
                manifests
                    .into_iter()
                    .map(|manifest| ((app.clone(), manifest.key.clone()), manifest)),
            );
        }
        Ok(declarations)
    }
}

/// Sorted by app and object. An object is missing when only `new` declares it,
/// and surplus when only `old` does.
fn differences(old: &Declarations, new: &Declarations) -> Vec<ObjectDiff> {
    let renamed = renamed(old, new);
    let mut differences = BTreeMap::new();
    let mut differs = |(app, key): &(AppName, ObjectKey), difference| {
        let diff = ObjectDiff { app: app.clone(), object: key.to_string(), difference };
        differences.insert((app.clone(), key.clone()), diff);
    };
    for (id, manifest) in new {
        match old.get(renamed.get(id).copied().unwrap_or(id)) {
            None => differs(id, Difference::Missing),
            Some(before) => {
                let fields = compare(before, manifest);
                if !fields.is_empty() {
                    differs(id, Difference::Fields(fields));
                }
            }
        }
    }
    for id in old.keys() {
        if !new.contains_key(id) && !renamed.values().any(|before| *before == id) {
            differs(id, Difference::Surplus);
        }
    }
    differences.into_values().collect()
}

/// Objects that have another name only because Kustomize names them after their
/// content: those of the second, with those of the first that they were.
fn renamed<'d>(
    old: &'d Declarations,
    new: &'d Declarations,
) -> BTreeMap<&'d (AppName, ObjectKey), &'d (AppName, ObjectKey)> {
    let only = |of: &'d Declarations, other: &Declarations| {
        let mut stems: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for id in of.keys().filter(|id| !other.contains_key(*id)) {
            if let Some(stem) = stem(&id.1) {
                stems.entry((&id.0, stem)).or_default().push(id);
            }
        }
        stems
    };
    let before = only(old, new);
    let pairs = only(new, old).into_iter().filter_map(|(stem, after)| {
        let (&[before], &[after]) = (&before.get(&stem)?[..], &after[..]) else { return None };
        Some((after, before))
    });
    pairs.collect()
}

/// The object as it is called before Kustomize adds a hash.
fn stem(key: &ObjectKey) -> Option<ObjectKey> {
    let (name, hash) = key.name.rsplit_once('-')?;
    let is_hash = hash.len() == HASH_LENGTH && hash.chars().all(|c| HASH_CHARACTERS.contains(c));
    let is_generated = key.is("", "ConfigMap") || key.is("", "Secret");
    (is_hash && is_generated).then(|| ObjectKey { name: name.to_owned(), ..key.clone() })
}

fn summary(objects: &[ObjectDiff]) -> String {
    if objects.is_empty() {
        return String::new();
    }
    let count =
        |difference| objects.iter().filter(|object| object.difference == difference).count();
    let (added, removed) = (count(Difference::Missing), count(Difference::Surplus));
    let changed = objects.len() - added - removed;
    format!("{changed} changed, {added} added, {removed} removed\n")
}
