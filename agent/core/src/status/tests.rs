//! Claims about the documents: what blocks, in which order, and what is worth a report.

use std::{collections::BTreeMap, time::Duration};

use super::{AppFacts, Configured, Facts, LinkView, digest, document};
use crate::{
    cycle::{
        App, AppRecord, BadRecord, GoodRecord, Hold, HoldReason, Now, Pause, Phase, SourceRecord,
    },
    model::{
        AppSpec, ContentId, GitId, Heal, HealthName, LinkState, LinkStep, ObjectFault,
        OutboxStatus, PhaseName, PruneGuard, RETRY_INTERVAL, Revision, StatusDocument, StoreStatus,
        Uptime, Variables,
    },
    report::Delivery,
};

const NOW: Uptime = Uptime::from_secs(100);

fn noon() -> jiff::Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn revision(content: u8) -> Revision {
    let id = GitId::new([content; GitId::BYTES]);
    Revision {
        commit: id,
        tree: id,
        content: ContentId(format!("c{content}")),
        reach: None,
        variables: Variables::default(),
        secrets: Vec::new(),
    }
}

fn app(name: &str) -> App {
    let spec = AppSpec {
        name: name.to_owned(),
        path: String::new(),
        depends_on: Vec::new(),
        heal: Heal::Always,
        timeout: Duration::from_secs(300),
        soak: Duration::from_secs(60),
        prune: PruneGuard { max_objects: 3, max_share: 0.3, first: false },
        retries: 0,
        retry_interval: RETRY_INTERVAL,
        formerly: Vec::new(),
        ignore_differences: Vec::new(),
        substitute: None,
        substitute_from: Vec::new(),
    };
    let now = Now { uptime: NOW, wall: noon(), jitter: 0.5 };
    App::resume(AppRecord::new(spec), &now)
}

fn facts_of(app: &App) -> AppFacts<'_> {
    AppFacts { app, objects: 7, open: 0, message: "", wanting: None, awaits: None, under_way: None }
}

fn fault(object: &str, message: &str) -> ObjectFault {
    ObjectFault { object: Some(object.to_owned()), origin: None, message: message.to_owned() }
}

fn bad(content: u8, faults: Vec<ObjectFault>) -> BadRecord {
    let reason = "failed its health checks".to_owned();
    BadRecord { revision: revision(content), reason, faults, at: noon() }
}

fn held(mut app: App, reason: HoldReason, detail: &str) -> App {
    let hold = Hold { reason, detail: detail.to_owned(), set: None, objects: Vec::new() };
    app.record.phase = Phase::Held { target: revision(1), hold };
    app
}

/// An agent that nothing is wrong with but what a test says.
struct Agent {
    uptime: Uptime,
    source: Option<SourceRecord>,
    link: LinkView,
    outbox: OutboxStatus,
    store_fault: Option<&'static str>,
    cluster_fault: Option<&'static str>,
    unwatched: std::collections::BTreeMap<crate::model::Kind, String>,
    delivery: Delivery,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            uptime: NOW,
            source: None,
            link: LinkView::unknown(noon()),
            outbox: OutboxStatus::default(),
            store_fault: None,
            cluster_fault: None,
            unwatched: std::collections::BTreeMap::new(),
            delivery: Delivery::default(),
        }
    }
}

