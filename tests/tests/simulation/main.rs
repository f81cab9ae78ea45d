//! The loop against a world that fails, hangs and lies, in virtual time.
//!
//! A seed draws everything: what Git holds and when it changes, when the link
//! and the API server go away, who edits what, and at which await the power is
//! cut. After the last storm the weather clears, and then these must hold:
//!
//! 1. the cluster is at the newest content that is any good, for every app;
//! 2. the inventory in the store held every object of ours at every power cut;
//! 3. nothing was deleted that Git declared all along, in whichever app, and nothing that is not ours;
//! 4. content known to be bad was never sent to the cluster again;
//! 5. while every request about one app hangs, an edit in another is healed all the same;
//! 6. reports arrive in order, and the end of the story is among them;
//! 7. every way back ends, and what ran well before it runs well after it, but for what is
//!    named as stuck, and that is stuck indeed;
//! 8. nothing that belongs to the good revision is deleted before what replaces it serves;
//! 9. a Job runs once, although it goes by itself when it is over;
//! 10. what only waits for an image is never condemned.
//!
//! `LEEWARD_SEED=17 cargo test -p leeward-tests --test simulation` repeats one
//! seed and tells its story; `LEEWARD_SEEDS=20000` runs more of them, from
//! `LEEWARD_FIRST_SEED` on.

mod admission;
mod claims;
mod cluster;
mod content;
mod director;
mod git;
mod live;
mod run;
mod sabotage;
mod verdict;
mod world;

use std::{
    env,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use run::run_seed;
use sabotage::Sabotage;

const SEEDS: u64 = 40;
/// A sabotaged agent must be found out within so many seeds.
const SEEDS_TO_FIND_OUT: u64 = 500;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// Runs seeds on every core; returns the failures, `(seed, what went wrong)`.
fn failures(seeds: std::ops::Range<u64>, sabotage: Sabotage, stop_at: usize) -> Vec<(u64, String)> {
    let next = AtomicU64::new(seeds.start);
    let found = std::sync::Mutex::new(Vec::new());
    let workers = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || found.lock().unwrap().len() >= stop_at {
                        return;
                    }
                    if let Err(story) = run_seed(seed, sabotage, false) {
                        found.lock().unwrap().push((seed, story));
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}

#[test]
fn the_cluster_converges_whatever_the_weather() {
    if let Some(seed) = number("LEEWARD_SEED") {
        let level = std::env::var("LEEWARD_LOG_LEVEL").ok().and_then(|level| level.parse().ok());
        let level: tracing::Level = level.unwrap_or(tracing::Level::INFO);
        tracing_subscriber::fmt()
            .without_time()
            .with_ansi(false)
            .with_max_level(level)
            .with_writer(std::io::stderr)
            .init();
        let outcome = run_seed(seed, Sabotage::None, true);
        assert_eq!(outcome, Ok(()), "seed {seed}");
        return;
    }
    let seeds = number("LEEWARD_SEEDS").unwrap_or(SEEDS);
    let first = number("LEEWARD_FIRST_SEED").unwrap_or(0);
    let failed = failures(first..first + seeds, Sabotage::None, 5);
    let told: Vec<String> = failed
        .iter()
        .map(|(seed, story)| {
            format!("SEED={seed}: {story}\nrepeat: LEEWARD_SEED={seed} cargo test -p leeward-tests --test simulation")
        })
        .collect();
    assert!(told.is_empty(), "{}", told.join("\n\n"));
}

#[test]
fn without_the_write_ahead_inventory_it_fails() {
    let failed = failures(0..SEEDS_TO_FIND_OUT, Sabotage::NoWriteAhead, 1);
    assert!(!failed.is_empty(), "orphans went unnoticed in {SEEDS_TO_FIND_OUT} seeds");
}

#[test]
fn without_the_memory_of_bad_content_it_fails() {
    let failed = failures(0..SEEDS_TO_FIND_OUT, Sabotage::ForgetBad, 1);
    assert!(!failed.is_empty(), "bad content came back unnoticed in {SEEDS_TO_FIND_OUT} seeds");
}

#[test]
fn with_a_loop_that_waits_for_its_requests_it_fails() {
    let failed = failures(0..SEEDS_TO_FIND_OUT, Sabotage::LoopWaits, 1);
    assert!(!failed.is_empty(), "a loop that waits went unnoticed in {SEEDS_TO_FIND_OUT} seeds");
}

#[test]
fn with_a_way_back_that_is_all_or_nothing_it_fails() {
    let failed = failures(0..SEEDS_TO_FIND_OUT, Sabotage::PutsNothingOff, 1);
    assert!(!failed.is_empty(), "endless ways back went unnoticed in {SEEDS_TO_FIND_OUT} seeds");
}

#[test]
fn with_deletions_before_probation_it_fails() {
    let failed = failures(0..SEEDS_TO_FIND_OUT, Sabotage::PrunesFirst, 1);
    assert!(!failed.is_empty(), "early deletions went unnoticed in {SEEDS_TO_FIND_OUT} seeds");
}

#[test]
fn without_asking_what_other_apps_want_it_fails() {
    let failed = failures(0..SEEDS_TO_FIND_OUT, Sabotage::AppsApart, 1);
    assert!(!failed.is_empty(), "deleted wanderers went unnoticed in {SEEDS_TO_FIND_OUT} seeds");
}

#[test]
fn with_jobs_that_are_made_anew_it_fails() {
    let failed = failures(0..SEEDS_TO_FIND_OUT, Sabotage::ForgetsRuns, 1);
    assert!(!failed.is_empty(), "second runs went unnoticed in {SEEDS_TO_FIND_OUT} seeds");
}
