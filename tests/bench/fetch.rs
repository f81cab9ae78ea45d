//! Bytes on the link for one cluster of 2,000, counted by a proxy in front of
//! a real git server: the agent's, and what git itself takes for the same.

mod client;

use anyhow::{Context, Result};
use leeward_tests::{
    faultproxy::{FaultProxy, Policy, Traffic},
    fleet::{FleetRepo, Layout, cluster_change, monorepo},
    gitserver::{Filters, GitServer, GitServerOptions},
    leash::ScratchDir,
};

use crate::report::{self, Promises};
use client::{Client, Place};

/// Ours, and somebody else's.
const OWN: u32 = 42;
const FOREIGN: u32 = 1007;
/// Bytes that a weak link carries before it breaks.
const WEAK_LINK_BYTES: u64 = 30_000;

/// What is promised of the agent, in bytes: the first sync received, the rest
/// both ways together.
struct Promise {
    first: f64,
    own: f64,
    foreign: f64,
    poll: f64,
}

fn promise(layout: Layout) -> Promise {
    let first = match layout {
        Layout::Flat => 58_000.0,
        Layout::Sharded => 13_500.0,
    };
    Promise { first, own: 3_900.0, foreign: 1_900.0, poll: 610.0 }
}

pub(crate) async fn run(promises: &mut Promises) -> Result<()> {
    for layout in [Layout::Flat, Layout::Sharded] {
        report::title(&format!("Fetch: 2,000 clusters, {layout:?}, 40 MB elsewhere, plain HTTP"));
        compare(promises, layout).await.with_context(|| format!("{layout:?}"))?;
        weak(layout).await.with_context(|| format!("{layout:?}, weak link"))?;
    }
    Ok(())
}

/// A fleet and its server.
struct Fleet {
    repository: FleetRepo,
    server: GitServer,
    folder: ScratchDir,
}

impl Fleet {
    fn start(layout: Layout) -> Result<Self> {
        let folder = ScratchDir::new("figures-fetch")?;
        let repository = monorepo(folder.path(), "fleet", layout)?;
        let server = GitServer::start(folder.path(), GitServerOptions::default())?;
        server.set_filters("fleet.git", Filters::All)?;
        Ok(Self { repository, server, folder })
    }

    fn place(&self, layout: Layout, proxy: &FaultProxy) -> Place {
        Place {
            url: self.server.url_through(proxy.port(), "fleet.git"),
            path: leeward_tests::fleet::cluster_path(layout, OWN),
            folder: self.folder.path().to_owned(),
        }
    }

    fn head(&self) -> Result<String> {
        self.repository.head()?.context("the repository is empty")
    }
}

/// What one client took for each of the four.
struct Measured {
    name: &'static str,
    first: Traffic,
    poll: Traffic,
    foreign: Traffic,
    own: Traffic,
}

async fn compare(promises: &mut Promises, layout: Layout) -> Result<()> {
    let fleet = Fleet::start(layout)?;
    report::doing("first syncs");
    let mut clients = Vec::new();
    for kind in Client::KINDS {
        let proxy = FaultProxy::start(fleet.server.port(), 1, Policy::default())?;
        let place = fleet.place(layout, &proxy);
        let client = Client::start(kind, &place, &fleet.head()?).await?;
        let first = settled(&proxy).await;
        clients.push((client, proxy, first));
    }
    let mut all = Vec::new();
    for (client, proxy, first) in &mut clients {
        let taken = proxy.counts();
        client.poll().await?;
        settled(proxy).await;
        let poll = proxy.counts().since(taken).traffic;
        let none = Traffic::default();
        all.push(Measured { name: client.name(), first: *first, poll, foreign: none, own: none });
    }
    report::doing("changes");
    fleet.repository.commit("Another's", &[cluster_change(layout, FOREIGN, 1001)])?;
    for ((client, proxy, _), measured) in clients.iter_mut().zip(&mut all) {
        measured.foreign = update(client, proxy, &fleet.head()?).await?;
    }
    fleet.repository.commit("Ours", &[cluster_change(layout, OWN, 1002)])?;
    for ((client, proxy, _), measured) in clients.iter_mut().zip(&mut all) {
        measured.own = update(client, proxy, &fleet.head()?).await?;
    }

    let header = ["", "first sync", "change elsewhere", "own change", "poll"];
    let [client, first, foreign, own, poll] = header;
    report::note("sent / received (turns)");
    report::note(&format!("{client:<24}{first:>24}{foreign:>24}{own:>24}{poll:>20}"));
    for one in &all {
        let cells = [one.first, one.foreign, one.own, one.poll].map(cell);
        let [first, foreign, own, poll] = cells;
        report::note(&format!("{:<24}{first:>24}{foreign:>24}{own:>24}{poll:>20}", one.name));
    }
    report::note("");
    let (ours, promise) = (&all[0], promise(layout));
    promises.at_most("first sync, received", bytes(ours.first.down), promise.first, "bytes");
    promises.at_most("change elsewhere, both ways", both(ours.foreign), promise.foreign, "bytes");
    promises.at_most("own change of one file, both ways", both(ours.own), promise.own, "bytes");
    promises.at_most("poll, both ways", both(ours.poll), promise.poll, "bytes");
    Ok(())
}

async fn update(client: &mut Client, proxy: &FaultProxy, head: &str) -> Result<Traffic> {
    let before = proxy.counts();
    client.update(head).await?;
    settled(proxy).await;
    Ok(proxy.counts().since(before).traffic)
}

/// First syncs through a link that breaks after so many bytes, again and again.
async fn weak(layout: Layout) -> Result<()> {
    let fleet = Fleet::start(layout)?;
    report::note(&format!("\nfirst sync, every connection cut after {WEAK_LINK_BYTES} bytes"));
    for kind in Client::KINDS {
        let policy = Policy::cut_after(WEAK_LINK_BYTES);
        let proxy = FaultProxy::start(fleet.server.port(), 1, policy)?;
        let place = fleet.place(layout, &proxy);
        let started = Client::start(kind, &place, &fleet.head()?).await;
        let received = settled(&proxy).await.down;
        let counts = proxy.counts();
        let how = match &started {
            Ok(_) => format!("complete, {received} bytes, {} cuts", counts.cuts),
            Err(_) => format!("failed after {received} bytes"),
        };
        report::note(&format!("{:<24}{how}", kind.name()));
        if kind == Client::KINDS[0] {
            started?;
        }
    }
    Ok(())
}

/// What went through, once nothing does any more.
async fn settled(proxy: &FaultProxy) -> Traffic {
    let mut last = proxy.counts();
    loop {
        tokio::time::sleep(client::QUIET).await;
        let now = proxy.counts();
        if now == last {
            return now.traffic;
        }
        last = now;
    }
}

fn cell(traffic: Traffic) -> String {
    format!("{} / {} ({})", traffic.up, traffic.down, traffic.turns)
}

fn both(traffic: Traffic) -> f64 {
    bytes(traffic.up + traffic.down)
}

#[expect(clippy::cast_precision_loss, reason = "nobody waits for 2^52 bytes")]
fn bytes(count: u64) -> f64 {
    count as f64
}
