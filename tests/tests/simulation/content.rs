//! What an app declares in one commit, drawn so that it has a bit of everything.

use std::collections::BTreeMap;

use leeward_core::model::{AppName, ObjectKey};
use serde_json::{Value, json};

use super::{live::Behaviour, world::Dice};

/// A folder of objects with a namespace of its own, and the names that its app may have.
pub(crate) const SLOTS: [(&str, &[&str]); 3] =
    [("db", &["db"]), ("shop", &["shop"]), ("till", &["till", "kiosk"])];

/// Objects that commits move from app to app, in a namespace that is always there.
const WANDERERS: [(&str, &str); 2] = [("ConfigMap", "wanderer-0"), ("Deployment", "wanderer-1")];
/// Nobody declares this namespace, and nobody can delete it.
pub(crate) const HOME_OF_WANDERERS: &str = "default";

/// The apps of one commit.
pub(crate) type Apps = BTreeMap<AppName, AppContent>;

/// One app in one commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AppContent {
    /// File name → manifest.
    pub(crate) files: BTreeMap<String, Value>,
    pub(crate) broken: bool,
}

/// The slot of an app, whatever its name is now.
pub(crate) fn slot_of(app: &str) -> &str {
    SLOTS.iter().find(|(_, names)| names.contains(&app)).map_or(app, |(slot, _)| slot)
}

/// The name that the app of a slot has in a commit.
pub(crate) fn name_in(apps: &Apps, slot: &str) -> AppName {
    let (_, names) = SLOTS.iter().find(|(known, _)| *known == slot).expect("one of the slots");
    let found = names.iter().find(|name| apps.contains_key(**name));
    (*found.unwrap_or(&names[0])).to_owned()
}

/// What a draw is given.
pub(crate) struct Draw<'a> {
    pub(crate) slot: &'a str,
    pub(crate) may_be_bad: bool,
    /// What the app declares now; volumes and definitions mostly stay.
    pub(crate) before: Option<&'a AppContent>,
    /// The largest volume or the newest stored version that any commit has had so far.
    pub(crate) level: u64,
}

impl AppContent {
    /// A random content; a part of them is bad in one of six ways.
    pub(crate) fn draw(draw: &Draw<'_>, dice: &mut Dice) -> Self {
        let mut content = Self { broken: draw.may_be_bad && dice.percent(5), ..Self::default() };
        let namespace = format!("ns-{}", draw.slot);
        content.put(
            "namespace",
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }),
        );
        for index in 0..dice.below(4) {
            let (name, value) = (format!("config-{index}"), dice.below(6).to_string());
            content.put(&name, config_map(&namespace, &name, &value));
        }
        let quota = dice.percent(35).then(|| 1 + dice.below(3));
        let too_large = draw.may_be_bad && dice.percent(6);
        let most = quota.unwrap_or(3) + u64::from(too_large);
        // One of two names: a commit that takes the other renames it.
        let is_first = draw.before.is_none_or(|one| one.files.contains_key("front-a"));
        let front = if is_first == dice.percent(60) { "front-a" } else { "front-b" };
        let mut body = deployment(&namespace, front, draw.may_be_bad, dice);
        body["spec"]["size"] = json!(most);
        content.put(front, body);
        for index in 0..dice.below(2) {
            let name = format!("web-{index}");
            let mut body = deployment(&namespace, &name, draw.may_be_bad, dice);
            body["spec"]["size"] = json!(1 + dice.below(most));
            content.put(&name, body);
        }
        if let Some(hard) = quota {
            let metadata = json!({ "name": "quota", "namespace": namespace });
            let spec = json!({ "hard": { "size": hard } });
            content.put("quota", json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": spec }));
        }
        content.draw_lasting(draw, dice);
        content
    }

    /// A volume that cannot shrink, and a definition that keeps the versions it stored.
    fn draw_lasting(&mut self, draw: &Draw<'_>, dice: &mut Dice) {
        let namespace = format!("ns-{}", draw.slot);
        let mut has = |name: &str| {
            let before = draw.before.map(|one| one.files.contains_key(name));
            dice.percent(match before {
                Some(true) => 92,
                Some(false) => 15,
                None => 40,
            })
        };
        let (disk, definition) = (has("disk"), has("definition"));
        if disk {
            let storage = format!("{}Gi", draw.level.max(1) + dice.below(2));
            self.put(
                "disk",
                json!({
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                    "metadata": { "name": "disk", "namespace": namespace },
                    "spec": { "resources": { "requests": { "storage": storage } } },
                }),
            );
        }
        if definition {
            let level = draw.level.max(1) + dice.below(2);
            let group = format!("{}.example.com", draw.slot);
            let versions: Vec<Value> =
                (1..=level).map(|n| json!({ "name": format!("v{n}"), "served": true })).collect();
            self.put(
                "definition",
                json!({
                    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                    "metadata": { "name": format!("widgets.{group}") },
                    "spec": {
                        "group": group, "names": { "kind": "Widget", "plural": "widgets" },
                        "scope": "Namespaced", "versions": versions,
                    },
                }),
            );
            self.put(
                "widget",
                json!({
                    "apiVersion": format!("{group}/v1"), "kind": "Widget",
                    "metadata": { "name": "widget", "namespace": namespace },
                    "spec": { "field": 1 + dice.below(level) },
                }),
            );
        }
    }

    /// A Job that is the same in every commit: it runs once, and goes by itself.
    pub(crate) fn add_job(&mut self, slot: &str, seconds: u64, time_to_live: u64) {
        self.put(
            "job",
            json!({
                "apiVersion": "batch/v1", "kind": "Job",
                "metadata": { "name": "once", "namespace": format!("ns-{slot}") },
                "spec": { "ttlSecondsAfterFinished": time_to_live, "seconds": seconds },
            }),
        );
    }

    fn put(&mut self, name: &str, body: Value) {
        self.files.insert(name.to_owned(), body);
    }

    /// Whether nothing in it keeps it from becoming good.
    pub(crate) fn is_sound(&self) -> bool {
        let hard = self.files.get("quota").and_then(|quota| quota["spec"]["hard"]["size"].as_u64());
        let fine = |body: &Value| {
            let fits = body["spec"]["size"].as_u64().unwrap_or(0) <= hard.unwrap_or(u64::MAX);
            fits && Behaviour::of(body).is_fine()
        };
        !self.broken && self.files.values().all(fine)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = ObjectKey> {
        self.files.values().filter_map(ObjectKey::of)
    }

    pub(crate) fn body(&self, key: &ObjectKey) -> Option<&Value> {
        self.files.values().find(|body| ObjectKey::of(body).as_ref() == Some(key))
    }

    /// The size of its volume and the newest version of its definition.
    pub(crate) fn levels(&self) -> impl Iterator<Item = u64> {
        self.files.values().filter_map(level)
    }

    /// How long its slowest image needs.
    pub(crate) fn longest_pull(&self) -> u64 {
        let pulls = self.files.values().filter_map(|body| Behaviour::of(body).pulls());
        pulls.max().unwrap_or(0)
    }
}

