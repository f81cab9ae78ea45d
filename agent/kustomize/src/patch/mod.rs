//! Patches: which, on what, in which form.

mod json;
mod merge;

use leeward_yaml::{Duplicates, Node};

use crate::{
    error::{Outcome, Problem, echo},
    kustomization::Patch,
    load,
    loader::Loader,
    resmap::ResMap,
    resource::{MayChange, Resource},
    select::{Matcher, Selector},
};

use json::JsonPatch;

/// A patch of `patches`, read and understood.
pub(crate) struct LoadedPatch {
    form: Form,
    target: Option<Selector>,
    /// What it is called in messages.
    name: String,
}

enum Form {
    Merge(Vec<Resource>),
    Json(JsonPatch),
    /// An empty file.
    Nothing,
}

impl LoadedPatch {
    /// Reads one entry of `patches`, and finds out which form it has.
    pub(crate) fn load(loader: &Loader<'_, '_>, patch: &Patch) -> Outcome<Self> {
        let inline = patch.inline.trim();
        let (bytes, name, file) = match (inline.is_empty(), patch.path.is_empty()) {
            (true, true) => {
                return Err(problem("without content", "one of patch and path must be there"));
            }
            (false, false) => {
                return Err(problem(&patch.path, "patch and path exclude each other"));
            }
            (false, true) => (inline.as_bytes().to_vec(), inline_name(inline), "patch".to_owned()),
            (true, false) => {
                let loaded = loader.load("patches", &patch.path)?;
                (loaded.bytes, patch.path.clone(), loaded.file)
            }
        };
        let merge = read_merge(loader, &bytes, &file);
        let json = JsonPatch::read(&bytes, loader.session.budget.limits.yaml);
        let form = match (merge, json) {
            (Ok(merge), Ok(json)) if !merge.is_empty() && !json.is_empty() => {
                return Err(problem(&name, "it is both a strategic merge and a JSON patch"));
            }
            (Ok(merge), _) if merge.is_empty() => Form::Nothing,
            (Ok(mut merge), _) => {
                for patch_resource in &mut merge {
                    patch_resource.may_change = patch.may_change;
                    if patch.may_change != MayChange::default() {
                        // Upstream notes it in the annotations, which makes texts of
                        // them: a null there does not take a key away.
                        patch_resource.set_annotations(&patch_resource.annotations());
                    }
                }
                Form::Merge(merge)
            }
            (Err(_), Ok(json)) => Form::Json(json),
            (Err(merge), Err(json)) => {
                let error = if json.looks_like_one { json.error } else { merge };
                return Err(in_patch(&error, &name, &file));
            }
        };
        Ok(Self { form, target: patch.target.clone(), name })
    }

    pub(crate) fn apply(&self, loader: &Loader<'_, '_>, map: &mut ResMap) -> Outcome<()> {
        match (&self.form, &self.target) {
            (Form::Nothing, _) => Ok(()),
            (Form::Merge(patches), Some(target)) => {
                let [patch] = patches.as_slice() else {
                    let message = "several strategic merge patches cannot share one target";
                    return Err(problem(&self.name, message));
                };
                let matcher = Matcher::new(target)?;
                let ids: Vec<_> = map
                    .list
                    .iter()
                    .filter(|resource| matcher.fits(resource))
                    .map(Resource::id)
                    .collect();
                apply_to_set(loader, map, |resource| ids.contains(&resource.id()), patch)
            }
            (Form::Merge(patches), None) => patches.iter().try_for_each(|patch| {
                let at = only_target(loader, map, patch)?;
                merge_into(loader, &mut map.list[at], patch)
            }),
            (Form::Json(_), None) => Err(problem(&self.name, "a JSON patch needs a target")),
            (Form::Json(patch), Some(target)) => {
                let matcher = Matcher::new(target)?;
                for resource in &mut map.list {
                    if matcher.fits(resource) {
                        resource.remember();
                        patch.apply(resource, &loader.session.budget, &self.name)?;
                        // Upstream puts its notes back, and the others as texts.
                        resource.set_annotations(&resource.annotations());
                    }
                }
                Ok(())
            }
        }
    }
}

/// Reads one entry of `patchesStrategicMerge`: a text that holds patches, or a path.
pub(crate) fn load_strategic_merge(loader: &Loader<'_, '_>, entry: &str) -> Outcome<Vec<Resource>> {
    if let Ok(patches) = read_merge(loader, entry.as_bytes(), "patchesStrategicMerge") {
        return Ok(patches);
    }
    let loaded = loader.load("patchesStrategicMerge", entry)?;
    read_merge(loader, &loaded.bytes, &loaded.file)
}

pub(crate) fn read_merge(
    loader: &Loader<'_, '_>,
    bytes: &[u8],
    file: &str,
) -> Outcome<Vec<Resource>> {
    let session = loader.session;
    load::resources(bytes, file, Duplicates::FirstWins, &session.scopes(), &session.budget)
}

/// Applies patches that name what they are for.
pub(crate) fn apply_strategic_merge(
    loader: &Loader<'_, '_>,
    map: &mut ResMap,
    patches: &[Resource],
) -> Outcome<()> {
    for patch in patches {
        let at = only_target(loader, map, patch)?;
        let id = map.list[at].id();
        apply_to_set(loader, map, |resource| resource.id() == id, patch)?;
    }
    Ok(())
}

