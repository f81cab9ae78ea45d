//! What crosses the link for a fleet of 2,000 clusters, and that what is counted is what crossed.

use super::{fleet::*, server::Server, *};

struct Measured {
    first: Fetched,
    poll: Fetched,
    foreign: Fetched,
    own: Fetched,
}

async fn measure(layout: Layout) -> Measured {
    let repository = Repository::fleet(layout, Policy::AllFilters, 2_000);
    let server = Server::start(&repository);
    let objects = MemoryObjects::default();
    let mut source = GitSource::new(config(&server, &repository.path(42)), &objects, None);
    let first = fetch_and_compare(&mut source, &repository, None).await;
    server.take_counts();
    let poll = fetch_and_compare(&mut source, &repository, Some(first.commit)).await;
    assert_eq!(server.take_counts(), (poll.sent, poll.received), "every byte of a poll is counted");
    repository.change([1_007]);
    let foreign = fetch_and_compare(&mut source, &repository, Some(first.commit)).await;
    repository.change([42]);
    server.take_counts();
    let own = fetch_and_compare(&mut source, &repository, Some(foreign.commit)).await;
    let (sent, received) = server.take_counts();
    assert_eq!(sent, own.sent);
    assert!(received.abs_diff(own.received) < 40, "{received} are counted as {}", own.received);
    assert_eq!(server.behaviour.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
    Measured { first, poll, foreign, own }
}

fn both(fetched: &Fetched) -> u64 {
    fetched.sent + fetched.received
}

fn table(layout: Layout, measured: &Measured) -> String {
    let row = |fetched: &Fetched| format!("{} / {}", fetched.sent, fetched.received);
    format!(
        "{layout:?}: sent / received: first {}, poll {}, foreign {}, own {}",
        row(&measured.first),
        row(&measured.poll),
        row(&measured.foreign),
        row(&measured.own)
    )
}

#[tokio::test]
async fn a_flat_fleet_of_2000_costs_no_more_than_promised() {
    let measured = measure(Layout::Flat).await;
    let shown = table(Layout::Flat, &measured);
    assert!(measured.first.received <= 58_000, "{shown}");
    assert!(both(&measured.poll) <= 604, "{shown}");
    assert!(both(&measured.foreign) <= 1_900, "{shown}");
    assert!(both(&measured.own) <= 3_900, "{shown}");
}

#[tokio::test]
async fn a_sharded_fleet_of_2000_costs_no_more_than_promised() {
    let measured = measure(Layout::Sharded).await;
    let shown = table(Layout::Sharded, &measured);
    assert!(measured.first.received <= 13_500, "{shown}");
    assert!(both(&measured.poll) <= 604, "{shown}");
    assert!(both(&measured.foreign) <= 1_900, "{shown}");
    assert!(both(&measured.own) <= 3_900, "{shown}");
}
