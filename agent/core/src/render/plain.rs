//! A folder: every manifest in it, checked and counted.
//!
//! A folder with a kustomization is built, whether it is the whole or lies
//! below; what is beside and below one belongs to it. Of the rest, read are
//! `*.yaml`, `*.yml` and `*.json` in the folder and below, except
//! names that begin with a dot and what `.leewardignore` names. All faults are
//! collected, so that one round of corrections is enough.

use std::collections::{BTreeMap, BTreeSet};

use leeward_kustomize::FILE_NAMES;

use super::{
    APPS_FILE, Files, RenderError, Rendered,
    faults::{Faults, Place},
    ignore::IgnoreRules,
    kustomization, object,
    substitute::{SecretValues, Values, substitute_with},
    yaml::{self, Content, Dialect, Documents, Mark, Node},
};
use crate::model::{
    Digest, Kind, Manifest, ObjectFault, ObjectKey, Origin, Variables, format_size,
};

/// Names files that are not manifests, in gitignore syntax.
pub const IGNORE_FILE: &str = ".leewardignore";

/// How deep lists may lie in lists. `kubectl get -o yaml` makes one level.
const LIST_DEPTH_MAX: usize = 4;

/// What the rendering of one folder may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Manifest files; one app of a small cluster has tens.
    pub files: usize,
    /// Bytes of all manifest files: what a small device can hold several times over.
    pub bytes: usize,
    /// Objects; at more, a small API server is the wrong place.
    pub objects: usize,
    /// Faults that are kept; nobody reads more at once.
    pub faults: usize,
    /// Of each file.
    pub yaml: yaml::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            files: 10_000,
            bytes: 32 << 20,
            objects: 10_000,
            faults: 50,
            yaml: yaml::Limits::default(),
        }
    }
}

/// Renders the folder of one app. A folder that declares nothing renders to
/// nothing: whether that may be applied is for the caller to decide.
pub fn folder(files: &dyn Files, limits: &Limits) -> Result<Rendered, RenderError> {
    let (variables, secrets) = (Variables::default(), SecretValues::default());
    let values = Values { variables: &variables, secrets: &secrets, from: &[] };
    folder_with_secrets(files, limits, values)
}

/// Renders the folder of one app and substitutes `values` in every object, unless there are none.
pub fn folder_with_secrets(
    files: &dyn Files,
    limits: &Limits,
    values: Values<'_>,
) -> Result<Rendered, RenderError> {
    let mut faults = Faults::new(limits.faults);
    let paths = match files.list() {
        Ok(paths) => paths,
        Err(error) => {
            faults.unreadable(&files.shown(&error.path), &error);
            return faults.or(Vec::new());
        }
    };
    let mut rules = ignore_rules(files, &paths, &mut faults);
    let Selected { manifests: selected, kustomizations } = select(&paths, &mut rules);
    if selected.len() > limits.files {
        let message = format!(
            "the folder has {} manifest files, at most {} are read",
            selected.len(),
            limits.files
        );
        faults.file(&files.shown(""), message);
        return faults.or(Vec::new());
    }
    let mut folder = Folder {
        limits,
        values,
        faults,
        rendered: Vec::new(),
        first: BTreeMap::new(),
        full: false,
        secret: false,
    };
    let mut bytes = 0_usize;
    for path in selected {
        let shown = files.shown(path);
        match files.read(path) {
            Ok(content) => {
                bytes = bytes.saturating_add(content.len());
                if bytes > limits.bytes {
                    let most = format_size(limits.bytes as u64);
                    folder.faults.file(
                        &shown,
                        format!("the manifests up to here exceed {most}, the most that is read"),
                    );
                    break;
                }
                folder.secret = files.reveals(path);
                folder.file(&shown, &content);
            }
            Err(error) => folder.faults.unreadable(&shown, &error),
        }
        if folder.full {
            break;
        }
    }
    for kustomization in kustomizations {
        folder.kustomization(files, &paths, kustomization);
    }
    folder.faults.or(folder.rendered)
}

/// The ignore files of a folder.
pub(super) fn ignore_rules(
    files: &dyn Files,
    paths: &[String],
    faults: &mut Faults,
) -> IgnoreRules {
    let mut rules = IgnoreRules::default();
    for path in paths {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        if name != IGNORE_FILE || is_hidden(directory) {
            continue;
        }
        let shown = files.shown(path);
        match files.read(path) {
            Err(error) => faults.unreadable(&shown, &error),
            Ok(content) => {
                if let Err(fault) = rules.add(directory, &content) {
                    let mark = Mark { line: fault.line, column: 1 };
                    faults.at(Place { file: &shown, mark }, fault.message);
                }
            }
        }
    }
    rules
}

/// What of a folder is looked at.
struct Selected<'p> {
    /// Files that are read as they are.
    manifests: Vec<&'p str>,
    /// Folders that are built. None lies below another.
    kustomizations: Vec<&'p str>,
}

/// The folders that are built.
pub(super) fn kustomizations<'p>(paths: &'p [String], rules: &mut IgnoreRules) -> Vec<&'p str> {
    select(paths, rules).kustomizations
}

