//! Draws the story of a seed: commits, storms, drift, power cuts; then clear weather.

use std::time::Duration;

use leeward::edge::ApplyMode;
use leeward_core::model::{ObjectKey, PhaseName};
use leeward_wire::control::Request;
use serde_json::json;
use tokio::{sync::oneshot, time::sleep};

use super::{
    admission::refusal,
    cluster::{relist, remove, seen},
    content::{AppContent, Draw, SLOTS, name_in, wander, without_wanderers},
    live::LiveObject,
    world::{Handle, Weather, World},
};

/// Long enough after the last storm for every timeout, backoff and soak to end.
const CLEAR_WEATHER: Duration = Duration::from_secs(2 * 3600);

/// How often five seconds are waited for an app to come to rest.
const SETTLING: usize = 30;
/// While another app hangs for ten seconds, an edit is healed within this.
const HEALED_WITHIN: Duration = Duration::from_secs(3);

pub(crate) async fn direct(handle: Handle) {
    handle.with(draw_jobs);
    commit(&handle, true);
    let scenes = handle.with(|world| 4 + world.dice.below(9));
    for _ in 0..scenes {
        let pause = handle.with(|world| match world.dice.below(3) {
            0 => Duration::from_millis(world.dice.below(2_000)),
            1 => Duration::from_secs(world.dice.below(30)),
            _ => Duration::from_secs(world.dice.below(300)),
        });
        sleep(pause).await;
        scene(&handle).await;
    }
    handle.with(|world| {
        world.note("the weather clears");
        world.weather = Weather::default();
        world.cut_at = None;
        relist(world);
    });
    commit(&handle, false);
    let clear = CLEAR_WEATHER + handle.with(|world| longest_pulls(world));
    // Somebody approves what is held, and the receiver is there.
    for _ in 0..clear.as_secs() / 60 {
        sleep(Duration::from_secs(60)).await;
        approve_all(&handle).await;
        handle.with(World::check_ways_back);
    }
}

/// Most slots have a Job; how long it runs, and how long it is there after that.
fn draw_jobs(world: &mut World) {
    for (slot, _) in SLOTS {
        let dice = &mut world.dice;
        let job = dice.percent(70).then(|| (dice.below(20), dice.below(3) * dice.below(30)));
        world.jobs.insert(slot, job);
    }
}

/// How long the images take that the clear weather has to wait for, one app after the other.
fn longest_pulls(world: &World) -> Duration {
    let contents = world.git.commits.iter().rev().take(2).flat_map(|commit| commit.apps.values());
    Duration::from_secs(contents.map(AppContent::longest_pull).sum())
}

async fn scene(handle: &Handle) {
    let kind = handle.with(|world| world.dice.below(14));
    match kind {
        0..=2 => commit(handle, true),
        3 => revert(handle),
        4 | 5 => handle.with(|world| {
            let soon = 1 + world.dice.below(120);
            world.cut_at = Some(world.awaits + soon);
        }),
        6 => handle.with(|world| {
            world.weather.api_down = !world.weather.api_down;
            world.disturbed();
            world.note(if world.weather.api_down {
                "the API server goes away"
            } else {
                "the API server is back"
            });
            relist(world);
        }),
        7 => handle.with(|world| {
            world.weather.link_down = !world.weather.link_down;
            world.note(if world.weather.link_down {
                "the link goes down"
            } else {
                "the link is up"
            });
        }),
        8 => handle.with(|world| {
            world.weather.api_fails = world.dice.below(30);
            world.weather.api_lies = world.dice.below(20);
            world.weather.api_hangs = world.dice.below(4);
            world.weather.api_late = world.dice.below(8);
            world.weather.disk_slow = world.dice.below(30);
            world.weather.link_fails = world.dice.below(60);
            world.note("a storm");
        }),
        9 | 10 => drift(handle),
        11 | 12 => one_app_hangs(handle).await,
        _ => approve_all(handle).await,
    }
}

/// Changes one app, or all; at times one leaves Git altogether, or gets another name.
fn commit(handle: &Handle, may_be_bad: bool) {
    handle.with(|world| {
        let before = world.git.commits.last().map(|last| last.apps.clone()).unwrap_or_default();
        let mut apps = before.clone();
        without_wanderers(&mut apps);
        for (slot, names) in SLOTS {
            let level = world.git.level(slot);
            let (dice, job) = (&mut world.dice, world.jobs[slot]);
            let name = name_in(&apps, slot);
            // The last commit is sound in two apps out of three: the rest ends at its last good.
            let mend = !may_be_bad && dice.percent(66);
            if !apps.contains_key(&name) || mend || dice.percent(60) {
                let may_be_bad = may_be_bad && !mend;
                let draw = Draw { slot, may_be_bad, before: apps.get(&name), level };
                let mut content = AppContent::draw(&draw, dice);
                if let Some((seconds, time_to_live)) = job {
                    content.add_job(slot, seconds, time_to_live);
                }
                apps.insert(name.clone(), content);
            }
            let other = names.iter().find(|other| **other != name);
            if let Some(other) = other.filter(|_| dice.percent(8))
                && let Some(content) = apps.remove(&name)
            {
                apps.insert((*other).to_owned(), content);
            }
        }
        if world.git.commits.len() > 1 && world.dice.percent(5) {
            apps.remove("shop");
        }
        wander(&before, &mut apps, may_be_bad, &mut world.dice);
        world.git.commit(apps);
        let number = world.git.commits.len();
        let trees = world.git.commits[number - 1].trees.clone();
        world.note(&format!("commit {number} {trees:?}"));
    });
}

