//! Connections that are cut after so many bytes, processes that die in the middle.

use super::{fleet::*, server::Server, *};

#[tokio::test]
async fn a_link_that_carries_3500_bytes_at_a_time_completes_and_asks_only_for_the_rest() {
    let repository = Repository::fleet(Layout::Sharded, Policy::AllFilters, 450);
    let server = Server::start(&repository);
    server.cut_after(3_500);
    let objects = MemoryObjects::default();
    let mut source = GitSource::new(config(&server, &repository.path(42)), &objects, None);
    fetch_and_compare(&mut source, &repository, None).await;
    let wants: Vec<usize> = server
        .take_requests()
        .iter()
        .map(|request| request.matches("want ").count())
        .filter(|wants| *wants > 0)
        .collect();
    assert!(wants.len() > 5, "{wants:?}");
    let blobs: Vec<usize> = wants.into_iter().filter(|wants| *wants > 1).collect();
    assert!(
        blobs.is_sorted_by(|one, next| one > next),
        "each asks for less than the one before: {blobs:?}"
    );
}

#[tokio::test]
async fn a_link_that_carries_30_kb_at_a_time_carries_every_kind_of_change() {
    let repository = Repository::fleet(Layout::Sharded, Policy::AllFilters, 900);
    let server = Server::start(&repository);
    server.cut_after(30_000);
    let objects = MemoryObjects::default();
    let mut source = GitSource::new(config(&server, &repository.path(42)), &objects, None);
    let first = fetch_and_compare(&mut source, &repository, None).await;
    repository.change([42]);
    let own = fetch_and_compare(&mut source, &repository, Some(first.commit)).await;
    repository.change(0..900);
    fetch_and_compare(&mut source, &repository, Some(own.commit)).await;
}

#[tokio::test]
async fn a_restart_in_the_middle_goes_on_where_it_was() {
    let repository = Repository::fleet(Layout::Flat, Policy::AllFilters, 50);
    let server = Server::start(&repository);
    let objects = MemoryObjects::default();
    let mut kept = Vec::new();
    // Each life ends at another await: the future is dropped, as by a signal.
    for life in 1..200_usize {
        let mut source = GitSource::new(config(&server, &repository.path(4)), &objects, None);
        let fetch = source.fetch(None);
        let patience = Duration::from_millis(life as u64);
        if let Ok(outcome) = tokio::time::timeout(patience, fetch).await {
            outcome.unwrap();
            break;
        }
        kept.push(objects.len());
    }
    assert!(kept.is_sorted(), "{kept:?}");
    let mut source = GitSource::new(config(&server, &repository.path(4)), &objects, None);
    fetch_and_compare(&mut source, &repository, None).await;
}

#[tokio::test]
async fn a_link_that_goes_silent_is_given_up_after_a_minute_and_what_came_is_kept() {
    use std::sync::atomic::Ordering::SeqCst;
    let repository = Repository::fleet(Layout::Flat, Policy::AllFilters, 20);
    let server = Server::start(&repository);
    server.behaviour.stalls.store(true, SeqCst);
    server.cut_after(2_400);
    let objects = MemoryObjects::default();
    let mut source = GitSource::new(config(&server, &repository.path(4)), &objects, None);
    let failure = {
        let mut fetch = std::pin::pin!(source.fetch(None));
        while !server.behaviour.has_stalled.load(SeqCst) {
            let step = tokio::time::timeout(Duration::from_millis(1), &mut fetch).await;
            assert!(step.is_err(), "{step:?}");
        }
        tokio::time::pause();
        fetch.await.unwrap_err()
    };
    assert!(failure.evidence.ends_with("sent nothing for 60 s"), "{failure}");
    assert!(failure.progressed && !objects.is_empty());
}

/// A history in which the wide tree grew, as real ones do.
fn grown(clusters: usize, step: usize) -> Repository {
    let repository = Repository::empty(Layout::Flat, Policy::AllFilters);
    repository.commits(clusters / step, |index, stream| {
        for cluster in index * step..(index + 1) * step {
            let path = Layout::Flat.path(cluster);
            write_file(stream, &format!("{path}/web.yaml"), &noise(cluster as u64, 200));
        }
    });
    repository
}

