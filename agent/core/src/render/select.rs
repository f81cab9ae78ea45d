//! Which files of a folder are manifests, and which folders in it are built.

use std::collections::BTreeSet;

use leeward_kustomize::FILE_NAMES;
use leeward_yaml::Mark;

use crate::model::APPS_FILE;

use super::{
    Files,
    faults::{Faults, Place},
    ignore::IgnoreRules,
};

/// Names files that are not manifests, in gitignore syntax.
pub const IGNORE_FILE: &str = ".leewardignore";

/// Reads the ignore files of a folder.
pub(crate) fn ignore_rules(
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
                if let Err(fault) = rules.add(directory, &content.bytes) {
                    let mark = Mark { line: fault.line, column: 1 };
                    faults.at(Place { file: &shown, mark }, fault.message);
                }
            }
        }
    }
    rules
}

/// The part of a folder that is rendered.
pub(crate) struct Selected<'p> {
    /// Files that are read as they are.
    pub(crate) manifests: Vec<&'p str>,
    /// Folders that are built. None lies below another.
    pub(crate) kustomizations: Vec<&'p str>,
}

pub(crate) fn select<'p>(paths: &'p [String], rules: &mut IgnoreRules) -> Selected<'p> {
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

/// Returns whether a path lies somewhere below one of the directories.
fn is_within(path: &str, directories: &BTreeSet<&str>) -> bool {
    (!path.is_empty() && directories.contains(""))
        || path.match_indices('/').any(|(at, _)| directories.contains(&path[..at]))
}

/// Returns whether the name of the file, or of a directory above it, begins with a dot.
pub(crate) fn is_hidden(path: &str) -> bool {
    path.split('/').any(|segment| segment.starts_with('.'))
}
