//! `leeward.yaml`: which folders are apps, and how each wants to be treated.
//!
//! Read strictly: an unknown key is a slip of the pen that would otherwise
//! change what a whole fleet does. docs/guides/repository-layout.md has the schema.

mod order;
mod reader;
mod variables;

use std::time::Duration;

use leeward_yaml::{Content, Dialect, Documents, Mark, Node};

use reader::Reader;

use crate::{
    model::{APPS_FILE, AppName, AppSpec, Heal, IgnoreRule, PruneGuard, RETRY_INTERVAL},
    render::{
        Files, Limits, RenderError,
        faults::Faults,
        object::is_dns_label,
        path::below,
        select::{ignore_rules, is_hidden},
    },
};

/// Apps of one cluster; more than a screen or two of them cannot be watched by anyone.
const APPS_MAX: usize = 500;

/// Longest DNS label.
const NAME_BYTES_MAX: usize = 63;

/// What an app gets when `leeward.yaml` does not say otherwise: the agent's `[apply]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AppDefaults {
    pub heal: Heal,
    pub timeout: Duration,
    pub soak: Duration,
    pub prune: PruneGuard,
}

/// The defaults that docs/guides/repository-layout.md promises.
impl Default for AppDefaults {
    fn default() -> Self {
        Self {
            heal: Heal::Always,
            timeout: Duration::from_mins(5),
            soak: Duration::from_mins(1),
            prune: PruneGuard { max_objects: 3, max_share: 0.3, first: false },
        }
    }
}

/// The apps of a source, each after those that it depends on.
///
/// `files` is the folder of the source's path. Without a `leeward.yaml` it is
/// one app, named after `default_name` (the last segment of the path).
pub fn apps(
    files: &dyn Files,
    default_name: &str,
    defaults: &AppDefaults,
) -> Result<Vec<AppSpec>, RenderError> {
    let limits = Limits::default();
    let mut faults = Faults::new(limits.faults);
    let paths = match files.list() {
        Ok(paths) => paths,
        Err(error) => {
            faults.unreadable(&files.shown(&error.path), &error);
            return faults.or(Vec::new());
        }
    };
    refuse_strays(files, &paths, &mut faults);
    if !paths.iter().any(|path| path == APPS_FILE) {
        return faults.or(vec![whole_folder(default_name, defaults)]);
    }
    let shown = files.shown(APPS_FILE);
    let content = match files.read(APPS_FILE) {
        Ok(content) => content.bytes,
        Err(error) => {
            faults.unreadable(&shown, &error);
            return faults.or(Vec::new());
        }
    };
    let mut reader = Reader::new(&shown, faults);
    let Some(document) = only_document(&mut reader, &content, limits) else {
        return reader.faults.or(Vec::new());
    };
    let all = declared_apps(&mut reader, &document, defaults);
    let count = all.len();
    let declared: Vec<Declared> = all.into_iter().flatten().collect();
    check_names(&mut reader, &declared);
    check_paths(&mut reader, &declared, &paths);
    if declared.len() < count {
        // Whether a name is known cannot be said while some are not.
        return reader.faults.or(Vec::new());
    }
    let ordered = order::by_dependency(&mut reader, declared);
    reader.faults.or(ordered)
}

/// An app as it was declared, with the places that messages point at.
struct Declared {
    spec: AppSpec,
    name_mark: Mark,
    path_mark: Mark,
    /// Beside `spec.depends_on`.
    depends_on_marks: Vec<Mark>,
}

fn whole_folder(default_name: &str, defaults: &AppDefaults) -> AppSpec {
    AppSpec {
        name: app_name(default_name),
        path: String::new(),
        depends_on: Vec::new(),
        heal: defaults.heal,
        timeout: defaults.timeout,
        soak: defaults.soak,
        prune: defaults.prune,
        retries: 0,
        retry_interval: RETRY_INTERVAL,
        formerly: Vec::new(),
        ignore_differences: Vec::new(),
        substitute: None,
        substitute_from: Vec::new(),
    }
}