#[tokio::test]
async fn a_tree_larger_than_the_link_carries_is_climbed_to() {
    let repository = grown(800, 20);
    let server = Server::start(&repository);
    // The wide tree is some 19 KB.
    server.cut_after(9_000);
    let objects = MemoryObjects::default();
    let mut source = GitSource::new(config(&server, &repository.path(7)), &objects, None);
    fetch_and_compare(&mut source, &repository, None).await;
}

#[tokio::test]
async fn a_tree_that_no_ladder_reaches_is_reported_with_what_to_do() {
    let repository = Repository::fleet(Layout::Flat, Policy::AllFilters, 400);
    let server = Server::start(&repository);
    server.cut_after(5_000);
    let objects = MemoryObjects::default();
    let mut source = GitSource::new(config(&server, &repository.path(7)), &objects, None);
    let failure = source.fetch(None).await.unwrap_err();
    assert_eq!(failure.step, LinkStep::Http);
    assert!(failure.evidence.contains("larger than what"), "{failure}");
    assert!(failure.hint.unwrap().contains("subfolders"));
    // The link gets better: nothing of the despair stays.
    server.cut_after(0);
    fetch_and_compare(&mut source, &repository, None).await;
}

#[tokio::test]
async fn a_blob_larger_than_the_link_carries_is_named() {
    let repository = Repository::empty(Layout::Flat, Policy::AllFilters);
    repository.commit(|stream| write_file(stream, "a/large.yaml", &noise(1, 40_000)));
    let server = Server::start(&repository);
    server.cut_after(10_000);
    let objects = MemoryObjects::default();
    let failure =
        GitSource::new(config(&server, "a"), &objects, None).fetch(None).await.unwrap_err();
    assert!(failure.evidence.contains("`large.yaml`"), "{failure}");
    assert!(failure.progressed, "the trees did arrive");
}

/// A small generator: the same seed gives the same weather.
fn roll(state: &mut u64, sides: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % sides
}

/// Jumps about in history over connections that break at random, until every jump has arrived.
async fn weather(seed: u64, layout: Layout, policy: Policy, smallest: u64, jumps: usize) {
    let mut state = seed;
    let repository = Repository::fleet(layout, policy, 90);
    repository.commits(40, |index, stream| {
        let version = 100 + index;
        match index % 4 {
            0 => write_change(stream, layout, 42, version),
            1 => write_cluster(stream, layout, 42, version),
            2 => (0..90).for_each(|cluster| write_change(stream, layout, cluster, version)),
            _ => write_change(stream, layout, index, version),
        }
    });
    let commits = repository.git(&["rev-list", "main"]);
    let commits: Vec<&str> = commits.lines().collect();
    let server = Server::start(&repository);
    let objects = MemoryObjects::default();
    let mut have = None;
    for _ in 0..jumps {
        let to = commits[usize::try_from(roll(&mut state, commits.len() as u64)).unwrap()];
        repository.git(&["update-ref", "refs/heads/main", to]);
        // A new process each time, which knows only what the store holds.
        let mut source = GitSource::new(config(&server, &repository.path(42)), &objects, None);
        for attempt in 0.. {
            assert!(attempt < 200, "seed {seed}: no end in sight");
            let cut = smallest + roll(&mut state, 10 * smallest);
            server.cut_after(usize::try_from(cut).unwrap());
            if let Ok(fetched) = source.fetch(have).await {
                have = Some(fetched.commit);
                let expected = repository.files(&repository.path(42));
                assert_eq!(fetched_files(&objects, fetched.tree), expected, "seed {seed}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn any_weather_ends_in_the_right_files() {
    let rounds: u64 = std::env::var("LEEWARD_WEATHER").map_or(1, |rounds| rounds.parse().unwrap());
    for seed in 0..rounds {
        weather(seed, Layout::Flat, Policy::AllFilters, 2_500, 4).await;
        weather(seed, Layout::Sharded, Policy::AllFilters, 2_500, 4).await;
        weather(seed, Layout::Flat, Policy::Coarse, 4_000, 4).await;
        weather(seed, Layout::Sharded, Policy::NoFilter, 60_000, 4).await;
    }
}
