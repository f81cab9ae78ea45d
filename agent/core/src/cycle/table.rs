//! Phase × event → phase: the life of a revision as a table, for people. It is
//! written by what `step` does, and the page is stale as soon as that changes.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use super::{
    App, AppEvent, AppHealth, AppRecord, GoodRecord, Hold, HoldReason, KeptEvent, Now, Phase, step,
    tests,
};
use crate::model::{HealthName, Uptime};

/// The revision that was good before, and the one on its way in.
const GOOD: u8 = 1;
const TARGET: u8 = 2;
/// A revision that was good before the good one.
const EARLIER: u8 = 9;

fn hold(reason: HoldReason) -> Hold {
    Hold { reason, detail: "waits".to_owned(), set: None, objects: Vec::new() }
}

fn phases() -> Vec<Phase> {
    let target = || tests::revision(TARGET);
    vec![
        Phase::Waiting,
        Phase::Preflight { target: target() },
        Phase::Held { target: target(), hold: hold(HoldReason::PruneGuard) },
        Phase::Applying { target: target() },
        Phase::Probation { target: target() },
        Phase::Good,
        Phase::RollingBack { bad: target() },
        Phase::Failed { bad: target() },
    ]
}

fn events() -> Vec<(&'static str, AppEvent)> {
    let health =
        |name, failed| AppEvent::Observed(AppHealth { name, failed, ..AppHealth::default() });
    let failed = || ("no".to_owned(), Vec::new());
    let rolled_back = KeptEvent::Pinned { revision: tests::revision(EARLIER), length: None };
    vec![
        ("a newer revision is offered", tests::offer(3)),
        ("the good one is offered again", tests::offer(GOOD)),
        ("refused", AppEvent::Refused { reason: failed().0, faults: failed().1 }),
        ("something is absent", AppEvent::Absent { reason: failed().0, faults: failed().1 }),
        ("cleared", AppEvent::Cleared),
        ("held", AppEvent::Held(hold(HoldReason::Dependency))),
        ("objects go to another app", AppEvent::HandsOver),
        ("released", AppEvent::Released),
        ("approved", AppEvent::Approved),
        ("tried again", AppEvent::Retried),
        ("a stage is applied", AppEvent::StageApplied),
        ("all is applied", tests::all_applied()),
        ("what was to go is gone", AppEvent::Pruned { stuck: Vec::new() }),
        ("all that can go back is back", tests::went_back()),
        ("an apply fails", AppEvent::ApplyFailed { reason: failed().0, faults: failed().1 }),
        ("an obstacle", AppEvent::Obstacle { message: "no answer".to_owned() }),
        ("healthy", health(HealthName::Healthy, false)),
        ("an object failed", health(HealthName::Degraded, true)),
        ("a person rolls it back", AppEvent::Kept(rolled_back)),
        ("time is up", AppEvent::Tick),
    ]
}

/// An app in a phase, with or without a revision that was good before; it has
/// been healthy for its soak, or never, and its time is over when the clock ticks.
fn app(phase: Phase, has_good: bool, is_healthy: bool) -> App {
    let mut record = AppRecord::new(tests::spec());
    record.at = Some(tests::revision(TARGET));
    record.good = has_good.then(|| GoodRecord {
        revision: tests::revision(GOOD),
        since: jiff::Timestamp::UNIX_EPOCH,
    });
    if matches!(phase, Phase::Good) {
        record.at = Some(tests::revision(GOOD));
    }
    record.phase = phase;
    let mut app = App::resume(record, &at(0));
    app.deadline = Some(Uptime::from_secs(1));
    app.leaving = false;
    app.healthy_since = is_healthy.then_some(Uptime::from_secs(0));
    app
}

fn at(seconds: u64) -> Now {
    Now { uptime: Uptime(Duration::from_secs(seconds)), ..tests::at(seconds) }
}

fn after(phase: &Phase, event: &AppEvent, has_good: bool, is_healthy: bool) -> &'static str {
    let mut before = app(phase.clone(), has_good, is_healthy);
    if *event != AppEvent::Tick {
        before.deadline = Some(Uptime::from_secs(1000));
    }
    let (after, _) = step(before, event.clone(), &at(100));
    after.record.phase.name()
}

fn page() -> String {
    let phases = phases();
    let mut page = String::from(
        "# Phases and events\n\n<!-- Generated from `leeward_core::cycle::step`; \
         LEEWARD_BLESS=1 cargo test -p leeward-core table -->\n\n\
         Each cell is the phase that an app is in after the event of its row, in the phase of \
         its column. `·`: it stays. Where it depends on whether a revision was good before, or \
         on whether the app has been healthy for its soak, both are given.\n\n",
    );
    let names: Vec<&str> = phases.iter().map(Phase::name).collect();
    writeln!(page, "| event | {} |", names.join(" | ")).unwrap();
    writeln!(page, "|---|{}", "---|".repeat(names.len())).unwrap();
    for (name, event) in events() {
        let cells: Vec<String> = phases.iter().map(|phase| cell(phase, &event)).collect();
        writeln!(page, "| {name} | {} |", cells.join(" | ")).unwrap();
    }
    page
}

fn cell(phase: &Phase, event: &AppEvent) -> String {
    let shown = |name: &str| if name == phase.name() { "·".to_owned() } else { name.to_owned() };
    let of = |has_good, is_healthy| shown(after(phase, event, has_good, is_healthy));
    let mut all = vec![of(true, false)];
    for (other, when) in [(of(false, false), "nothing good before"), (of(true, true), "healthy")] {
        if other != all[0] {
            all.push(format!("{other} ({when})"));
        }
    }
    all.join("; ")
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a generated page is compared with what it was generated from"
)]
fn the_table_of_transitions_is_as_step_moves() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/phases.md");
    let page = page();
    if std::env::var_os("LEEWARD_BLESS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(known, page, "docs/reference/phases.md is stale: LEEWARD_BLESS=1 writes it anew");
}