impl Agent {
    fn document(&self, apps: &[AppFacts<'_>]) -> StatusDocument {
        let configured = Configured {
            cluster: "shop-0042",
            url: "https://git.example.com/fleet.git",
            reference: "refs/heads/main",
            path: "clusters/shop-0042",
        };
        let facts = Facts {
            configured,
            version: "0.1.0",
            running: true,
            boot: 12,
            uptime: self.uptime,
            wall: noon(),
            source: self.source.as_ref(),
            examining: false,
            link: &self.link,
            outbox: self.outbox.clone(),
            store: StoreStatus { bytes: 1, max_bytes: 2 },
            store_fault: self.store_fault,
            cluster_fault: self.cluster_fault,
            unwatched: &self.unwatched,
            delivery: &self.delivery,
        };
        document(&facts, apps)
    }

    /// One line a blocker.
    fn why(&self, apps: &[AppFacts<'_>]) -> String {
        let lines = self.document(apps).why.into_iter().map(|blocker| {
            let app = blocker.app.map_or_else(String::new, |app| format!("{app} "));
            let next = blocker.next_try.map_or_else(String::new, |at| format!(" [{at}]"));
            format!("{app}{}: {}{next}\n  {}", blocker.blocker, blocker.evidence, blocker.hint)
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn why_of(app: &App) -> String {
    Agent::default().why(&[facts_of(app)])
}

fn status_of(app: &App) -> crate::model::AppStatus {
    Agent::default().document(&[facts_of(app)]).apps.remove(0)
}

#[test]
fn nothing_blocks_when_all_is_well() {
    assert_eq!(why_of(&app("shop")), "");
}

#[test]
fn what_nothing_goes_on_without_comes_before_the_apps_and_the_link_after_them() {
    let agent = Agent {
        source: Some(SourceRecord {
            costs: Vec::new(),
            commit: revision(1).commit,
            tree: revision(1).tree,
            reference: "refs/heads/main".to_owned(),
            fetched_at: noon(),
            others: BTreeMap::new(),
            left_out: BTreeMap::new(),
            faults: vec![fault("leeward.yaml", "an app has no name")],
        }),
        link: LinkView {
            state: LinkState::Down,
            failed_step: Some(LinkStep::Dns),
            evidence: "git.example.com: no address".to_owned(),
            next_try: Some(noon()),
            ..LinkView::unknown(noon())
        },
        outbox: OutboxStatus { refused: 3, ..OutboxStatus::default() },
        store_fault: Some("no space left on device"),
        cluster_fault: Some("connection refused"),
        delivery: Delivery {
            failures: 2,
            evidence: "hq.example.com: 503".to_owned(),
            next_try: Some(noon()),
        },
        ..Agent::default()
    };
    let shop = held(app("shop"), HoldReason::Dependency, "db is not good yet");
    insta::assert_snapshot!(agent.why(&[facts_of(&shop)]), @r"
    store: no space left on device
      make room on the disk of store.path, or raise store.max_size
    api_server: connection refused
      `leeward check` walks the way to the API server; workloads run on meanwhile
    source: leeward.yaml: an app has no name
      correct it in Git; every app stays as it is until then
    shop dependency: db is not good yet
      it goes on by itself when that app is good
    link: dns: git.example.com: no address [2026-03-01T12:00:00Z]
      nothing to do if the link is known to be down; what is in the store goes on working
    report: hq.example.com: 503 [2026-03-01T12:00:00Z]
      `report.url` names the receiver; reports wait, and nothing else waits for them
    report: the receiver refused 3 events for good
      ask whoever runs the receiver of report.url
    ");
}

#[test]
fn one_app_is_blocked_first_by_what_the_agent_lacks_then_by_people_then_by_the_cluster() {
    let mut shop = held(app("shop"), HoldReason::PruneGuard, "5 of 10 objects would go");
    shop.obstacle = "the API server cannot be reached: timed out".to_owned();
    shop.not_before = Some(NOW + Duration::from_secs(30));
    shop.record.pause = Some(Pause {
        until: "2026-03-01T14:00:00Z".parse().unwrap(),
        length: Duration::from_secs(7200),
        reason: "inventory".to_owned(),
    });
    shop.pause_until = Some(NOW + Duration::from_secs(7200));
    shop.record.newest = Some(revision(2));
    shop.record.bad =
        vec![bad(2, vec![fault("Pod shop/a", "crash loop"), fault("Pod shop/b", "no image")])];
    shop.health.name = HealthName::Degraded;
    shop.health.faults = ["a", "b", "c", "d"].map(|name| fault(name, "is ill")).to_vec();
    let facts = AppFacts {
        message: "Service shop/web is fought over with a-controller",
        wanting: Some("ConfigMap shop/settings is not there"),
        ..facts_of(&shop)
    };
    insta::assert_snapshot!(Agent::default().why(&[facts]), @r"
    shop variables: ConfigMap shop/settings is not there
      what runs stays as it is; it goes on by itself once the object is as it should be, `leeward sync` looks now
    shop obstacle: the API server cannot be reached: timed out [2026-03-01T12:00:30Z]
      it is tried again by itself; `leeward sync` tries now
    shop prune_guard: 5 of 10 objects would go
      `leeward diff shop` lists what would go; `leeward approve shop` lets it go
    shop pause: inventory [2026-03-01T14:00:00Z]
      `leeward resume shop` ends the pause
    shop bad_revision: 0202020202020202020202020202020202020202: failed its health checks: Pod shop/a: crash loop
      nothing was good before it; commit a correction
    shop bad_revision: 0202020202020202020202020202020202020202: failed its health checks: Pod shop/b: no image
      nothing was good before it; commit a correction
    shop fight: Service shop/web is fought over with a-controller
      find the other writer and stop it, or give the field up with ignoreDifferences
    shop health: a: is ill
      `kubectl describe` the object; the agent looks again by itself
    shop health: b: is ill
      `kubectl describe` the object; the agent looks again by itself
    shop health: c: is ill
      `kubectl describe` the object; the agent looks again by itself
    ");
}

#[test]
fn an_app_that_left_git_is_said_to_have_left() {
    let mut shop = held(app("shop"), HoldReason::PruneGuard, "all 10 objects would go");
    shop.record.removed = true;
    insta::assert_snapshot!(why_of(&shop), @r"
    shop prune_guard: all 10 objects would go
      app shop left Git, and no other app has these objects; `leeward diff shop` lists what would go; `leeward approve shop` lets it go
    ");
}

#[test]
fn a_bad_revision_blocks_only_while_git_wants_it() {
    let mut shop = app("shop");
    shop.record.good = Some(GoodRecord { revision: revision(1), since: noon() });
    shop.record.bad = vec![bad(2, Vec::new())];
    shop.record.newest = Some(revision(2));
    insta::assert_snapshot!(why_of(&shop), @r"
    shop bad_revision: 0202020202020202020202020202020202020202: failed its health checks
      the last good revision runs; `git revert` it or commit a correction
    ");
    shop.record.newest = Some(revision(3));
    assert_eq!(why_of(&shop), "");
}

#[test]
fn a_try_that_is_due_has_no_time_of_the_next_one() {
    let mut shop = app("shop");
    shop.obstacle = "timed out".to_owned();
    shop.not_before = Some(NOW);
    assert!(Agent::default().document(&[facts_of(&shop)]).why[0].next_try.is_none());
}

#[test]
fn objects_of_a_healthy_app_block_nothing_whatever_was_said_of_them() {
    let mut shop = app("shop");
    shop.health.faults = vec![fault("Pod shop/a", "was ill")];
    for name in [HealthName::Healthy, HealthName::Suspended, HealthName::Unknown] {
        shop.health.name = name;
        assert_eq!(why_of(&shop), "");
    }
}

#[test]
fn a_paused_app_says_so_in_whatever_phase_it_is() {
    let mut shop = app("shop");
    shop.record.pause = Some(Pause {
        until: noon(),
        length: Duration::from_secs(60),
        reason: "inventory".to_owned(),
    });
    shop.pause_until = Some(NOW + Duration::from_secs(60));
    let status = status_of(&shop);
    assert_eq!(
        (status.phase, status.held.unwrap().reason),
        (PhaseName::Paused, "pause".to_owned())
    );
    shop.pause_until = Some(NOW);
    assert_eq!(status_of(&shop).phase, PhaseName::Waiting);
}

#[test]
fn the_one_line_of_an_app_is_what_matters_most() {
    let mut shop = app("shop");
    let mut lines = vec![status_of(&shop).message];
    shop.health.faults = vec![fault("Pod shop/a", "is ill")];
    lines.push(status_of(&shop).message);
    shop.record.newest = Some(revision(2));
    shop.record.bad = vec![bad(2, vec![fault("Pod shop/a", "crash loop"), fault("b", "too")])];
    lines.push(status_of(&shop).message);
    let mut shop = held(shop, HoldReason::Dependency, "db is not good yet");
    lines.push(status_of(&shop).message);
    shop.obstacle = "timed out".to_owned();
    lines.push(status_of(&shop).message);
    insta::assert_snapshot!(lines.join("\n"), @r"
    Pod shop/a: is ill
    failed its health checks: Pod shop/a: crash loop (and 1 more)
    db is not good yet
    timed out
    ");
}

#[test]
fn the_newest_bad_revision_comes_first() {
    let mut shop = app("shop");
    shop.record.bad = vec![bad(1, Vec::new()), bad(2, Vec::new())];
    let contents: Vec<String> = status_of(&shop).bad.into_iter().map(|bad| bad.content.0).collect();
    assert_eq!(contents, ["c2", "c1"]);
}

#[test]
fn a_status_in_which_only_clocks_and_reports_moved_is_not_worth_a_report() {
    let shop = app("shop");
    let quiet = Agent::default().document(&[facts_of(&shop)]);
    let moved = Agent {
        uptime: NOW + Duration::from_secs(60),
        link: LinkView { next_try: Some(noon()), ..LinkView::unknown(noon()) },
        outbox: OutboxStatus { pending: 4, refused: 1, ..OutboxStatus::default() },
        delivery: Delivery { failures: 2, evidence: "503".to_owned(), next_try: Some(noon()) },
        ..Agent::default()
    };
    assert_eq!(digest(&quiet), digest(&moved.document(&[facts_of(&shop)])));
}

#[test]
fn a_status_in_which_an_app_or_a_blocker_moved_is_worth_a_report() {
    let shop = app("shop");
    let quiet = digest(&Agent::default().document(&[facts_of(&shop)]));
    let sick = Agent { cluster_fault: Some("timed out"), ..Agent::default() };
    assert_ne!(quiet, digest(&sick.document(&[facts_of(&shop)])));
    let shop = held(shop, HoldReason::Dependency, "db is not good yet");
    assert_ne!(quiet, digest(&Agent::default().document(&[facts_of(&shop)])));
}
