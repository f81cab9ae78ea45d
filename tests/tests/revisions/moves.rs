//! Objects wander between apps, at random: renames, splits, merges and moves, with
//! apps that depend on each other. Nothing is ever deleted, no pod is made anew.
//!
//! `LEEWARD_MOVES=200` tries more sequences; `LEEWARD_SEED=7` others.

use std::{collections::BTreeMap, fmt::Write as _};

use leeward_core::model::StatusDocument;
use leeward_tests::{
    scenario::{
        Scenario, is_good_at,
        objects::{claim, config_map, deployment, documents, service, text, uid},
    },
    seed::Seed,
};
use serde_json::Value;

const NAME: &str = "moves";
/// Sequences that run side by side in one repository, each with apps and objects of its own.
const SIDE_BY_SIDE: usize = 8;
/// Commits of one sequence, the first not counted.
const STEPS: usize = 3;
/// Sequences in a run that is not told otherwise.
const SEQUENCES: usize = 8;
const APPS: [&str; 3] = ["a", "b", "c"];

/// Which app has each object of a sequence, and on which other app each app depends.
#[derive(Clone, Debug)]
struct Arrangement {
    homes: Vec<usize>,
    depends_on: [Option<usize>; 3],
}

impl Arrangement {
    fn draw(seed: &mut Seed, objects: usize) -> Self {
        let app = |seed: &mut Seed| usize::try_from(seed.below(3)).unwrap();
        let homes = (0..objects).map(|_| app(seed)).collect();
        // Along one of the six orders, so that there is no circle.
        let (first, second) = (app(seed), app(seed));
        let mut depends_on = [None; 3];
        if first != second && seed.chance(70) {
            depends_on[first] = Some(second);
        }
        Self { homes, depends_on }
    }

    fn has(&self, app: usize) -> bool {
        self.homes.contains(&app)
    }
}

fn objects(world: usize) -> Vec<Value> {
    let one = |what: &str| format!("{what}-{world}");
    vec![
        claim(NAME, &one("data")),
        config_map(NAME, &one("settings"), "1"),
        service(NAME, &one("front"), 80),
        deployment(NAME, &one("web"), "app:1"),
    ]
}

fn app_name(world: usize, app: usize) -> String {
    format!("w{world}-{}", APPS[app])
}

/// The whole repository: `leeward.yaml` and a folder for each app that has anything.
fn files(worlds: &[Arrangement]) -> Vec<(String, String)> {
    let mut list = "apiVersion: leeward.dev/v1alpha1\nkind: Apps\napps:\n".to_owned();
    let mut files = Vec::new();
    for (world, arrangement) in worlds.iter().enumerate() {
        let all = objects(world);
        for app in (0..APPS.len()).filter(|app| arrangement.has(*app)) {
            let name = app_name(world, app);
            writeln!(list, "- name: {name}\n  path: {name}").unwrap();
            let below = arrangement.depends_on[app].filter(|below| arrangement.has(*below));
            if let Some(below) = below {
                writeln!(list, "  dependsOn: [{}]", app_name(world, below)).unwrap();
            }
            let own = all.iter().zip(&arrangement.homes).filter(|(_, home)| **home == app);
            let own: Vec<Value> = own.map(|(one, _)| one.clone()).collect();
            files.push((format!("{name}/all.yaml"), documents(&own)));
        }
    }
    files.push(("leeward.yaml".to_owned(), list));
    files
}

/// How many objects each app is to have.
fn wanted(worlds: &[Arrangement]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (world, arrangement) in worlds.iter().enumerate() {
        for home in &arrangement.homes {
            *counts.entry(app_name(world, *home)).or_default() += 1;
        }
    }
    counts
}

fn found(status: &StatusDocument) -> BTreeMap<String, usize> {
    status.apps.iter().map(|app| (app.name.clone(), app.objects)).collect()
}

async fn commit(scenario: &mut Scenario, before: &[Arrangement], after: &[Arrangement]) -> String {
    let files = files(after);
    let kept: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
    let gone: Vec<String> = self::files(before)
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| !kept.contains(&path.as_str()))
        .collect();
    let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
    let files: Vec<(&str, String)> =
        files.iter().map(|(path, text)| (path.as_str(), text.clone())).collect();
    let commit = scenario.rearrange(&gone, &files).unwrap();
    let wanted = wanted(after);
    scenario
        .wait(|status| {
            found(status) == wanted && status.apps.iter().all(|app| is_good_at(app, &commit))
        })
        .await
        .unwrap();
    commit
}

async fn uids(scenario: &Scenario) -> Vec<String> {
    let mut uids = scenario.pods().await.unwrap();
    for one in (0..SIDE_BY_SIDE).flat_map(objects) {
        uids.push(uid(&scenario.live(&one).await.unwrap().unwrap()));
    }
    uids
}

fn number(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[tokio::test]
async fn whatever_moves_between_apps_nothing_is_deleted_and_nothing_restarts() {
    let mut seed = Seed::new(number("LEEWARD_SEED", 1) as u64);
    let draw = |seed: &mut Seed| -> Vec<Arrangement> {
        (0..SIDE_BY_SIDE).map(|world| Arrangement::draw(seed, objects(world).len())).collect()
    };
    let mut worlds = draw(&mut seed);
    let first = files(&worlds);
    let first: Vec<(&str, String)> =
        first.iter().map(|(path, text)| (path.as_str(), text.clone())).collect();
    let Some(mut scenario) = Scenario::started(NAME, &first, |options| options).await.unwrap()
    else {
        return;
    };
    let before = uids(&scenario).await;
    let rounds = number("LEEWARD_MOVES", SEQUENCES).div_ceil(SIDE_BY_SIDE);
    for step in 0..rounds * STEPS {
        let next = draw(&mut seed);
        commit(&mut scenario, &worlds, &next).await;
        worlds = next;
        assert_eq!(uids(&scenario).await, before, "step {step}: {worlds:?}");
        for (world, arrangement) in worlds.iter().enumerate() {
            for (one, home) in objects(world).iter().zip(&arrangement.homes) {
                let live = scenario.live(one).await.unwrap().unwrap();
                let owner = text(&live, "/metadata/labels/leeward.dev~1app");
                assert_eq!(owner, app_name(world, *home), "step {step}");
            }
        }
    }
}
