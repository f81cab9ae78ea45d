//! What the compiler does not check: the direction of imports, the size of
//! files, and words that must not stay.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Beyond this a file is two rooms (docs/ARCHITECTURE.md §3).
const MAX_LINES: usize = 500;
/// A file of claims has many short ones.
const MAX_TEST_LINES: usize = 600;

/// Room → rooms of the same crate that it may import.
const SHELL: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "daemon",
            "reconcile",
            "source",
            "cluster",
            "store",
            "report",
            "edge",
            "config",
            "clock",
            "metrics",
            "offload",
            "log",
            "age_keys",
        ],
    ),
    (
        "daemon",
        &[
            "reconcile",
            "source",
            "cluster",
            "store",
            "report",
            "edge",
            "config",
            "chance",
            "clock",
            "metrics",
            "offload",
            "log",
        ],
    ),
    ("reconcile", &["store", "edge", "config", "clock", "metrics", "offload", "age_keys"]),
    ("report", &["store", "config", "edge", "chance"]),
    ("source", &["config", "edge"]),
    ("cluster", &["config", "edge", "chance"]),
    ("store", &["config"]),
    ("edge", &[]),
    ("config", &[]),
    ("age_keys", &[]),
    ("chance", &[]),
    ("clock", &[]),
    ("metrics", &[]),
    ("offload", &[]),
    ("log", &["config"]),
];
const CORE: &[(&str, &[&str])] = &[
    ("status", &["cycle", "gate", "report", "model"]),
    ("cycle", &["gate", "plan", "health", "report", "model"]),
    ("gate", &["plan", "model"]),
    ("plan", &["model"]),
    ("health", &["model"]),
    ("apps", &["render", "model"]),
    ("render", &["git", "model"]),
    ("report", &["model"]),
    ("git", &["model"]),
    ("model", &[]),
];
/// Rooms of `leeward-kustomize`; each may import those that stand behind it.
const KUSTOMIZE: &[&str] = &[
    "assemble",
    "plugin",
    "finish",
    "replacement",
    "patch",
    "generate",
    "config",
    "loader",
    "transform",
    "load",
    "resmap",
    "kustomization",
    "select",
    "resource",
    "decode",
    "fieldspec",
    "schema",
    "origin",
    "id",
    "budget",
    "error",
    "files",
    "json",
];

/// Rooms of `leeward-yaml`, in the same order.
const YAML: &[&str] = &[
    "tests",
    "restyle",
    "emit",
    "documents",
    "unique",
    "set",
    "spread",
    "json",
    "edit",
    "resolve",
    "number",
    "dialect",
    "error",
    "node",
    "shared",
    "timestamp",
    "fold",
    "limits",
    "sort",
];

/// Rooms of `leeward-sops`, in the same order.
const SOPS: &[&str] = &[
    "tests", "vectors", "seal", "dotenv", "tree", "splice", "verify", "data_key", "format",
    "metadata", "error", "value", "age", "shamir", "rule",
];

/// Crate → crates of ours that it may depend on.
const CRATES: &[(&str, &[&str])] = &[
    (
        "agent",
        &["leeward-core", "leeward-kustomize", "leeward-sops", "leeward-wire", "leeward-yaml"],
    ),
    ("agent/core", &["leeward-kustomize", "leeward-sops", "leeward-wire", "leeward-yaml"]),
    ("agent/kustomize", &["leeward-yaml"]),
    ("agent/sops", &["leeward-yaml"]),
    ("agent/wire", &[]),
    ("agent/yaml", &[]),
];
/// Rooms of `leeward-wire`, in the same order.
const WIRE: &[&str] =
    &["samples", "control", "report", "event", "status", "history", "object", "link", "id"];

/// Each room may import those behind it.
fn ordered(rooms: &'static [&'static str]) -> Vec<(&'static str, &'static [&'static str])> {
    rooms.iter().enumerate().map(|(at, room)| (*room, &rooms[at + 1..])).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "rs" || extension == "go")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The rooms that a file names after `crate::`, tests and comments left out.
fn imported(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut rooms = BTreeSet::new();
    let mut rest = code;
    while let Some(at) = rest.find("crate::") {
        rest = &rest[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for character in list.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => word.clear(),
                    ':' if depth == 0 && !word.is_empty() => {
                        rooms.insert(std::mem::take(&mut word));
                    }
                    character
                        if depth == 0 && (character.is_alphanumeric() || character == '_') =>
                    {
                        word.push(character);
                    }
                    _ => {}
                }
            }
        } else {
            let word: String =
                rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            rooms.insert(word);
        }
    }
    rooms
}

fn check(source: &Path, rules: &[(&str, &[&str])]) -> Vec<String> {
    let mut wrong = Vec::new();
    for path in sources(source) {
        let inside = path.strip_prefix(source).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_string_lossy();
        let room = first.trim_end_matches(".rs").to_owned();
        let Some((_, allowed)) = rules.iter().find(|(name, _)| *name == room) else { continue };
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> =
            text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for other in imported(&lines.join("\n")) {
            let known = rules.iter().any(|(name, _)| *name == other);
            if known && other != room && !allowed.contains(&other.as_str()) {
                wrong.push(format!("{} imports crate::{other}", inside.display()));
            }
        }
    }
    wrong
}

#[test]
fn imports_flow_down_only() {
    assert_eq!(check(&root().join("agent/src"), SHELL), Vec::<String>::new());
    assert_eq!(check(&root().join("agent/core/src"), CORE), Vec::<String>::new());
    assert_eq!(
        check(&root().join("agent/kustomize/src"), &ordered(KUSTOMIZE)),
        Vec::<String>::new()
    );
    assert_eq!(check(&root().join("agent/sops/src"), &ordered(SOPS)), Vec::<String>::new());
    assert_eq!(check(&root().join("agent/yaml/src"), &ordered(YAML)), Vec::<String>::new());
    assert_eq!(check(&root().join("agent/wire/src"), &ordered(WIRE)), Vec::<String>::new());
}

