//! What Git holds, and a source that fails on the way.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use leeward::{edge::Fetch, store::Store};
use leeward_core::{
    git::{Object, ObjectType, Objects as _, hash_object},
    model::{AppName, FetchFailure, Fetched, FetchedFolder, GitId, LinkStep, ObjectKey},
};
use serde_json::{Value, json};

use super::{
    live::Behaviour,
    world::{Dice, Handle},
};

/// `shop` depends on `db`; `till` stands alone.
pub(crate) const APPS: [&str; 3] = ["db", "shop", "till"];

/// One app in one commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AppContent {
    /// File name → manifest.
    pub(crate) files: BTreeMap<String, Value>,
    pub(crate) broken: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) id: GitId,
    pub(crate) tree: GitId,
    pub(crate) objects: Vec<Object>,
    pub(crate) apps: BTreeMap<AppName, AppContent>,
    pub(crate) trees: BTreeMap<AppName, GitId>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Git {
    pub(crate) commits: Vec<Commit>,
}

impl AppContent {
    /// A random content; a part of them is bad in one of five ways.
    pub(crate) fn draw(app: &str, dice: &mut Dice, may_be_bad: bool) -> Self {
        let namespace = format!("ns-{app}");
        let mut files = BTreeMap::new();
        let home =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        files.insert("namespace.yaml".to_owned(), home);
        for index in 0..dice.below(5) {
            let name = format!("config-{index}");
            let body = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": { "name": name, "namespace": namespace },
                "data": { "value": dice.below(6).to_string() },
            });
            files.insert(format!("{name}.yaml"), body);
        }
        for index in 0..=dice.below(2) {
            let behaviour = match dice.below(10) {
                0 if may_be_bad => Behaviour::Crashes,
                1 if may_be_bad => Behaviour::Invalid,
                2 if may_be_bad => Behaviour::SurprisesAtApply,
                3 | 4 => Behaviour::Slow(1 + dice.below(30)),
                _ => Behaviour::Fine,
            };
            let name = format!("web-{index}");
            let wave = if dice.percent(30) { "1" } else { "0" };
            let body = json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {
                    "name": name, "namespace": namespace,
                    "annotations": { "leeward.dev/wave": wave },
                },
                "spec": {
                    "behaviour": behaviour.word(), "replicas": 1, "version": dice.below(6),
                },
            });
            files.insert(format!("{name}.yaml"), body);
        }
        Self { files, broken: may_be_bad && dice.percent(5) }
    }

    /// Whether nothing in it keeps it from becoming good.
    pub(crate) fn is_sound(&self) -> bool {
        let fine =
            |body: &Value| matches!(Behaviour::of(body), Behaviour::Fine | Behaviour::Slow(_));
        !self.broken && self.files.values().all(fine)
    }

    pub(crate) fn keys(&self) -> Vec<ObjectKey> {
        self.files.values().filter_map(ObjectKey::of).collect()
    }
}

impl Git {
    pub(crate) fn commit(&mut self, apps: BTreeMap<AppName, AppContent>) {
        let mut objects = Vec::new();
        let mut entries = Vec::new();
        let mut trees = BTreeMap::new();
        let listed: Vec<Value> = apps.keys().map(|name| declared(name)).collect();
        let yaml = json!({ "apiVersion": "leeward.dev/v1alpha1", "kind": "Apps", "apps": listed });
        entries.push(("leeward.yaml".to_owned(), false, blob(&mut objects, yaml.to_string())));
        for (name, content) in &apps {
            let mut files: Vec<_> = content
                .files
                .iter()
                .map(|(file, body)| (file.clone(), false, blob(&mut objects, body.to_string())))
                .collect();
            if content.broken {
                let text = "kind: [unclosed\n".to_owned();
                files.push(("broken.yaml".to_owned(), false, blob(&mut objects, text)));
            }
            let tree = tree(&mut objects, files);
            trees.insert(name.clone(), tree);
            entries.push((name.clone(), true, tree));
        }
        let root = tree(&mut objects, entries);
        let parent =
            self.commits.last().map_or_else(String::new, |last| format!("parent {}\n", last.id));
        let number = self.commits.len();
        let text = format!(
            "tree {root}\n{parent}author A <a@example.com> {0} +0000\ncommitter A <a@example.com> {0} +0000\n\ncommit {number}\n",
            1_700_000_000 + number,
        );
        let id = keep(&mut objects, ObjectType::Commit, text.into_bytes());
        self.commits.push(Commit { id, tree: root, objects, apps, trees });
    }

