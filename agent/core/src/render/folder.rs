//! A folder: every manifest in it, checked and counted.
//!
//! A folder with a kustomization is built, whether it is the whole or lies
//! below; what is beside and below one belongs to it. Of the rest, read are
//! `*.yaml`, `*.yml` and `*.json` in the folder and below, except
//! names that begin with a dot and what `.leewardignore` names. All faults are
//! collected, so that one round of corrections is enough.

use std::collections::BTreeMap;

use leeward_yaml::{self as yaml, Content, Dialect, Documents, Node};

use super::{
    FileContent, Files, RenderError, Rendered,
    faults::{Faults, Place},
    kustomization::{self, Built},
    list::list_items,
    object,
    select::{Selected, ignore_rules, select},
    substitute::{SecretValues, Values, substitute_with},
};
use crate::model::{
    APPS_FILE, Digest, Kind, Manifest, ObjectFault, ObjectKey, Origin, format_size,
};

/// How deep lists may lie in lists. `kubectl get -o yaml` makes one level.
const LIST_DEPTH_MAX: usize = 4;

/// Bounds on the cost of rendering one folder.
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
    /// Bounds on each file.
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

/// A folder to be rendered, and the means for it.
#[derive(Clone, Copy)]
pub struct Request<'r> {
    pub files: &'r dyn Files,
    /// With none of them, nothing is substituted.
    pub values: Values<'r>,
    pub limits: Limits,
}

impl<'r> Request<'r> {
    /// The folder as it stands: nothing is substituted, within the usual limits.
    pub fn of(files: &'r dyn Files) -> Self {
        Self { files, values: Values::default(), limits: Limits::default() }
    }
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { values, limits, .. } = self;
        f.debug_struct("Request")
            .field("values", values)
            .field("limits", limits)
            .finish_non_exhaustive()
    }
}

/// Renders the folder of one app. A folder that declares nothing renders to
/// nothing: whether that may be applied is for the caller to decide.
pub fn folder(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let Request { files, values, limits } = request;
    let mut faults = Faults::new(limits.faults);
    let paths = match files.list() {
        Ok(paths) => paths,
        Err(error) => {
            faults.unreadable(&files.shown(&error.path), &error);
            return faults.or(Vec::new());
        }
    };
    let mut rules = ignore_rules(*files, &paths, &mut faults);
    let Selected { manifests, kustomizations } = select(&paths, &mut rules);
    if manifests.len() > limits.files {
        let message = format!(
            "the folder has {} manifest files, at most {} are read",
            manifests.len(),
            limits.files
        );
        faults.file(&files.shown(""), message);
        return faults.or(Vec::new());
    }
    let mut folder = Folder {
        limits,
        values: *values,
        faults,
        rendered: Vec::new(),
        first: BTreeMap::new(),
        full: false,
    };
    folder.manifests(*files, &manifests);
    for kustomization in kustomizations {
        folder.kustomization(*files, &paths, kustomization);
    }
    folder.faults.or(folder.rendered)
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
}

impl Folder<'_> {
    /// Adds the objects of all manifest files, as far as the budget of bytes goes.
    fn manifests(&mut self, files: &dyn Files, paths: &[&str]) {
        let mut bytes = 0_usize;
        for path in paths {
            let shown = files.shown(path);
            match files.read(path) {
                Ok(content) => {
                    bytes = bytes.saturating_add(content.bytes.len());
                    if bytes > self.limits.bytes {
                        let most = format_size(self.limits.bytes as u64);
                        self.faults.file(
                            &shown,
                            format!(
                                "the manifests up to here exceed {most}, the most that is read"
                            ),
                        );
                        return;
                    }
                    self.file(&shown, &content);
                }
                Err(error) => self.faults.unreadable(&shown, &error),
            }
            if self.full {
                return;
            }
        }
    }

    fn file(&mut self, shown: &str, content: &FileContent) {
        let bytes = &content.bytes;
        let documents = match Documents::new(bytes, Dialect::Kubernetes, self.limits.yaml) {
            Ok(documents) => documents,
            Err(error) => return self.yaml_faults(shown, vec![error]),
        };
        for document in documents {
            match document {
                Ok(node) => self.document(shown, node, content.revealed, 0),
                Err(errors) => self.yaml_faults(shown, errors),
            }
            if self.full {
                return;
            }
        }
    }

    /// Adds the objects that a kustomization builds to.
    fn kustomization(&mut self, files: &dyn Files, paths: &[String], path: &str) {
        let Built { objects, revealed } = match kustomization::built(files, paths, path) {
            Ok(built) => built,
            Err(error) => {
                self.faults.missing(error.is_missing());
                let origin = error.place.as_ref().map(ToString::to_string);
                let message = error.message();
                return self.faults.push(ObjectFault { object: None, origin, message });
            }
        };
        for object in objects {
            self.object(&object.file, kustomization::node(&object), revealed);
            if self.full {
                return;
            }
        }
    }

    /// Adds the objects of one document, or of one item of a list. `revealed`: it was
    /// decrypted to something that nobody may be shown.
    fn document(&mut self, shown: &str, node: Node, revealed: bool, depth: usize) {
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
                    self.document(shown, item, revealed, depth + 1);
                    if self.full {
                        return;
                    }
                }
            }
            Ok(_) => self.faults.at(place, format!("lists are nested more than {depth} deep")),
            Err(node) => self.object(shown, node, revealed),
        }
    }

    fn object(&mut self, shown: &str, node: Node, revealed: bool) {
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
        manifest.secret = revealed || stand_in.is_some();
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

/// Returns a message about an object that holds values of Secrets, without the value that was
/// found: that may be one of them.
fn withheld(message: &str, secrets: &SecretValues) -> String {
    match message.split_once(", found ") {
        Some((wanted, _)) => {
            let wanted = secrets.mask(wanted);
            format!("{wanted} (what was found may be a Secret's value)")
        }
        None => secrets.mask(message),
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
