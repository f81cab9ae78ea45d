//! One seed from the first start to the last check.

use std::{sync::Arc, time::Duration};

use leeward::{
    clock::Clock,
    config::{self, Sources},
    metrics::Metrics,
    offload::Offload,
    reconcile::{Ask, Channels, Elsewhere, Hooks, IN_FLIGHT, Poller, Reconciler, Settings, Start},
    store::{Store, faulty::FaultyDisk},
};
use leeward_core::render::Boundary;
use tokio::{
    pin, select,
    sync::{mpsc, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    cluster::{HANG, SimCluster, remove_expired},
    director::direct,
    git::SimSource,
    sabotage::Sabotage,
    verdict::verdict,
    world::{Dice, Handle},
};

const STORE_SIZE: u64 = 64 * 1024 * 1024;
/// Far above what a seed sends, so that the fake watch never loses anything.
const SIGHTINGS: usize = 65_536;

/// Runs a seed; `Err` says what went wrong.
pub(crate) fn run_seed(seed: u64, sabotage: Sabotage, tell: bool) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(live(seed, sabotage, tell))
}

async fn live(seed: u64, sabotage: Sabotage, tell: bool) -> Result<(), String> {
    let handle = Handle::new(seed, sabotage, tell);
    let mut disk = FaultyDisk::new();
    let (director, controllers) = (direct(handle.clone()), remove_expired(handle.clone()));
    pin!(director, controllers);
    loop {
        let store = Arc::new(open(&disk)?);
        learn_bad(&handle, &store)?;
        sabotage.spoil(&store).map_err(|error| error.to_string())?;
        check_inventory(&handle, &store)?;
        let cut = {
            let agent = agent(&handle, &store, seed, sabotage)?;
            let receiver = receive(handle.clone(), Arc::clone(&store));
            pin!(agent, receiver);
            select! {
                biased;
                () = handle.power_cut.notified() => true,
                () = &mut director => false,
                () = &mut controllers => return Err("the controllers ended".to_owned()),
                () = &mut agent => return Err("the loop ended by itself".to_owned()),
                () = &mut receiver => return Err("the receiver ended by itself".to_owned()),
            }
        };
        handle.with(|world| {
            world.sightings = None;
            world.requests = None;
            world.status = None;
            world.watched.clear();
            world.power_was_cut();
        });
        if !cut {
            return verdict(&handle, &store);
        }
        drop(store);
        disk.crash(handle.with(|world| world.dice.next()));
        let outage = handle.with(|world| Duration::from_millis(world.dice.below(20_000)));
        select! {
            biased;
            () = &mut director => return Err("the story ended during a power cut".to_owned()),
            () = &mut controllers => return Err("the controllers ended".to_owned()),
            () = sleep(outage) => {}
        }
        handle.with(|world| {
            world.awaits = 0;
            world.note("the agent starts");
        });
    }
}

fn open(disk: &FaultyDisk) -> Result<Store, String> {
    Store::open_on(disk.clone(), STORE_SIZE)
        .map(|opened| opened.store)
        .map_err(|error| format!("the store does not open after a power cut: {error}"))
}

fn text(error: impl std::error::Error) -> String {
    error.to_string()
}

/// The loop and the poller, as the daemon would run them.
fn agent(
    handle: &Handle,
    store: &Arc<Store>,
    seed: u64,
    sabotage: Sabotage,
) -> Result<impl Future<Output = ()>, String> {
    let (sightings_in, sightings) = mpsc::channel(SIGHTINGS);
    let (outcomes, polls) = mpsc::channel(1);
    let (requests_in, requests) = mpsc::channel(16);
    let (ask_poll, asked) = watch::channel(Ask::default());
    let (status, status_seen) = watch::channel(None);
    let (reported, _) = watch::channel(0);
    handle.with(|world| {
        world.sightings = Some(sightings_in);
        world.requests = Some(requests_in);
        world.status = Some(status_seen);
    });
    let shutdown = CancellationToken::new();
    let start = "2026-01-01T00:00:00Z".parse().map_err(text)?;
    let mut loop_dice = Dice::new(seed ^ handle.with(|world| world.dice.next()));
    let mut poll_dice = Dice::new(seed ^ handle.with(|world| world.dice.next()));
    let config = configuration()?;
    let poller = Poller {
        boundary: Boundary::default(),
        elsewhere: Elsewhere::default(),
        fetch: SimSource { handle: handle.clone(), store: Arc::clone(store) },
        store: Arc::clone(store),
        interval: config.source.interval,
        outcomes,
        asked,
        shutdown: shutdown.clone(),
    };
    let reconciler = Reconciler::new(
        Settings { config, version: "simulated".to_owned(), recovered: None, in_flight: IN_FLIGHT },
        Start::Boot,
        store,
        SimCluster { handle: handle.clone() },
        Clock::simulated(start),
        Hooks {
            jitter: Box::new(move || fraction(&mut loop_dice)),
            beat: Box::new(|_, _| {}),
            reported,
            metrics: Arc::new(Metrics::new()),
            offload: offload(handle.clone()),
        },
        Channels {
            sightings,
            polls,
            requests,
            ask_poll,
            status,
            delivery: watch::channel(leeward_core::report::Delivery::default()).1,
            shutdown,
        },
    )
    .map_err(text)?;
    let at = handle.clone();
    Ok(async move {
        let poll = poller.run(move || fraction(&mut poll_dice));
        let run = async move {
            if sabotage == Sabotage::LoopWaits {
                waiting(&at, reconciler.run()).await;
            } else {
                reconciler.run().await;
            }
        };
        Box::pin(futures::future::join(run, poll)).await;
    })
}