/// Reads and applies an entry of `patchesJson6902`.
pub(crate) fn apply_json_entry(
    loader: &Loader<'_, '_>,
    map: &mut ResMap,
    entry: &Patch,
    name: &str,
) -> Outcome<()> {
    let Some(target) = &entry.target else {
        return Err(problem(name, "it needs a target"));
    };
    if target.id.name.is_empty() {
        return Err(problem(name, "its target needs a name"));
    }
    let (bytes, file) = match (entry.path.is_empty(), entry.inline.is_empty()) {
        (true, true) => return Err(problem(name, "one of patch and path must be there")),
        (false, false) => return Err(problem(name, "patch and path exclude each other")),
        (true, false) => (entry.inline.as_bytes().to_vec(), String::new()),
        (false, true) => {
            let loaded = loader.load("patchesJson6902", &entry.path)?;
            (loaded.bytes, loaded.file)
        }
    };
    let read = JsonPatch::read(&bytes, loader.session.budget.limits.yaml);
    let json = read.map_err(|not| not.error.at(&file, None))?;
    if json.is_empty() {
        return Err(problem(name, "the patch is empty"));
    }
    apply_json(loader, map, &json, target, name)
}

fn apply_json(
    loader: &Loader<'_, '_>,
    map: &mut ResMap,
    patch: &JsonPatch,
    target: &Selector,
    name: &str,
) -> Outcome<()> {
    let matcher = Matcher::new(target)?;
    for resource in &mut map.list {
        if matcher.fits(resource) {
            patch.apply(resource, &loader.session.budget, name)?;
        }
    }
    Ok(())
}

/// The one object that is or was called as the patch is.
fn only_target(loader: &Loader<'_, '_>, map: &ResMap, patch: &Resource) -> Outcome<usize> {
    loader.session.budget.work(map.list.len())?;
    let id = patch.original_id();
    let found: Vec<usize> = map.find_by_any_id(|other| id.same(other));
    let found: Vec<usize> = found.into_iter().filter(|at| !map.list[*at].node.is_blank()).collect();
    match found.as_slice() {
        [at] => Ok(*at),
        [] => {
            let message = format!("no object matches {id}");
            patch.locate(Err(problem(&id.to_string(), &message)))
        }
        several => {
            let message = format!("{} objects match {id}", several.len());
            patch.locate(Err(problem(&id.to_string(), &message)))
        }
    }
}

/// Patches every object that is selected, and drops what the patch deletes.
fn apply_to_set(
    loader: &Loader<'_, '_>,
    map: &mut ResMap,
    is_selected: impl Fn(&Resource) -> bool,
    patch: &Resource,
) -> Outcome<()> {
    for resource in &mut map.list {
        if !is_selected(resource) {
            continue;
        }
        // Upstream copies the patch in a way that makes texts of its labels
        // and annotations: a null there does not take a key away.
        let mut own = patch.clone();
        own.set_labels(&patch.labels());
        own.set_annotations(&patch.annotations());
        own.set_api_version(resource.api_version());
        own.set_kind(patch.kind());
        merge_into(loader, resource, &own)?;
    }
    map.drop_blank();
    let list = std::mem::take(&mut map.list);
    map.append_all(list, &loader.session.budget)
}

/// Merges a patch into one object; its name, namespace and kind stay, unless
/// the patch may change them.
fn merge_into(loader: &Loader<'_, '_>, resource: &mut Resource, patch: &Resource) -> Outcome<()> {
    let session = loader.session;
    session.budget.put(&patch.node, 0)?;
    let (name, namespace) = (resource.name().to_owned(), resource.namespace().to_owned());
    let kind = resource.kind().to_owned();
    if patch.may_change.name || patch.may_change.kind {
        resource.remember();
    }
    let old = std::mem::replace(&mut resource.node, Node::mapping());
    let mark = old.mark;
    let merged = session.with_schema(|schema| merge::merge(schema, old, patch.node.clone()));
    let merged = merged.map_err(|conflict| {
        let id = patch.id().to_string();
        problem(&id, &conflict.to_string()).at(&patch.file, Some(patch.node.mark))
    });
    match merged {
        Err(error) => return Err(error),
        // An empty mapping is dropped by whoever goes through the list next.
        Ok(None) => return Ok(()),
        Ok(Some(node)) => resource.node = node,
    }
    resource.node.mark = mark;
    session.budget.copied(resource.spread())?;
    if resource.node.is_blank() {
        return Ok(());
    }
    if !patch.may_change.kind {
        resource.set_kind(&kind);
    }
    if !patch.may_change.name {
        resource.set_name(&name);
    }
    resource.set_namespace(&namespace);
    Ok(())
}

pub(crate) fn problem(patch: &str, message: &str) -> Box<crate::BuildError> {
    Problem::Patch { patch: echo(patch), message: message.to_owned() }.into()
}

fn in_patch(error: &crate::BuildError, name: &str, file: &str) -> Box<crate::BuildError> {
    let message = format!("neither a strategic merge nor a JSON patch: {}", error.problem);
    let mark = error.place.as_ref().and_then(|place| place.mark);
    problem(name, &message).at(file, mark)
}

/// The first line of an inline patch.
fn inline_name(patch: &str) -> String {
    let first = patch.lines().next().unwrap_or_default();
    format!("`{first}`")
}