/// What a folder that is one app is called: the nearest DNS label to its name,
/// `app` when nothing of it can be kept.
pub fn app_name(name: &str) -> AppName {
    let mut label = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            label.push(c);
        } else if !label.ends_with('-') {
            label.push('-');
        }
    }
    let label = label.trim_matches('-');
    let label = label[..label.len().min(NAME_BYTES_MAX)].trim_matches('-');
    if label.is_empty() { "app".to_owned() } else { label.to_owned() }
}

/// A second `leeward.yaml` would look as if it did something.
fn refuse_strays(files: &dyn Files, paths: &[String], faults: &mut Faults) {
    let is_stray = |path: &&String| {
        path.rsplit_once('/').is_some_and(|(_, name)| name == APPS_FILE) && !is_hidden(path)
    };
    let strays: Vec<&String> = paths.iter().filter(is_stray).collect();
    if strays.is_empty() {
        return;
    }
    let mut rules = ignore_rules(files, paths, faults);
    for path in strays.into_iter().filter(|path| !rules.ignores(path)) {
        let message = format!("{APPS_FILE} is read only at the root of the source's path");
        faults.file(&files.shown(path), message);
    }
}

fn only_document(reader: &mut Reader<'_>, content: &[u8], limits: Limits) -> Option<Node> {
    let mut found = Vec::new();
    let documents = match Documents::new(content, Dialect::Kubernetes, limits.yaml) {
        Ok(documents) => documents,
        Err(error) => {
            reader.fault(error.mark, error.problem.to_string());
            return None;
        }
    };
    for document in documents {
        match document {
            Ok(node) if node.is_null(Dialect::Kubernetes) => {}
            Ok(node) => found.push(node),
            Err(errors) => {
                for error in errors {
                    reader.fault(error.mark, error.problem.to_string());
                }
                return None;
            }
        }
    }
    match found.len() {
        0 => {
            let message = "the file declares nothing: remove it to make the whole folder one app";
            reader.fault(Mark { line: 1, column: 1 }, message);
        }
        1 => {}
        _ => reader.fault(found[1].mark, "the file has more than one document"),
    }
    found.into_iter().next()
}

/// One entry an item of `apps`; `None` for an item whose name or path cannot be used.
fn declared_apps(
    reader: &mut Reader<'_>,
    document: &Node,
    defaults: &AppDefaults,
) -> Vec<Option<Declared>> {
    let root = reader.fields(document, "", &["apiVersion", "kind", "apps"]);
    reader.required(&root, "apiVersion", |reader, node, path| {
        reader.one_of(node, path, &[("leeward.dev/v1alpha1", ())])
    });
    reader.required(&root, "kind", |reader, node, path| reader.one_of(node, path, &[("Apps", ())]));
    let items = reader.required(&root, "apps", Reader::items).unwrap_or_default();
    if let Some(Node { mark, content: Content::Sequence(list), .. }) = document.get("apps")
        && list.is_empty()
    {
        let message = "apps names no app: remove the file to make the whole folder one app";
        reader.fault(*mark, message);
    }
    if items.len() > APPS_MAX {
        let message = format!("{} apps, at most {APPS_MAX} are allowed", items.len());
        reader.fault(document.mark, message);
        return Vec::new();
    }
    items.iter().map(|(node, path)| declared_app(reader, node, path, defaults)).collect()
}