fn select<'p>(paths: &'p [String], rules: &mut IgnoreRules) -> Selected<'p> {
    let visible: Vec<&str> = paths
        .iter()
        .map(String::as_str)
        .filter(|path| !is_hidden(path) && !rules.ignores(path))
        .collect();
    let kustomizations: BTreeSet<&str> = visible
        .iter()
        .filter_map(|path| {
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
            FILE_NAMES.contains(&name).then_some(directory)
        })
        .collect();
    let is_manifest = |path: &&str| {
        let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
        matches!(extension, "yaml" | "yml" | "json")
            && *path != APPS_FILE
            && !is_within(path, &kustomizations)
    };
    let manifests = visible.into_iter().filter(is_manifest).collect();
    let is_outermost = |path: &&str| !is_within(path, &kustomizations);
    let kustomizations = kustomizations.iter().copied().filter(is_outermost).collect();
    Selected { manifests, kustomizations }
}

/// Whether a path lies somewhere below one of the directories.
fn is_within(path: &str, directories: &BTreeSet<&str>) -> bool {
    (!path.is_empty() && directories.contains(""))
        || path.match_indices('/').any(|(at, _)| directories.contains(&path[..at]))
}

/// Whether the name of the file, or of a directory above it, begins with a dot.
pub(super) fn is_hidden(path: &str) -> bool {
    path.split('/').any(|segment| segment.starts_with('.'))
}

/// A folder while it is rendered.
struct Folder<'l> {
    limits: &'l Limits,
    values: Values<'l>,
    faults: Faults,
    rendered: Rendered,
    /// Where each object was declared first.
    first: BTreeMap<ObjectKey, String>,
    /// The budget of objects is spent.
    full: bool,
    /// What is read at the moment was encrypted.
    secret: bool,
}

impl Folder<'_> {
    fn file(&mut self, shown: &str, content: &[u8]) {
        let documents = match Documents::new(content, Dialect::Kubernetes, self.limits.yaml) {
            Ok(documents) => documents,
            Err(error) => return self.yaml_faults(shown, vec![error]),
        };
        for document in documents {
            match document {
                Ok(node) => self.document(shown, node, 0),
                Err(errors) => self.yaml_faults(shown, errors),
            }
            if self.full {
                return;
            }
        }
    }

    /// Adds what a kustomization builds to.
    fn kustomization(&mut self, files: &dyn Files, paths: &[String], path: &str) {
        let objects = match kustomization::built(files, paths, path) {
            Ok(objects) => objects,
            Err(error) => {
                self.faults.missing(error.is_missing());
                let origin = error.place.as_ref().map(ToString::to_string);
                let message = error.message();
                return self.faults.push(ObjectFault { object: None, origin, message });
            }
        };
        // A generator, patch or replacement carries it from any file to any object.
        self.secret = files.reveals("");
        for object in objects {
            self.object(&object.file, kustomization::node(&object));
            if self.full {
                return;
            }
        }
    }

    /// One document, or one item of a list.
    fn document(&mut self, shown: &str, node: Node, depth: usize) {
        let place = Place { file: shown, mark: node.mark };
        if depth == 0 && node.is_null(Dialect::Kubernetes) {
            return;
        }
        if !matches!(node.content, Content::Mapping(_)) {
            let found = node.describe_type(Dialect::Kubernetes);
            let message = format!("a manifest must be a mapping with apiVersion, found {found}");
            return self.faults.at(place, message);
        }
        if node.get("apiVersion").is_none() && node.get("kind").is_none() {
            let message = "not a Kubernetes object: apiVersion and kind are missing \
                           (name the file in .leewardignore if it is none)";
            return self.faults.at(place, message);
        }
        if peek_type(&node).is_some_and(|kind| kind == Kind::new("leeward.dev", "Apps")) {
            let message = format!("Apps are read only from {APPS_FILE} at the root of the source");
            return self.faults.at(place, message);
        }
        match list_items(node) {
            Ok(items) if depth < LIST_DEPTH_MAX => {
                for item in items {
                    self.document(shown, item, depth + 1);
                    if self.full {
                        return;
                    }
                }
            }
            Ok(_) => self.faults.at(place, format!("lists are nested more than {depth} deep")),
            Err(node) => self.object(shown, node),
        }
    }

    fn object(&mut self, shown: &str, node: Node) {
        let mark = node.mark;
        let place = Place { file: shown, mark };
        let Some((node, stand_in)) = self.substituted(place, node) else { return };
        let found = object::faults(&node);
        if !found.is_empty() {
            let object = peek_key(&node).map(|key| key.to_string());
            for (mark, message) in found {
                let message = match stand_in {
                    Some(_) => withheld(&message, self.values.secrets),
                    None => message,
                };
                let origin = Some(Place { file: shown, mark }.to_string());
                self.faults.push(ObjectFault { object: object.clone(), origin, message });
            }
            return;
        }
        let body = match node.into_json(Dialect::Kubernetes) {
            Ok(body) => object::normalised(body),
            Err(errors) => return self.yaml_faults(shown, errors),
        };
        let origin = Origin { file: shown.to_owned(), line: mark.line };
        let Some(mut manifest) = Manifest::new(body, origin) else {
            return self.faults.at(place, "apiVersion, kind or metadata.name is missing");
        };
        manifest.secret = self.secret || stand_in.is_some();
        manifest.stand_in = stand_in;
        if let Some(first) = self.first.get(&manifest.key) {
            let message = format!("declared twice (first at {first})");
            return self.faults.push(ObjectFault {
                object: Some(manifest.key.to_string()),
                origin: Some(place.to_string()),
                message,
            });
        }
        if self.rendered.len() == self.limits.objects {
            self.full = true;
            let message = format!("more than {} objects in one app", self.limits.objects);
            return self.faults.at(place, message);
        }
        self.first.insert(manifest.key.clone(), place.to_string());
        self.rendered.push(manifest);
    }

    /// The object with its variables substituted. What is wrong with it after
    /// that is told at its beginning: its lines are no longer those of the file.
    fn substituted(&mut self, place: Place<'_>, node: Node) -> Option<(Node, Option<Digest>)> {
        if self.values.is_empty() {
            return Some((node, None));
        }
        let object = peek_key(&node).map(|key| key.to_string());
        let body = match node.clone().into_json(Dialect::Kubernetes) {
            Ok(body) => body,
            Err(errors) => {
                self.yaml_faults(place.file, errors);
                return None;
            }
        };
        match substitute_with(&body, &self.values) {
            Ok(None) => Some((node, None)),
            Ok(Some(done)) => Some((Node::of_json(&done.value, place.mark), done.secret)),
            Err(problem) => {
                let origin = Some(place.to_string());
                self.faults.push(ObjectFault { object, origin, message: problem.to_string() });
                None
            }
        }
    }

    fn yaml_faults(&mut self, shown: &str, errors: Vec<yaml::YamlError>) {
        for error in errors {
            let place = Place { file: shown, mark: error.mark };
            self.faults.at(place, error.problem.to_string());
        }
    }
}