fn revert(handle: &Handle) {
    handle.with(|world| {
        let number = world.git.commits.len() as u64;
        let index = usize::try_from(world.dice.below(number)).unwrap_or(0);
        let apps = world.git.commits[index].apps.clone();
        world.git.commit(apps);
        world.note(&format!("revert to commit {}", index + 1));
    });
}

/// Somebody edits or deletes an object, or the whole cluster is wiped.
fn drift(handle: &Handle) {
    handle.with(|world| {
        if world.dice.percent(8) {
            world.note("the cluster is wiped");
            world.objects.clear();
            world.writes = 0;
            world.wiped();
            relist(world);
            return;
        }
        let keys: Vec<_> = world.objects.keys().cloned().collect();
        if keys.is_empty() {
            return;
        }
        let index = usize::try_from(world.dice.below(keys.len() as u64)).unwrap_or(0);
        let key = keys[index].clone();
        world.disturbed();
        if world.dice.percent(50) {
            world.note(&format!("somebody deletes {key}"));
            remove(world, &key);
            return;
        }
        edit(world, &key);
    });
}

fn edit(world: &mut World, key: &ObjectKey) {
    world.disturbed();
    let Some(object) = world.objects.get_mut(key) else { return };
    let (part, field) = match key.kind.as_str() {
        "ConfigMap" => ("data", "value"),
        "Deployment" => ("spec", "version"),
        _ => return,
    };
    object.body[part][field] = json!("edited by hand");
    object.generation += 1;
    object.changed_at = tokio::time::Instant::now();
    if let Some(owned) = &mut object.owned
        && let Some(map) = owned[format!("f:{part}")].as_object_mut()
    {
        map.remove(&format!("f:{field}"));
    }
    object.edited = Some(json!({ format!("f:{part}"): { format!("f:{field}"): {} } }));
    world.note(&format!("somebody edits {key}"));
    seen(world, key);
}

/// Every request about one app hangs, and in another an object is edited: that
/// one is healed as if nothing were the matter.
async fn one_app_hangs(handle: &Handle) {
    let (stuck, well) = handle.with(|world| {
        world.note("one app is about to hang");
        world.disturbed();
        world.weather = Weather::default();
        world.cut_at = None;
        relist(world);
        let number = SLOTS.len() as u64;
        let first = world.dice.below(number);
        let second = (first + 1 + world.dice.below(number - 1)) % number;
        let slot = |index: u64| SLOTS[usize::try_from(index).unwrap_or(0)].0;
        (slot(first), slot(second))
    });
    // Back-off of earlier storms and work that is under way come to their end.
    for _ in 0..SETTLING {
        sleep(Duration::from_secs(5)).await;
        if handle.with(|world| is_at_rest(world, well)) {
            break;
        }
    }
    let edited = handle.with(|world| {
        if !is_at_rest(world, well) {
            world.note("the other app is not at rest");
            return None;
        }
        world.hanging = Some(stuck.to_owned());
        let first = first_of(world, stuck)?;
        edit(world, &first);
        first_of(world, well)
    });
    if let Some(key) = edited {
        // The hanging app has begun its errand by now.
        sleep(Duration::from_millis(500)).await;
        handle.with(|world| edit(world, &key));
        sleep(HEALED_WITHIN).await;
        handle.with(|world| {
            // What its own quota refuses waits for nobody.
            let waits = world.objects.get(&key).is_some_and(|object| {
                let refused = refusal(world, &key, &object.body, ApplyMode::Force);
                object.edited.is_some() && refused.is_none()
            });
            if waits {
                world.violate(format!("the edit of {key} waited while app {stuck} hung"));
            }
        });
    }
    handle.with(|world| world.hanging = None);
}

/// Whether an app is good at what Git wants, and nothing of it is under way.
fn is_at_rest(world: &World, slot: &str) -> bool {
    let Some(last) = world.git.commits.last() else { return false };
    let name = name_in(&last.apps, slot);
    let Some(status) = &world.status else { return false };
    let document = status.borrow().clone();
    let Some(document) = document else { return false };
    let app = document.apps.iter().find(|app| app.name == name);
    document.source.commit == Some(last.id)
        && app.is_some_and(|app| {
            // A fight is named for an hour after it is over.
            let is_quiet = app.message.is_empty() || app.message.contains("is fought over");
            app.phase == PhaseName::Good && app.drift.open == 0 && is_quiet
        })
}

fn first_of(world: &World, slot: &str) -> Option<ObjectKey> {
    let namespace = format!("ns-{slot}");
    let editable = |key: &&ObjectKey| {
        key.namespace == namespace && matches!(key.kind.as_str(), "ConfigMap" | "Deployment")
    };
    let ours = |key: &&ObjectKey| world.objects.get(*key).is_some_and(LiveObject::is_ours);
    world.objects.keys().filter(editable).find(ours).cloned()
}

async fn approve_all(handle: &Handle) {
    for app in SLOTS.iter().flat_map(|(_, names)| *names) {
        let Some(requests) = handle.with(|world| world.requests.clone()) else { return };
        let (answer, answered) = oneshot::channel();
        if requests
            .try_send((Request::Approve { app: (*app).to_owned(), yes: true }, answer))
            .is_ok()
        {
            // A power cut drops the answer; nobody here needs it.
            drop(tokio::time::timeout(Duration::from_secs(30), answered).await);
        }
    }
}