    /// The tree of an app in a commit, by the commit's name.
    pub(crate) fn tree(&self, app: &str, commit: &str) -> Option<GitId> {
        let found = self.commits.iter().rev().find(|found| found.id.to_string() == commit)?;
        found.trees.get(app).copied()
    }

    pub(crate) fn always_declares(&self, app: &str, key: &ObjectKey) -> bool {
        self.commits
            .iter()
            .all(|commit| commit.apps.get(app).is_some_and(|content| content.keys().contains(key)))
    }
}

fn declared(name: &str) -> Value {
    let depends_on: &[&str] = if name == "shop" { &["db"] } else { &[] };
    json!({
        "name": name, "path": name, "dependsOn": depends_on, "timeout": "60s", "soak": "10s",
        "prune": { "maxObjects": 3, "maxShare": 0.5 },
    })
}

fn keep(objects: &mut Vec<Object>, kind: ObjectType, data: Vec<u8>) -> GitId {
    let id = hash_object(kind, &data).expect("nobody attacks the simulation");
    objects.push(Object { id, kind, data });
    id
}

fn blob(objects: &mut Vec<Object>, text: String) -> GitId {
    keep(objects, ObjectType::Blob, text.into_bytes())
}

/// gitformat: entries are sorted as if the name of a tree ended in a slash.
fn tree(objects: &mut Vec<Object>, mut entries: Vec<(String, bool, GitId)>) -> GitId {
    entries
        .sort_by_key(|(name, folder, _)| if *folder { format!("{name}/") } else { name.clone() });
    let mut data = Vec::new();
    for (name, folder, id) in entries {
        let mode = if folder { "40000" } else { "100644" };
        data.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        data.extend_from_slice(id.as_bytes());
    }
    keep(objects, ObjectType::Tree, data)
}

/// A source whose link breaks in the middle.
#[derive(Debug)]
pub(crate) struct SimSource {
    pub(crate) handle: Handle,
    pub(crate) store: Arc<Store>,
}

impl Fetch for SimSource {
    async fn fetch(&mut self, _have: Option<GitId>) -> Result<Fetched, FetchFailure> {
        self.handle.point().await;
        let (down, breaks, commit) = self.handle.with(|world| {
            let fails = world.weather.link_fails;
            (world.weather.link_down, world.dice.percent(fails), world.git.commits.last().cloned())
        });
        let failure = |step, evidence: &str, progressed| FetchFailure {
            step,
            evidence: evidence.to_owned(),
            hint: None,
            retry_after: None,
            progressed,
            sent: 0,
            received: 0,
        };
        if down {
            return Err(failure(LinkStep::Connect, "connection refused", false));
        }
        let Some(commit) = commit else {
            return Err(failure(LinkStep::Ref, "the repository is empty", false));
        };
        let mut missing = Vec::new();
        for object in &commit.objects {
            let held = self.store.contains(object.id);
            if !held.map_err(|error| failure(LinkStep::Path, &error.to_string(), false))? {
                missing.push(object.clone());
            }
        }
        let part = if breaks { missing.len() / 2 } else { missing.len() };
        for object in &missing[..part] {
            self.store
                .write(std::slice::from_ref(object))
                .map_err(|error| failure(LinkStep::Path, &error.to_string(), false))?;
            self.handle.point().await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        if breaks {
            return Err(failure(LinkStep::Http, "the connection was cut", part > 0));
        }
        Ok(Fetched {
            commit: commit.id,
            tree: commit.tree,
            reference: "refs/heads/main".to_owned(),
            others: BTreeMap::new(),
            left_out: BTreeMap::new(),
            sent: 200,
            received: 400,
        })
    }

    /// Its apps have no kustomizations, so nobody asks.
    async fn fetch_folder(
        &mut self,
        _commit: GitId,
        _have: Option<GitId>,
        _folder: &str,
        _most: u64,
    ) -> Result<FetchedFolder, FetchFailure> {
        Ok(FetchedFolder { tree: None, sent: 0, received: 0 })
    }
}