#[test]
fn a_crate_stands_only_on_those_below_it() {
    for (folder, allowed) in CRATES {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let names = manifest.lines().filter_map(|line| line.split(['.', ' ']).next());
        let mut ours: Vec<&str> = names.filter(|name| name.starts_with("leeward-")).collect();
        ours.sort_unstable();
        assert_eq!(ours, *allowed, "{folder}/Cargo.toml");
    }
}

#[test]
fn every_room_is_on_the_map() {
    let (kustomize, sops) = (ordered(KUSTOMIZE), ordered(SOPS));
    let (yaml, wire) = (ordered(YAML), ordered(WIRE));
    let all: [(&str, &[_]); 6] = [
        ("agent/src", SHELL),
        ("agent/core/src", CORE),
        ("agent/kustomize/src", &kustomize),
        ("agent/sops/src", &sops),
        ("agent/yaml/src", &yaml),
        ("agent/wire/src", &wire),
    ];
    for (source, rules) in all {
        for entry in fs::read_dir(root().join(source)).unwrap() {
            let name =
                entry.unwrap().file_name().to_string_lossy().trim_end_matches(".rs").to_owned();
            let known = rules.iter().any(|(room, _)| *room == name);
            assert!(known || ["lib", "main"].contains(&name.as_str()), "{source}/{name}");
        }
    }
}

#[test]
fn no_file_is_two_rooms() {
    let mut long = Vec::new();
    for path in ["agent", "tests"].iter().flat_map(|folder| sources(&root().join(folder))) {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        let is_test = path.ends_with("tests.rs") || path.iter().any(|part| part == "tests");
        if lines > if is_test { MAX_TEST_LINES } else { MAX_LINES } {
            long.push(format!("{}: {lines} lines", path.display()));
        }
    }
    assert_eq!(long, Vec::<String>::new());
}

#[test]
fn only_the_diff_of_revisions_starts_a_program() {
    let mut starting = Vec::new();
    for room in ["src", "core/src", "kustomize/src", "sops/src", "yaml/src", "wire/src"] {
        let room = root().join("agent").join(room);
        for path in sources(&room) {
            let inside = path.strip_prefix(&room).unwrap();
            let is_test = inside.iter().any(|part| part == "tests" || part == "tests.rs");
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            if !is_test && code.contains("Command::new(") {
                starting.push(inside.display().to_string());
            }
        }
    }
    assert_eq!(starting, ["cli/git.rs"]);
}

/// Public functions of the library crates that only tests name, and why they stay.
const CALLED_BY_NOBODY: &[(&str, &str)] = &[("substitute_text", "the fuzzers put texts to it")];

/// A file without tests, comments and `use` items: a re-export calls nothing.
fn calls(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut kept = String::new();
    let mut in_use = false;
    for line in code.lines().map(str::trim_start).filter(|line| !line.starts_with("//")) {
        in_use |= ["use ", "pub use ", "pub(crate) use ", "pub(super) use "]
            .iter()
            .any(|start| line.starts_with(start));
        if !in_use {
            kept.push_str(line);
            kept.push('\n');
        }
        in_use &= !line.ends_with(';');
    }
    kept
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// The names of the functions that a file makes public.
fn public_functions(code: &str) -> Vec<&str> {
    let starts = ["pub fn ", "pub const fn ", "pub async fn "];
    let rest = |line| starts.iter().find_map(|start| str::strip_prefix(line, start));
    code.lines().filter_map(rest).filter_map(|rest| words(rest).next()).collect()
}

/// rustc does not warn of a public function that nobody calls.
#[test]
fn every_public_function_of_a_library_is_called_outside_its_file_and_tests() {
    const LIBRARIES: [&str; 4] = ["core/src", "kustomize/src", "sops/src", "wire/src"];
    let agent = root().join("agent");
    let is_test = |path: &Path| {
        path.iter().any(|part| ["tests", "vectors"].iter().any(|name| part == *name))
            || ["tests.rs", "properties.rs"].iter().any(|name| path.ends_with(name))
    };
    let files: Vec<(PathBuf, String)> = sources(&agent)
        .into_iter()
        .filter(|path| !is_test(path.strip_prefix(&agent).unwrap()))
        .map(|path| (path.clone(), calls(&fs::read_to_string(path).unwrap())))
        .collect();
    let mut users: BTreeMap<&str, BTreeSet<&Path>> = BTreeMap::new();
    for (path, code) in &files {
        for word in words(code) {
            users.entry(word).or_default().insert(path);
        }
    }
    let mut unused: BTreeSet<&str> = BTreeSet::new();
    for (path, code) in &files {
        let inside = path.strip_prefix(&agent).unwrap();
        if LIBRARIES.iter().any(|library| inside.starts_with(library)) {
            let names = public_functions(code).into_iter();
            unused.extend(names.filter(|name| users.get(name).is_none_or(|users| users.len() < 2)));
        }
    }
    let known: BTreeSet<&str> = CALLED_BY_NOBODY.iter().map(|(name, _)| *name).collect();
    assert_eq!(unused, known, "wire it, make it private, or delete it");
}

#[test]
fn nothing_is_left_for_later_in_the_code() {
    // Split so that this file does not find itself.
    let words = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME")];
    for path in ["agent", "tests"].iter().flat_map(|folder| sources(&root().join(folder))) {
        let text = fs::read_to_string(&path).unwrap();
        for word in words {
            assert!(!text.contains(word), "{} holds {word}", path.display());
        }
    }
}
