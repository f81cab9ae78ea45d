//! Kustomizations that nobody wrote: bases, components and overlays, made of
//! a seed. Few fields in each, most of them fit for what is there, so that
//! about half of them build.

mod kustomization;
mod objects;
mod patches;
mod style;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use leeward_tests::Seed;
use serde_json::{Value, json};

/// So few that objects meet each other's references.
const NAMES: [&str; 6] = ["web", "api", "db", "cache", "web-api", "job"];
const NAMESPACES: [&str; 3] = ["default", "team-a", "prod"];
const IMAGES: [&str; 6] = [
    "nginx",
    "nginx:1.2",
    "registry.io:5000/app/web:v1",
    "quay.io/x/api@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "busybox:latest",
    "docker.io/library/nginx:1.19",
];
/// What YAML may take for something else.
const TEXTS: [&str; 48] = [
    "a",
    "b",
    "value",
    "x-1",
    "true",
    "yes",
    "1",
    "1.0",
    "0644",
    "null",
    "",
    " lead",
    "trail ",
    "x: y",
    "two\nlines\n",
    "two\nlines",
    "\n",
    "a\n\nb\n\n",
    "#no",
    "1e3",
    "~",
    "${VAR}",
    "$(VAR)",
    "on",
    "2001-12-14",
    "'q'",
    "\"d\"",
    "- a",
    "é",
    "a\tb",
    "0x1F",
    "0o7",
    "a: |\n  b\n",
    "{x}",
    "[y]",
    "*a",
    "&b",
    "!c",
    "%d",
    "@e",
    "`f`",
    "k=v",
    "=",
    "<<",
    ".inf",
    "1_000",
    "12:30:45",
    "y",
];

/// Writes a tree of kustomizations, and returns the folder to build.
pub(crate) fn tree(seed: u64, root: &Path) -> io::Result<PathBuf> {
    let mut inventor = Inventor {
        seed: Seed::new(seed),
        files: BTreeMap::new(),
        objects: Vec::new(),
        seen: BTreeSet::new(),
        generated: Vec::new(),
    };
    let top = inventor.tree();
    for (path, content) in inventor.files {
        let file = root.join(path);
        fs::create_dir_all(file.parent().unwrap_or(root))?;
        fs::write(file, content)?;
    }
    Ok(root.join(top))
}

struct Inventor {
    seed: Seed,
    /// Contents by path.
    files: BTreeMap<String, Vec<u8>>,
    /// That patches and replacements may be for.
    objects: Vec<Value>,
    /// Kinds and names of them.
    seen: BTreeSet<(String, String)>,
    /// ConfigMaps and Secrets of generators: kind, name, namespace.
    generated: Vec<(&'static str, String, Value)>,
}

impl Inventor {
    fn tree(&mut self) -> String {
        let mut below: Vec<String> =
            (0..=self.seed.below(2)).map(|at| format!("base{at}")).collect();
        for folder in &below {
            let mut kustomization = self.resources(folder);
            if self.chance(60) {
                self.features(folder, &mut kustomization);
            }
            self.write_kustomization(folder, &kustomization);
        }
        let mut components: Vec<String> =
            (0..self.seed.below(3)).map(|at| format!("component{at}")).collect();
        for folder in &components {
            let mut kustomization =
                json!({"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"});
            self.features(folder, &mut kustomization);
            self.write_kustomization(folder, &kustomization);
        }
        for level in 0..=self.seed.below(2) {
            let folder = format!("over{level}");
            let refer = |folders: &[String]| -> Vec<String> {
                folders.iter().map(|folder| format!("../{folder}")).collect()
            };
            let mut kustomization = json!({ "resources": refer(&below) });
            if self.chance(70) && !components.is_empty() {
                kustomization["components"] = json!(refer(&components));
                components.clear();
            }
            if self.chance(80) {
                self.features(&folder, &mut kustomization);
            }
            self.write_kustomization(&folder, &kustomization);
            below = vec![folder];
        }
        below.remove(0)
    }

    /// A kustomization of some objects, in one file or several.
    fn resources(&mut self, folder: &str) -> Value {
        let objects: Vec<Value> = (0..=self.seed.below(6)).map(|_| self.object()).collect();
        let texts: Vec<String> =
            objects.iter().map(|object| style::document(&mut self.seed, object)).collect();
        self.objects.extend(objects);
        let texts = if self.chance(50) { vec![texts.join("---\n")] } else { texts };
        let names: Vec<String> = (0..texts.len()).map(|at| format!("r{at}.yaml")).collect();
        for (name, text) in names.iter().zip(texts) {
            self.files.insert(format!("{folder}/{name}"), text.into_bytes());
        }
        json!({ "resources": names })
    }

    fn write_kustomization(&mut self, folder: &str, kustomization: &Value) {
        let text = style::document(&mut self.seed, kustomization);
        self.files.insert(format!("{folder}/kustomization.yaml"), text.into_bytes());
    }

    fn chance(&mut self, percent: u8) -> bool {
        self.seed.chance(percent)
    }

    fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.seed.below(count as u64)).unwrap_or(0)
    }

    fn one_of<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())].clone()
    }

    /// One to so many of them, in their order.
    fn some<T: Clone>(&mut self, of: &[T], most: usize) -> Vec<T> {
        let mut left: Vec<usize> = (0..of.len()).collect();
        let count = 1 + self.index(most.min(of.len()));
        while left.len() > count {
            let at = self.index(left.len());
            left.remove(at);
        }
        left.into_iter().map(|at| of[at].clone()).collect()
    }

    fn name(&mut self) -> &'static str {
        self.one_of(&NAMES)
    }

    fn text(&mut self) -> &'static str {
        self.one_of(&TEXTS)
    }

    /// Anything that a field may hold.
    fn value(&mut self) -> Value {
        match self.index(4) {
            0 => {
                self.one_of(&[json!(1), json!(0), json!(1.5), json!(-3), json!(12_345_678_901_u64)])
            }
            1 => self.one_of(&[
                json!(true),
                json!(false),
                json!(null),
                json!(["l"]),
                json!({"a": "b"}),
            ]),
            _ => json!(self.text()),
        }
    }

    /// An object that is not a list.
    fn target(&mut self) -> Value {
        self.one_of(&self.objects.clone())
    }
}