/// What of an object can grow and never shrink.
pub(crate) fn level(body: &Value) -> Option<u64> {
    let storage = body["spec"]["resources"]["requests"]["storage"].as_str();
    let size = storage.and_then(|size| size.trim_end_matches("Gi").parse().ok());
    size.or_else(|| Some(body["spec"]["versions"].as_array()?.len() as u64))
}

/// Carries over what wanders, and moves some of it from one app to another.
pub(crate) fn wander(before: &Apps, apps: &mut Apps, may_be_bad: bool, dice: &mut Dice) {
    for (kind, name) in WANDERERS {
        let at = before.iter().find(|(_, content)| content.files.contains_key(name));
        let at = at.map(|(app, content)| (app.clone(), content.files[name].clone()));
        // A renamed app keeps it, and one that left Git loses it.
        let stays = at.as_ref().map(|(app, _)| name_in(apps, slot_of(app)));
        let stays = stays.filter(|app| apps.contains_key(app) && !dice.percent(25));
        let to = stays.unwrap_or_else(|| {
            let index = usize::try_from(dice.below(apps.len() as u64)).unwrap_or(0);
            apps.keys().nth(index).expect("there are always two apps").clone()
        });
        let body = match at {
            Some((_, body))
                if dice.percent(60) && (may_be_bad || Behaviour::of(&body).is_fine()) =>
            {
                body
            }
            _ if kind == "Deployment" => deployment(HOME_OF_WANDERERS, name, may_be_bad, dice),
            _ => config_map(HOME_OF_WANDERERS, name, &dice.below(6).to_string()),
        };
        if let Some(content) = apps.get_mut(&to) {
            content.put(name, body);
        }
    }
}

/// Takes out what wanders, so that it can be put where it belongs next.
pub(crate) fn without_wanderers(apps: &mut Apps) {
    for content in apps.values_mut() {
        content.files.retain(|name, _| WANDERERS.iter().all(|(_, wanderer)| name != wanderer));
    }
}

fn config_map(namespace: &str, name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": namespace }, "data": { "value": value },
    })
}

fn deployment(namespace: &str, name: &str, may_be_bad: bool, dice: &mut Dice) -> Value {
    let behaviour = match dice.below(100) {
        0..10 if may_be_bad => Behaviour::Crashes,
        10..18 if may_be_bad => Behaviour::Invalid,
        18..26 if may_be_bad => Behaviour::SurprisesAtApply,
        26 => Behaviour::Pulls(2_400 + dice.below(4_800)),
        30..48 => Behaviour::Slow(1 + dice.below(30)),
        _ => Behaviour::Fine,
    };
    let wave = if dice.percent(30) { "1" } else { "0" };
    let mut spec =
        json!({ "behaviour": behaviour.word(), "replicas": 1, "version": dice.below(6) });
    if behaviour.pulls().is_some() {
        // Only of these are the pods ever asked for.
        spec["selector"] = json!({ "matchLabels": { "run": name } });
        spec["template"] = json!({
            "metadata": { "labels": { "run": name } },
            "spec": { "containers": [{ "name": "main", "image": behaviour.word() }] },
        });
    }
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": name, "namespace": namespace, "annotations": { "leeward.dev/wave": wave },
        },
        "spec": spec,
    })
}