/// Runs a loop as if it awaited its requests in line: nothing of it goes on
/// while one of them hangs.
async fn waiting<T>(handle: &Handle, run: impl Future<Output = T>) {
    pin!(run);
    loop {
        select! {
            biased;
            _ = &mut run => return,
            () = handle.hangs.notified() => sleep(HANG).await,
        }
    }
}

/// Carries out jobs in place. The power may be cut before a job, and after it
/// but before anybody hears of its end.
fn offload(handle: Handle) -> Offload {
    Offload::new(move |job| {
        let handle = handle.clone();
        Box::pin(async move {
            handle.point().await;
            let slow = handle.with(|world| {
                let chance = world.weather.disk_slow;
                world.dice.percent(chance).then(|| world.dice.below(4_000))
            });
            if let Some(moment) = slow {
                sleep(Duration::from_millis(moment)).await;
            }
            job();
            handle.point().await;
        })
    })
}

#[expect(clippy::cast_precision_loss, reason = "a die of 1,000 sides fits")]
fn fraction(dice: &mut Dice) -> f64 {
    dice.below(1_000) as f64 / 1_000.0
}

fn configuration() -> Result<config::Config, String> {
    let file = r#"
        [cluster]
        name = "edge"
        [source]
        url = "https://git.example.com/fleet.git"
        path = "clusters/{cluster}"
        interval = "30s"
    "#;
    let sources = Sources { text: Some(file.to_owned()), ..Sources::default() };
    config::load(&sources).map(|loaded| loaded.config).map_err(|error| error.to_string())
}

/// Takes reports as they come, at times twice, while the link is up.
async fn receive(handle: Handle, store: Arc<Store>) {
    loop {
        sleep(Duration::from_secs(5)).await;
        if handle.with(|world| world.weather.link_down) {
            continue;
        }
        let Ok(entries) = store.outbox_head(64 * 1024) else { continue };
        handle.with(|world| {
            for entry in &entries {
                let newest = world.reports.last().map_or(0, |last| last.sequence);
                let repeated = world.reports.iter().any(|known| known.sequence == entry.sequence);
                if !repeated && entry.sequence <= newest {
                    world.violate(format!("report {} came after {newest}", entry.sequence));
                }
                if !repeated {
                    world.reports.push(entry.clone());
                }
            }
        });
        let answer_is_lost = handle.with(|world| world.dice.percent(20));
        if !answer_is_lost {
            let sequences: Vec<u64> = entries.iter().map(|entry| entry.sequence).collect();
            if let Err(error) = store.acknowledge(&sequences, jiff::Timestamp::UNIX_EPOCH) {
                handle.with(|world| world.note(&format!("cannot acknowledge: {error}")));
            }
        }
    }
}

/// Inventory ⊇ what exists: an object of ours that the store does not know is an orphan.
pub(crate) fn check_inventory(handle: &Handle, store: &Store) -> Result<(), String> {
    let inventory = store.inventory_all().map_err(text)?;
    handle.with(|world| {
        let orphan = world.objects.iter().find(|(key, object)| {
            // On its way from app to app it is known to one, and carries the label of the other.
            object.is_ours() && !inventory.values().any(|entries| entries.contains_key(*key))
        });
        match orphan {
            Some((key, _)) => Err(format!("{key} is ours, and the inventory does not know it")),
            None => Ok(()),
        }
    })
}

fn learn_bad(handle: &Handle, store: &Store) -> Result<(), String> {
    let apps = store.apps().map_err(text)?;
    handle.with(|world| {
        for app in apps {
            let trees = app.bad.iter().map(|bad| (app.spec.name.clone(), bad.revision.tree));
            world.known_bad.extend(trees);
        }
    });
    Ok(())
}