/// What is wrong with an object that holds values of Secrets: what was found may be one.
fn withheld(message: &str, secrets: &SecretValues) -> String {
    match message.split_once(", found ") {
        Some((wanted, _)) => {
            let wanted = secrets.mask(wanted);
            format!("{wanted} (what was found may be a Secret's value)")
        }
        None => secrets.mask(message),
    }
}

/// The items of a `List`, `ConfigMapList`, …; anything else is given back. As
/// in kubectl, items of a typed list need not repeat their kind.
fn list_items(mut node: Node) -> Result<Vec<Node>, Node> {
    let text = |node: &Node, field| {
        node.get(field).and_then(|value| value.text(Dialect::Kubernetes)).map(str::to_owned)
    };
    let Some(item_kind) =
        text(&node, "kind").and_then(|kind| kind.strip_suffix("List").map(str::to_owned))
    else {
        return Err(node);
    };
    let api_version = text(&node, "apiVersion").unwrap_or_default();
    let items = node.get("items");
    let is_list = items.is_some_and(|items| {
        matches!(items.content, Content::Sequence(_)) || items.is_null(Dialect::Kubernetes)
    });
    let Content::Mapping(entries) = &mut node.content else { return Err(node) };
    if !is_list {
        return Err(node);
    }
    let items = entries.drain(..).find(|entry| entry.key == "items").map(|entry| entry.value);
    let Some(Content::Sequence(mut items)) = items.map(|items| items.content) else {
        return Ok(Vec::new());
    };
    if !item_kind.is_empty() {
        for item in &mut items {
            complete_type(item, &api_version, &item_kind);
        }
    }
    Ok(items)
}

fn complete_type(item: &mut Node, api_version: &str, kind: &str) {
    if item.get("apiVersion").is_some() || item.get("kind").is_some() {
        return;
    }
    let mark = item.mark;
    if let Content::Mapping(entries) = &mut item.content {
        for (key, text) in [("apiVersion", api_version), ("kind", kind)] {
            entries.push(yaml::Entry {
                key: key.to_owned(),
                mark,
                value: Node::text_at(text, mark),
            });
        }
    }
}

fn peek_type(node: &Node) -> Option<Kind> {
    let text = |field| node.get(field).and_then(|value| value.text(Dialect::Kubernetes));
    let group = text("apiVersion")?.rsplit_once('/').map_or("", |(group, _)| group);
    Some(Kind::new(group, text("kind")?))
}

/// The key of an object that has faults, as far as it can be read.
fn peek_key(node: &Node) -> Option<ObjectKey> {
    let Kind { group, kind } = peek_type(node)?;
    let metadata = node.get("metadata")?;
    let text = |field| {
        metadata.get(field).and_then(|value| value.text(Dialect::Kubernetes)).map(str::to_owned)
    };
    Some(ObjectKey {
        group,
        kind,
        namespace: text("namespace").unwrap_or_default(),
        name: text("name")?,
    })
}

#[cfg(test)]
mod tests;
