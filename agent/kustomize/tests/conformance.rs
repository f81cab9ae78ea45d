//! Upstream's own cases: what the real `kustomize build` makes of them.
//!
//! The list of misses is exact: a case that begins to hold fails the test as
//! one that ceases to does. The table in `docs/reference` is generated.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test reads its own cases")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use leeward_kustomize::{BuildError, LoadRestrictor, Options, Reorder, build};
use leeward_yaml::{Dialect, Documents, Limits, emit};
use serde_json::Value;

/// Cases that do not hold, and why.
const MISSES: &[(&str, &str)] = &[
    ("483", "5.5 refused an empty patch; 5.8.1 takes it, and so do we"),
    ("484", "5.5 refused a patch with comments only; 5.8.1 takes it, and so do we"),
];

struct Case {
    number: String,
    about: Value,
    folder: PathBuf,
}

#[derive(Clone, Copy, Default)]
struct Score {
    cases: usize,
    hold: usize,
    /// Of those with output: to the byte.
    output: usize,
    exact: usize,
}

enum Outcome {
    Holds { exact: Option<bool> },
    Fails(String),
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("case.json").exists())
        .map(|folder| Case {
            number: folder.file_name().unwrap().to_string_lossy().into_owned(),
            about: serde_json::from_slice(&fs::read(folder.join("case.json")).unwrap()).unwrap(),
            folder,
        })
        .collect();
    cases.sort_by(|a, b| a.number.cmp(&b.number));
    cases
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(open) = folders.pop() {
        for entry in fs::read_dir(&open).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

impl Case {
    fn text(&self, key: &str) -> &str {
        self.about[key].as_str().unwrap_or_default()
    }

    fn build(&self) -> Result<(Vec<Value>, String), Box<BuildError>> {
        let options = Options {
            restrictor: match self.text("load_restrictor") {
                "LoadRestrictionsNone" => LoadRestrictor::None,
                _ => LoadRestrictor::Root,
            },
            reorder: match self.text("reorder") {
                "none" => Reorder::None,
                _ => Reorder::Legacy,
            },
            ..Options::default()
        };
        let built = build(&files(&self.folder.join("input")), self.text("path"), &options)?;
        let text = built.to_yaml();
        Ok((built.objects.into_iter().map(|object| object.value).collect(), text))
    }

    fn run(&self) -> Outcome {
        let built = self.build();
        let Ok(expected) = fs::read_to_string(self.folder.join("expected.yaml")) else {
            return match built {
                Ok(_) => Outcome::Fails("it must fail, and does not".to_owned()),
                Err(_) => Outcome::Holds { exact: None },
            };
        };
        match built {
            Err(error) => Outcome::Fails(error.to_string()),
            Ok((values, text)) => {
                let wanted = read(&expected);
                if values == wanted {
                    return Outcome::Holds { exact: Some(text == expected) };
                }
                Outcome::Fails(difference(&wanted, &values))
            }
        }
    }
}

fn read(text: &str) -> Vec<Value> {
    let documents = Documents::new(text.as_bytes(), Dialect::Kubernetes, Limits::default());
    documents
        .unwrap()
        .map(|document| document.unwrap().into_json(Dialect::Kubernetes).unwrap())
        .filter(|value| !value.is_null())
        .collect()
}

fn difference(wanted: &[Value], found: &[Value]) -> String {
    let text =
        |values: &[Value]| values.iter().map(emit::document).collect::<Vec<_>>().join("---\n");
    let (wanted, found) = (text(wanted), text(found));
    let (wanted, found): (Vec<_>, Vec<_>) = (wanted.lines().collect(), found.lines().collect());
    let at = wanted.iter().zip(&found).take_while(|(a, b)| a == b).count();
    let show = |lines: &[&str]| {
        let from = at.saturating_sub(3);
        let lines = lines.iter().skip(from).take(9);
        lines.fold(String::new(), |shown, line| {
            format!(
                "{shown}      {line}
"
            )
        })
    };
    format!("line {}\n    wanted\n{}    found\n{}", at + 1, show(&wanted), show(&found))
}

#[test]
fn exactly_the_known_cases_do_not_hold() {
    let mut scores = BTreeMap::<u64, Score>::new();
    let mut misses = Vec::new();
    let mut report = String::new();
    for case in cases() {
        let score = scores.entry(case.about["tier"].as_u64().unwrap()).or_default();
        score.cases += 1;
        match case.run() {
            Outcome::Holds { exact } => {
                score.hold += 1;
                score.output += usize::from(exact.is_some());
                score.exact += usize::from(exact == Some(true));
                if exact == Some(false) && std::env::var_os("SHOW_INEXACT").is_some() {
                    let _ = writeln!(report, "{} is not exact", case.number);
                }
            }
            Outcome::Fails(why) => {
                let _ = writeln!(report, "{} {}: {why}", case.number, case.text("test"));
                misses.push(case.number);
            }
        }
    }
    let known: Vec<&str> = MISSES.iter().map(|(number, _)| *number).collect();
    assert!(misses == known, "{} misses\n{report}", misses.len());
    is_fresh(&page(&scores));
}

fn page(scores: &BTreeMap<u64, Score>) -> String {
    let mut page = String::from(
        "# Conformance with Kustomize\n\n\
         `leeward-kustomize` against 261 cases of kubernetes-sigs/kustomize (`agent/kustomize/tests/cases`), each\n\
         reproduced by the real `kustomize build`. A case holds when the objects are the same, in the same order,\n\
         or when both fail. Written by `LEEWARD_BLESS=1 cargo test -p leeward-kustomize --test conformance`.\n\n\
         | tier | fields | cases | hold | of those with output: to the byte |\n|---|---|---|---|---|\n",
    );
    let fields = [
        "in everyday use: resources, patches, images, generators, …",
        "replacements, configurations, vars, openapi, crds, buildMetadata",
        "built-in `transformers:` and `generators:`, validators",
    ];
    let mut all = Score::default();
    for (tier, score) in scores {
        let fields = usize::try_from(*tier - 1).ok().and_then(|at| fields.get(at)).unwrap();
        row(&mut page, &tier.to_string(), fields, *score);
        all = Score {
            cases: all.cases + score.cases,
            hold: all.hold + score.hold,
            output: all.output + score.output,
            exact: all.exact + score.exact,
        };
    }
    row(&mut page, "all", "", all);
    page.push_str("\n## Misses\n\n");
    if MISSES.is_empty() {
        page.push_str("None.\n");
    }
    for (number, why) in MISSES {
        let _ = writeln!(page, "- {number}: {why}");
    }
    page
}

fn row(page: &mut String, tier: &str, fields: &str, score: Score) {
    let Score { cases, hold, output, exact } = score;
    let _ = writeln!(page, "| {tier} | {fields} | {cases} | {hold} | {exact} of {output} |");
}

fn is_fresh(page: &str) {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/kustomize-conformance.md");
    if std::env::var_os("LEEWARD_BLESS").is_some() {
        fs::write(&path, page).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == page,
        "kustomize-conformance.md is stale; `LEEWARD_BLESS=1 cargo test -p leeward-kustomize --test conformance` rewrites it"
    );
}