fn declared_app(
    reader: &mut Reader<'_>,
    node: &Node,
    path: &str,
    defaults: &AppDefaults,
) -> Option<Declared> {
    const KEYS: [&str; 13] = [
        "name",
        "path",
        "dependsOn",
        "heal",
        "timeout",
        "soak",
        "prune",
        "retries",
        "retryInterval",
        "formerly",
        "ignoreDifferences",
        "substitute",
        variables::FROM,
    ];
    let app = reader.fields(node, path, &KEYS);
    let name = reader.required(&app, "name", name);
    let folder = reader.required(&app, "path", folder);
    let depends_on = reader.optional(&app, "dependsOn", Reader::texts).unwrap_or_default();
    let heal = reader.optional(&app, "heal", |reader, node, path| {
        reader.one_of(node, path, &[("always", Heal::Always), ("report", Heal::Report)])
    });
    let timeout = reader.optional(&app, "timeout", more_than_nothing);
    let soak = reader.optional(&app, "soak", Reader::duration);
    let prune = reader.optional(&app, "prune", |reader, node, path| {
        Some(prune_guard(reader, node, path, defaults.prune))
    });
    let retries = reader.optional(&app, "retries", Reader::count).unwrap_or_default();
    let retry_interval = reader.optional(&app, "retryInterval", more_than_nothing);
    let formerly = reader.optional(&app, "formerly", names).unwrap_or_default();
    let ignore = reader.optional(&app, "ignoreDifferences", ignore_rules_of).unwrap_or_default();
    let substitute = reader.optional(&app, "substitute", variables::own);
    let from = reader.optional(&app, variables::FROM, variables::from).unwrap_or_default();
    let (name, folder) = (name?, folder?);
    let (depends_on, depends_on_marks) = depends_on.into_iter().unzip();
    Some(Declared {
        name_mark: app.mark_of("name"),
        path_mark: app.mark_of("path"),
        depends_on_marks,
        spec: AppSpec {
            name,
            path: folder,
            depends_on,
            heal: heal.unwrap_or(defaults.heal),
            timeout: timeout.unwrap_or(defaults.timeout),
            soak: soak.unwrap_or(defaults.soak),
            prune: prune.unwrap_or(defaults.prune),
            retries,
            retry_interval: retry_interval.unwrap_or(RETRY_INTERVAL),
            formerly,
            ignore_differences: ignore,
            substitute,
            substitute_from: from,
        },
    })
}

