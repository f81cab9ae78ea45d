//! The proxy's faults, byte by byte.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use leeward_tests::faultproxy::{Break, Counted, Cut, FaultProxy, Policy, Quota, Traffic};

/// Patience of a client that waits for bytes which must not come.
const SILENCE: Duration = Duration::from_millis(300);

/// Answers each byte that it reads with `factor` bytes.
fn server(factor: usize) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut bytes) {
                    if stream.write_all(&vec![7; length * factor]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

fn connect(proxy: &FaultProxy) -> TcpStream {
    TcpStream::connect(("127.0.0.1", proxy.port())).unwrap()
}

/// Sends, and reads until the end; returns how much came, and how it ended.
fn exchange(proxy: &FaultProxy, send: usize) -> (usize, Option<ErrorKind>) {
    let mut stream = connect(proxy);
    stream.write_all(&vec![1; send]).unwrap();
    read_to_end(&mut stream)
}

fn read_to_end(stream: &mut TcpStream) -> (usize, Option<ErrorKind>) {
    let mut received = 0;
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return (received, None),
            Ok(length) => received += length,
            Err(error) => return (received, Some(error.kind())),
        }
    }
}

#[test]
fn connection_ends_after_exactly_the_bytes_of_the_cut() {
    let proxy = FaultProxy::start(server(1000), 1, Policy::cut_after(30_000)).unwrap();
    let received = [exchange(&proxy, 100), exchange(&proxy, 100)];
    let counts = proxy.counts();
    assert_eq!(
        (received, counts.cuts, counts.traffic.down),
        ([(30_000, None), (30_000, None)], 2, 60_000)
    );
}

#[test]
fn cut_counts_both_ways_when_told_so() {
    let cut = Cut { after: Quota::Exactly(1000), counted: Counted::Both, by: Break::Close };
    let policy = Policy { cut: Some(cut), ..Policy::default() };
    let proxy = FaultProxy::start(server(1000), 1, policy).unwrap();
    assert_eq!(exchange(&proxy, 100), (900, None));
}

#[test]
fn reset_is_seen_as_a_reset() {
    let cut = Cut { after: Quota::Exactly(10), counted: Counted::Down, by: Break::Reset };
    let policy = Policy { cut: Some(cut), ..Policy::default() };
    let proxy = FaultProxy::start(server(1000), 1, policy).unwrap();
    assert_eq!(exchange(&proxy, 100).1, Some(ErrorKind::ConnectionReset));
}

#[test]
fn same_seed_draws_the_same_cuts() {
    let cut = Cut { after: Quota::Between(1, 50_000), counted: Counted::Down, by: Break::Close };
    let policy = Policy { cut: Some(cut), ..Policy::default() };
    let run = |seed| {
        let proxy = FaultProxy::start(server(1000), seed, policy).unwrap();
        [exchange(&proxy, 100).0, exchange(&proxy, 100).0, exchange(&proxy, 100).0]
    };
    let (first, second, other) = (run(5), run(5), run(6));
    assert!(first == second && first != other, "{first:?} {second:?} {other:?}");
}

#[test]
fn stalled_connection_goes_on_when_the_policy_changes() {
    let cut = Cut { after: Quota::Exactly(500), counted: Counted::Down, by: Break::Stall };
    let policy = Policy { cut: Some(cut), ..Policy::default() };
    let proxy = FaultProxy::start(server(10), 1, policy).unwrap();
    let mut stream = connect(&proxy);
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    stream.write_all(&[1; 100]).unwrap();
    let stalled = read_to_end(&mut stream);
    proxy.set_policy(Policy::default());
    let mut rest = [0; 500];
    stream.read_exact(&mut rest).unwrap();
    assert_eq!(stalled, (500, Some(ErrorKind::WouldBlock)));
}

#[test]
fn stalled_link_carries_nothing_until_it_is_released() {
    let proxy = FaultProxy::start(server(1), 1, Policy::default()).unwrap();
    let mut stream = connect(&proxy);
    proxy.set_policy(Policy { stall: true, ..Policy::default() });
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    stream.write_all(b"hello").unwrap();
    let stalled = read_to_end(&mut stream);
    proxy.set_policy(Policy::default());
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(stalled, (0, Some(ErrorKind::WouldBlock)));
}

#[test]
fn turns_count_round_trips() {
    let proxy = FaultProxy::start(server(3), 1, Policy::default()).unwrap();
    let mut stream = connect(&proxy);
    for _ in 0..4 {
        stream.write_all(&[1; 10]).unwrap();
        stream.read_exact(&mut [0; 30]).unwrap();
    }
    assert_eq!(proxy.counts().traffic, Traffic { up: 40, down: 120, turns: 4 });
}

#[test]
fn latency_and_rate_take_their_time() {
    let slow = Policy::slow(100, Duration::from_millis(200));
    let proxy = FaultProxy::start(server(1000), 1, slow).unwrap();
    let mut stream = connect(&proxy);
    let started = Instant::now();
    stream.write_all(&[1; 1]).unwrap();
    stream.read_exact(&mut [0; 1000]).unwrap();
    let round_trip = started.elapsed();
    stream.write_all(&[1; 50]).unwrap();
    stream.read_exact(&mut vec![0; 50_000]).unwrap();
    let carried = started.elapsed().saturating_sub(round_trip);
    // 50,000 bytes at 100 KiB a second take 488 ms; a busy machine adds to both.
    let right = round_trip >= Duration::from_millis(200) && carried >= Duration::from_millis(650);
    assert!(right && carried < Duration::from_secs(3), "{round_trip:?} {carried:?}");
}

#[test]
fn refused_connection_is_reset_and_counted() {
    let proxy =
        FaultProxy::start(server(1), 1, Policy { refuse: true, ..Policy::default() }).unwrap();
    let mut stream = connect(&proxy);
    let (received, end) = read_to_end(&mut stream);
    let counts = proxy.counts();
    assert_eq!(
        (received, end, counts.refused, counts.connections),
        (0, Some(ErrorKind::ConnectionReset), 1, 0)
    );
}

#[tokio::test]
async fn link_that_went_away_resets_and_comes_back_on_its_port() {
    let proxy = FaultProxy::start(server(1), 1, Policy::default()).unwrap();
    let mut stream = connect(&proxy);
    stream.write_all(b"a").unwrap();
    stream.read_exact(&mut [0; 1]).unwrap();
    proxy.go_away().await;
    let old = read_to_end(&mut stream).1;
    let new = TcpStream::connect(("127.0.0.1", proxy.port())).map_err(|error| error.kind()).err();
    proxy.come_back().await.unwrap();
    let mut stream = connect(&proxy);
    stream.write_all(b"a").unwrap();
    stream.read_exact(&mut [0; 1]).unwrap();
    assert_eq!((old, new), (Some(ErrorKind::ConnectionReset), Some(ErrorKind::ConnectionRefused)));
}
