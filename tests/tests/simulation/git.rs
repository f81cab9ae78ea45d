//! What Git holds, and a source that fails on the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use leeward::{edge::Fetch, store::Store};
use leeward_core::{
    git::{Object, ObjectType, Objects as _, hash_object},
    model::{AppName, FetchFailure, Fetched, FetchedFolder, GitId, LinkStep, ObjectKey},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    content::{AppContent, Apps, slot_of},
    sabotage::Sabotage,
    world::Handle,
};

/// An app that cannot be read keeps the others from deleting for so long: what
/// `docs/guides/repository-layout.md` promises.
const UNREAD_FOR: Duration = Duration::from_secs(3600);

#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) id: GitId,
    pub(crate) tree: GitId,
    pub(crate) objects: Vec<Object>,
    pub(crate) apps: Apps,
    pub(crate) trees: BTreeMap<AppName, GitId>,
    pub(crate) at: Instant,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Git {
    pub(crate) commits: Vec<Commit>,
    pub(crate) sabotage: Sabotage,
    /// Commits that only a sabotaged agent sees, each before the one that it is a part of.
    parts: Vec<Commit>,
    /// The last of them was not fetched yet.
    has_part: bool,
}

impl Git {
    pub(crate) fn new(sabotage: Sabotage) -> Self {
        Self { sabotage, ..Self::default() }
    }

    pub(crate) fn commit(&mut self, apps: Apps) {
        if self.sabotage == Sabotage::AppsApart
            && let Some(before) = self.commits.last()
        {
            let part = without_gains(&before.apps, &apps);
            self.has_part = part != apps;
            let part = self.build(part);
            self.parts.extend(Some(part).filter(|_| self.has_part));
        }
        let commit = self.build(apps);
        self.commits.push(commit);
    }

    /// The commit that is fetched next.
    fn next(&self) -> Option<Commit> {
        let part = self.parts.last().filter(|_| self.has_part);
        part.or(self.commits.last()).cloned()
    }

    fn build(&self, apps: Apps) -> Commit {
        let mut objects = Vec::new();
        let mut entries = Vec::new();
        let mut trees = BTreeMap::new();
        let listed: Vec<Value> = apps.keys().map(|name| self.declared(name)).collect();
        let yaml = json!({ "apiVersion": "leeward.dev/v1alpha1", "kind": "Apps", "apps": listed });
        entries.push(("leeward.yaml".to_owned(), false, blob(&mut objects, yaml.to_string())));
        for (name, content) in &apps {
            let mut files: Vec<_> = content
                .files
                .iter()
                .map(|(file, body)| {
                    let file = format!("{file}.yaml");
                    (file, false, blob(&mut objects, body.to_string()))
                })
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
        let number = self.commits.len() + self.parts.len();
        let text = format!(
            "tree {root}\n{parent}author A <a@example.com> {0} +0000\ncommitter A <a@example.com> {0} +0000\n\ncommit {number}\n",
            1_700_000_000 + number,
        );
        let id = keep(&mut objects, ObjectType::Commit, text.into_bytes());
        Commit { id, tree: root, objects, apps, trees, at: Instant::now() }
    }

    /// The tree of an app in a commit, by the commit's name.
    pub(crate) fn tree(&self, app: &str, commit: &str) -> Option<GitId> {
        let mut known = self.commits.iter().rev().chain(&self.parts);
        let found = known.find(|found| found.id.to_string() == commit)?;
        found.trees.get(app).copied()
    }

    /// Whether every commit so far declares an object, in whichever app.
    pub(crate) fn always_declares(&self, key: &ObjectKey) -> bool {
        let declares = |content: &AppContent| content.body(key).is_some();
        self.commits.iter().all(|commit| commit.apps.values().any(declares))
    }

    /// Whether whoever declares an object cannot be read for so long that it is not waited for.
    pub(crate) fn has_given_up(&self, key: &ObjectKey) -> bool {
        let Some(last) = self.commits.last() else { return false };
        let mut declaring = last.apps.values().filter(|content| content.body(key).is_some());
        last.at.elapsed() >= UNREAD_FOR && declaring.all(|content| content.broken)
    }

    /// Whether no two slots ever declared an object. Of one that wandered, an app that
    /// makes it for a revision that is bad may take it away again.
    pub(crate) fn has_one_owner(&self, key: &ObjectKey) -> bool {
        let apps = self.commits.iter().flat_map(|commit| &commit.apps);
        let owners = apps.filter(|(_, content)| content.body(key).is_some());
        owners.map(|(app, _)| slot_of(app)).collect::<BTreeSet<_>>().len() < 2
    }

    /// Whether the slot of an app had another name as well.
    pub(crate) fn was_renamed(&self, app: &str) -> bool {
        let mut apps = self.commits.iter().flat_map(|commit| commit.apps.keys());
        apps.any(|other| other != app && slot_of(other) == slot_of(app))
    }

    /// What an app declares in a commit.
    pub(crate) fn content(&self, app: &str, commit: GitId) -> Option<&AppContent> {
        self.commits.iter().rev().find(|known| known.id == commit)?.apps.get(app)
    }

    /// The largest volume and the newest stored version that a slot has had.
    pub(crate) fn level(&self, slot: &str) -> u64 {
        highest(&self.commits, slot)
    }

    /// Whether nothing keeps a content from becoming good, whenever it is offered: not
    /// itself, and no larger volume or newer version that came before it.
    pub(crate) fn is_sound(&self, app: &str, tree: GitId) -> bool {
        let mut offers = (0..self.commits.len())
            .filter(|index| self.commits[*index].trees.get(app) == Some(&tree))
            .peekable();
        offers.peek().is_some()
            && offers.all(|index| {
                let content = &self.commits[index].apps[app];
                let before = highest(&self.commits[..index], slot_of(app));
                content.is_sound() && content.levels().all(|level| level >= before)
            })
    }

    /// `shop` depends on `db`; the others stand alone.
    fn declared(&self, name: &str) -> Value {
        let depends_on: &[&str] = if name == "shop" { &["db"] } else { &[] };
        json!({
            "name": name, "path": name, "dependsOn": depends_on, "timeout": "60s", "soak": "10s",
            "prune": { "maxObjects": 3, "maxShare": 0.5, "first": self.sabotage == Sabotage::PrunesFirst },
        })
    }
}

/// A commit in which the apps that get something from another stay as they were.
fn without_gains(before: &Apps, apps: &Apps) -> Apps {
    let gains = |(app, content): (&AppName, &AppContent)| {
        let others = before.iter().filter(|(other, _)| *other != app);
        let mut taken = others.flat_map(|(_, other)| other.keys());
        let old = before.get(app).filter(|_| taken.any(|key| content.body(&key).is_some()));
        (app.clone(), old.unwrap_or(content).clone())
    };
    apps.iter().map(gains).collect()
}

fn highest(commits: &[Commit], slot: &str) -> u64 {
    let apps = commits.iter().flat_map(|commit| &commit.apps);
    let contents = apps.filter(|(app, _)| slot_of(app) == slot).map(|(_, content)| content);
    contents.flat_map(AppContent::levels).max().unwrap_or(0)
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
            (world.weather.link_down, world.dice.percent(fails), world.git.next())
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
        self.handle.with(|world| world.git.has_part = false);
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