fn more_than_nothing(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<Duration> {
    let length = reader.duration(node, path)?;
    if length.is_zero() {
        reader.fault(node.mark, format!("{path} must be more than 0s"));
    }
    Some(length)
}

fn names(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<Vec<AppName>> {
    let items = reader.items(node, path)?;
    Some(items.iter().filter_map(|(item, path)| name(reader, item, path)).collect())
}

fn name(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<AppName> {
    let name = reader.text(node, path)?;
    if is_dns_label(name) {
        return Some(name.to_owned());
    }
    let message = format!(
        "{path} must be a DNS label (at most 63 of a-z, 0-9 and -, e.g. {:?}), found {}",
        app_name(name),
        node.describe(Dialect::Kubernetes)
    );
    reader.fault(node.mark, message);
    None
}

/// A folder below the file's own, or `.`; never one outside.
fn folder(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<String> {
    let text = reader.text(node, path)?;
    let wrong = if text.is_empty() {
        "must not be empty: `.` is the folder of this file"
    } else if text.starts_with('/') {
        "must be relative to this file, found an absolute path"
    } else if text.split('/').any(|segment| segment == "..") {
        "must stay below this file, found `..`"
    } else if text.contains('\\') || text.chars().any(char::is_control) {
        "must have `/` between folders and no control characters"
    } else {
        let segments = text.split('/').filter(|segment| !matches!(*segment, "" | "."));
        return Some(segments.collect::<Vec<_>>().join("/"));
    };
    reader.fault(node.mark, format!("{path} {wrong}"));
    None
}

fn prune_guard(
    reader: &mut Reader<'_>,
    node: &Node,
    path: &str,
    default: PruneGuard,
) -> PruneGuard {
    let guard = reader.fields(node, path, &["maxObjects", "maxShare", "first"]);
    let max_objects = reader.optional(&guard, "maxObjects", Reader::count);
    let max_share = reader.optional(&guard, "maxShare", Reader::share);
    let first = reader.optional(&guard, "first", Reader::boolean);
    PruneGuard {
        max_objects: max_objects.unwrap_or(default.max_objects),
        max_share: max_share.unwrap_or(default.max_share),
        first: first.unwrap_or(default.first),
    }
}

fn ignore_rules_of(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<Vec<IgnoreRule>> {
    let items = reader.items(node, path)?;
    Some(items.iter().filter_map(|(node, path)| ignore_rule(reader, node, path)).collect())
}

fn ignore_rule(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<IgnoreRule> {
    const KEYS: [&str; 7] = [
        "group",
        "kind",
        "name",
        "namespace",
        "jsonPointers",
        "jqPathExpressions",
        "managedFieldsManagers",
    ];
    let rule = reader.fields(node, path, &KEYS);
    let owned = |reader: &mut Reader<'_>, node: &Node, path: &str| {
        reader.text(node, path).map(str::to_owned)
    };
    // Argo CD's wildcard is our absence.
    let group = reader.optional(&rule, "group", owned).filter(|group| group != "*");
    let kind = reader.required(&rule, "kind", owned);
    if let Some(kind) = kind.as_deref().filter(|kind| kind.is_empty() || kind.contains('*')) {
        let message = format!("{path}.kind must name one kind, found {kind:?}");
        reader.fault(rule.mark_of("kind"), message);
    }
    let name = reader.optional(&rule, "name", owned);
    let namespace = reader.optional(&rule, "namespace", owned);
    let pointers = reader.optional(&rule, "jsonPointers", Reader::texts).unwrap_or_default();
    for (pointer, mark) in pointers.iter().filter(|(pointer, _)| !is_json_pointer(pointer)) {
        let message = format!(
            "{pointer:?} is not a JSON pointer such as /spec/replicas (a `/` within a key is `~1`)"
        );
        reader.fault(*mark, message);
    }
    let managers =
        reader.optional(&rule, "managedFieldsManagers", Reader::texts).unwrap_or_default();
    if rule.has("jqPathExpressions") {
        let message = format!(
            "{path}.jqPathExpressions is not supported: name the fields by jsonPointers, \
             such as /spec/replicas"
        );
        reader.fault(rule.mark_of("jqPathExpressions"), message);
    } else if pointers.is_empty() && managers.is_empty() {
        let message = format!("{path} ignores nothing: add jsonPointers or managedFieldsManagers");
        reader.fault(node.mark, message);
    }
    Some(IgnoreRule {
        group,
        kind: kind?,
        name,
        namespace,
        json_pointers: pointers.into_iter().map(|(pointer, _)| pointer).collect(),
        managed_fields_managers: managers.into_iter().map(|(manager, _)| manager).collect(),
    })
}

/// RFC 6901, without the pointer to the whole document.
fn is_json_pointer(text: &str) -> bool {
    text.starts_with('/') && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

fn check_names(reader: &mut Reader<'_>, apps: &[Declared]) {
    for (index, app) in apps.iter().enumerate() {
        if let Some(first) = apps[..index].iter().find(|other| other.spec.name == app.spec.name) {
            let message =
                format!("two apps are named {:?} (first at {})", app.spec.name, first.name_mark);
            reader.fault(app.name_mark, message);
        }
    }
}

fn check_paths(reader: &mut Reader<'_>, apps: &[Declared], paths: &[String]) {
    let is_in = |file: &str, folder: &str| below(file, folder).is_some_and(|rest| !rest.is_empty());
    for (index, app) in apps.iter().enumerate() {
        let path = &app.spec.path;
        if !paths.iter().any(|file| file != APPS_FILE && is_in(file, path)) {
            let message = format!("the folder {path:?} of app {:?} has no file", app.spec.name);
            reader.fault(app.path_mark, message);
        }
        let overlap = apps[..index].iter().find(|other| {
            let other = &other.spec.path;
            below(path, other).is_some() || below(other, path).is_some()
        });
        if let Some(first) = overlap {
            let message = format!(
                "the folders of apps {:?} (at {}) and {:?} overlap: an object has one owner",
                first.spec.name, first.path_mark, app.spec.name
            );
            reader.fault(app.path_mark, message);
        }
    }
}

#[cfg(test)]
mod tests;
