//! Claims about the life of a revision.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{
    AppSpec, ContentId, GitId, Heal, HealthName, ObjectFault, ObjectKey, PruneGuard,
    RETRY_INTERVAL, Revision, Uptime, Variables,
};

pub(super) fn spec() -> AppSpec {
    AppSpec {
        name: "shop".to_owned(),
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
    }
}

pub(super) fn revision(content: u8) -> Revision {
    let id = GitId::from_bytes(&[content; 20]).unwrap();
    Revision {
        commit: id,
        tree: id,
        content: ContentId(id.to_string()),
        reach: None,
        variables: Variables::default(),
        secrets: Vec::new(),
    }
}

pub(super) fn at(seconds: u64) -> Now {
    Now { uptime: Uptime::from_secs(seconds), wall: jiff::Timestamp::UNIX_EPOCH, jitter: 0.5 }
}

pub(super) fn offer(content: u8) -> AppEvent {
    AppEvent::Offered { revision: revision(content), spec: spec(), removed: false }
}

pub(super) fn all_applied() -> AppEvent {
    AppEvent::ApplyDone { counts: ApplyCounts::default(), stuck: Vec::new(), leaving: false }
}

pub(super) fn went_back() -> AppEvent {
    AppEvent::WentBack { counts: ApplyCounts::default(), stuck: Vec::new() }
}

fn health(name: HealthName, failed: bool) -> AppEvent {
    AppEvent::Observed(AppHealth { name, failed, ..AppHealth::default() })
}

/// Runs `(seconds, event)` pairs and tells the story, one line a report.
fn story(app: App, events: Vec<(u64, AppEvent)>) -> (App, Vec<&'static str>) {
    let mut reports = Vec::new();
    let app = events.into_iter().fold(app, |app, (seconds, event)| {
        let (app, effects) = step(app, event, &at(seconds));
        reports.extend(effects.iter().filter_map(|effect| match effect {
            Effect::Report(event) => Some(event.kind.type_name()),
            Effect::History(_) => None,
        }));
        app
    });
    (app, reports)
}

fn good(content: u8) -> App {
    let events = vec![
        (0, offer(content)),
        (0, AppEvent::Cleared),
        (1, all_applied()),
        (2, health(HealthName::Healthy, false)),
        (62, AppEvent::Tick),
    ];
    let (app, _) = story(App::resume(AppRecord::new(spec()), &at(0)), events);
    assert_eq!(app.record.phase, Phase::Good);
    app
}

#[test]
fn a_revision_is_good_only_after_it_stayed_healthy_for_the_whole_soak() {
    let events = vec![
        (0, offer(1)),
        (0, AppEvent::Cleared),
        (1, all_applied()),
        (10, health(HealthName::Healthy, false)),
        (40, health(HealthName::Progressing, false)),
        (50, health(HealthName::Healthy, false)),
        (109, AppEvent::Tick),
    ];
    let (app, _) = story(App::resume(AppRecord::new(spec()), &at(0)), events);
    assert_eq!(app.record.phase, Phase::Probation { target: revision(1) });
    let (app, reports) = story(app, vec![(110, AppEvent::Tick)]);
    assert_eq!(app.record.phase, Phase::Good);
    assert_eq!(reports, ["dev.leeward.app.good.v1"]);
}

#[test]
fn what_goes_after_the_soak_wakes_nobody_while_the_api_server_is_away() {
    let leaving =
        AppEvent::ApplyDone { counts: ApplyCounts::default(), stuck: Vec::new(), leaving: true };
    let events = vec![
        (0, offer(1)),
        (0, AppEvent::Cleared),
        (1, leaving),
        (10, health(HealthName::Healthy, false)),
    ];
    let (app, _) = story(App::resume(AppRecord::new(spec()), &at(0)), events);
    assert_eq!(due(&app, &at(11)), Some(Uptime::from_secs(70)));
    let away = AppEvent::Obstacle { message: "connection refused".to_owned() };
    let (app, _) = story(app, vec![(80, away)]);
    assert!(due(&app, &at(80)).is_some_and(|due| due > Uptime::from_secs(80)));
    assert!(
        matches!(next_work(&app, &[], false, &at(80)), Work::Wait(Some(at)) if at > Uptime::from_secs(80))
    );
}

#[test]
fn unhealthy_revision_is_rolled_back_to_the_last_good_one() {
    let events = vec![
        (100, offer(2)),
        (100, AppEvent::Cleared),
        (101, all_applied()),
        (102, health(HealthName::Degraded, true)),
    ];
    let (app, reports) = story(good(1), events);
    assert_eq!(app.record.phase, Phase::RollingBack { bad: revision(2) });
    assert_eq!(app.record.wanted(), Some(&revision(1)));
    assert_eq!(reports, ["dev.leeward.app.applied.v1", "dev.leeward.app.failed.v1"]);
    let (app, reports) = story(app, vec![(103, went_back()), (104, offer(2))]);
    assert_eq!(app.record.phase, Phase::Good);
    assert_eq!(reports, ["dev.leeward.app.rolledback.v1"]);
}

#[test]
fn what_comes_back_after_it_had_left_git_is_not_rolled_back_to_nothing() {
    let leaves = AppEvent::Offered { revision: revision(9), spec: spec(), removed: true };
    let gone = vec![
        (100, leaves),
        (100, AppEvent::Cleared),
        (101, all_applied()),
        (102, health(HealthName::Healthy, false)),
        (200, AppEvent::Tick),
    ];
    let (app, _) = story(good(1), gone);
    assert_eq!(app.record.phase, Phase::Good);
    let fails = AppEvent::ApplyFailed { reason: "no".to_owned(), faults: Vec::new() };
    let (app, _) = story(app, vec![(300, offer(2)), (300, AppEvent::Cleared), (301, fails)]);
    assert_eq!(app.record.phase, Phase::Failed { bad: revision(2) });
}

#[test]
fn others_that_are_stuck_than_before_are_told() {
    let key = |name: &str| ObjectKey {
        group: String::new(),
        kind: "ConfigMap".to_owned(),
        namespace: "shop".to_owned(),
        name: name.to_owned(),
    };
    let stuck = |names: &[&str]| {
        let one = |name: &&str| Stuck { key: key(name), reason: "no".to_owned(), goes: false };
        (100, AppEvent::Stuck(names.iter().map(one).collect()))
    };
    let told = |events| story(good(1), events).1.len();
    assert_eq!(told(vec![stuck(&[]), stuck(&["a"]), stuck(&["a"])]), 1);
    assert_eq!(told(vec![stuck(&["a"]), stuck(&["a", "b"]), stuck(&["b"]), stuck(&[])]), 4);
}

#[test]
fn bad_content_is_not_tried_again_and_changed_content_is_taken_at_once() {
    let refused = AppEvent::Refused { reason: "no".to_owned(), faults: Vec::new() };
    let (app, _) = story(good(1), vec![(100, offer(2)), (101, refused)]);
    assert_eq!(app.record.phase, Phase::Good);
    let restarted = App::resume(app.record, &at(0));
    let (app, _) = story(restarted, vec![(1, offer(2))]);
    assert_eq!(app.record.phase, Phase::Good);
    let (app, _) = story(app, vec![(2, offer(3))]);
    assert_eq!(app.record.phase, Phase::Preflight { target: revision(3) });
}

#[test]
fn going_back_to_what_runs_drops_a_candidate_that_was_never_applied() {
    let (app, _) = story(good(1), vec![(100, offer(2)), (101, offer(1))]);
    assert_eq!(app.record.phase, Phase::Good);
}

#[test]
fn a_candidate_refused_after_another_was_half_applied_leads_back_to_the_good_one() {
    let refused = AppEvent::Refused { reason: "no".to_owned(), faults: Vec::new() };
    let events = vec![(100, offer(2)), (100, AppEvent::Cleared), (101, offer(3)), (102, refused)];
    let (app, _) = story(good(1), events);
    assert_eq!(app.record.phase, Phase::RollingBack { bad: revision(3) });
}

#[test]
fn an_api_server_that_is_away_counts_against_no_revision() {
    let mut events = vec![(100, offer(2)), (100, AppEvent::Cleared), (101, all_applied())];
    events.extend((1..100).map(|minute| {
        (101 + minute * 60, AppEvent::Obstacle { message: "connection refused".to_owned() })
    }));
    events.extend((1..100).map(|minute| (102 + minute * 60, AppEvent::Tick)).take(1));
    let (app, _) = story(good(1), events);
    assert_eq!(app.record.phase, Phase::Probation { target: revision(2) });
}

#[test]
fn a_pause_never_lasts_longer_than_was_asked_however_the_clock_jumps() {
    let pause =
        AppEvent::Paused { length: Duration::from_secs(7200), reason: "stock-taking".to_owned() };
    let (app, _) = story(good(1), vec![(100, pause)]);
    let long_ago = Now { wall: "1900-01-01T00:00:00Z".parse().unwrap(), ..at(0) };
    let app = App::resume(app.record, &long_ago);
    assert!(app.is_paused(Uptime::from_secs(7199)));
    assert!(!app.is_paused(Uptime::from_secs(7200)));
}

#[test]
fn an_app_waits_for_what_it_depends_on() {
    let (app, _) = story(good(1), vec![(100, offer(2))]);
    let db = "db".to_owned();
    let Work::Know(event) =
        next_work(&app, &[crate::gate::dependency(Some(&db)).unwrap()], false, &at(100))
    else {
        unreachable!("a dependency that is not ready holds the app")
    };
    let (app, reports) = story(app, vec![(100, event)]);
    assert_eq!(reports, ["dev.leeward.app.held.v1"]);
    assert_eq!(next_work(&app, &[], false, &at(101)), Work::Know(AppEvent::Released));
}

fn any_event() -> impl Strategy<Value = AppEvent> {
    let fault = || vec![ObjectFault { object: None, origin: None, message: "x".to_owned() }];
    prop_oneof![
        4 => (1_u8..5).prop_map(offer),
        1 => Just(AppEvent::Refused { reason: "r".to_owned(), faults: fault() }),
        4 => Just(AppEvent::Cleared),
        1 => Just(AppEvent::Held(Hold { reason: HoldReason::PruneGuard, detail: String::new(), set: None, objects: Vec::new() })),
        1 => Just(AppEvent::Released),
        1 => Just(AppEvent::Approved),
        1 => Just(AppEvent::StageApplied),
        4 => Just(all_applied()),
        4 => Just(went_back()),
        1 => Just(AppEvent::ApplyFailed { reason: "r".to_owned(), faults: fault() }),
        1 => Just(AppEvent::Obstacle { message: "o".to_owned() }),
        4 => Just(health(HealthName::Healthy, false)),
        2 => Just(health(HealthName::Degraded, true)),
        1 => Just(health(HealthName::Progressing, false)),
        1 => Just(AppEvent::Paused { length: Duration::from_secs(90), reason: String::new() }),
        1 => Just(AppEvent::Resumed),
        2 => (1_u8..5, proptest::option::of(1_u64..200)).prop_map(|(content, seconds)| {
            let length = seconds.map(Duration::from_secs);
            AppEvent::Kept(KeptEvent::Pinned { revision: revision(content), length })
        }),
        1 => Just(AppEvent::Kept(KeptEvent::Released { reason: String::new() })),
        1 => Just(AppEvent::Kept(KeptEvent::GaveUpOldest)),
        6 => Just(AppEvent::Tick),
    ]
}

proptest! {
    /// `good` never names a revision that failed, `bad` stays bounded, and bad
    /// content is never on its way in.
    #[test]
    fn no_order_of_events_makes_a_failed_revision_good(
        events in proptest::collection::vec((0_u64..120, any_event()), 0..80)
    ) {
        let mut app = App::resume(AppRecord::new(spec()), &at(0));
        let mut uptime = 0;
        for (pause, event) in events {
            uptime += pause;
            let was_bad = app.record.bad.clone();
            (app, _) = step(app, event, &at(uptime));
            prop_assert!(app.record.bad.len() <= MAX_BAD);
            if let Some(good) = &app.record.good {
                prop_assert!(!app.record.is_bad(&good.revision.content));
            }
            if let Some(candidate) = app.record.candidate() {
                prop_assert!(!was_bad.iter().any(|bad| bad.revision.content == candidate.content));
            }
        }
    }

    /// Every phase that works ends by some event or deadline, without anyone's help.
    #[test]
    fn no_phase_lasts_for_ever(
        events in proptest::collection::vec((0_u64..120, any_event()), 0..40)
    ) {
        let mut app = App::resume(AppRecord::new(spec()), &at(0));
        let mut uptime = 0;
        for (pause, event) in events {
            uptime += pause;
            (app, _) = step(app, event, &at(uptime));
        }
        for _ in 0..20 {
            match next_work(&app, &[], false, &at(uptime)) {
                Work::Wait(Some(due)) => {
                    uptime = uptime.max(due.0.as_secs() + 1);
                    (app, _) = step(app, AppEvent::Tick, &at(uptime));
                }
                Work::Wait(None) => break,
                Work::Know(event) => (app, _) = step(app, event, &at(uptime)),
                Work::Preflight => (app, _) = step(app, AppEvent::Cleared, &at(uptime)),
                Work::Prune => {
                    (app, _) = step(app, AppEvent::Pruned { stuck: Vec::new() }, &at(uptime));
                }
                Work::Apply | Work::Heal => {
                    (app, _) = step(app, all_applied(), &at(uptime));
                    (app, _) = step(app, went_back(), &at(uptime));
                }
            }
        }
        let settled = matches!(
            app.record.phase,
            Phase::Waiting | Phase::Good | Phase::Failed { .. } | Phase::Held { .. }
        );
        prop_assert!(settled, "{:?}", app.record.phase);
    }
}

#[test]
fn a_bad_revision_is_tried_again_as_often_as_the_repository_says() {
    let (mut app, _) = story(good(1), vec![(100, offer(2))]);
    app.record.spec.retries = 2;
    app.record.spec.retry_interval = Duration::from_secs(600);
    let refuse = || AppEvent::Refused { reason: "no".to_owned(), faults: Vec::new() };
    let mut uptime = 100;
    for _ in 0..2 {
        app = step(app, refuse(), &at(uptime)).0;
        assert_eq!(due(&app, &at(uptime)), Some(Uptime::from_secs(uptime + 600)));
        app = step(app, AppEvent::Tick, &at(uptime + 599)).0;
        assert_eq!(app.record.phase, Phase::Good);
        uptime += 600;
        app = step(app, AppEvent::Tick, &at(uptime)).0;
        assert!(matches!(app.record.phase, Phase::Preflight { .. }), "{:?}", app.record.phase);
    }
    app = step(app, refuse(), &at(uptime)).0;
    assert_eq!(due(&app, &at(uptime)), None);
    // The count outlives a restart, and belongs to this content only.
    app = App::resume(app.record, &at(0));
    assert_eq!(due(&app, &at(0)), None);
    app = step(app, offer(3), &at(1)).0;
    app.record.spec.retries = 2;
    app.record.spec.retry_interval = Duration::from_secs(600);
    app = step(app, refuse(), &at(1)).0;
    assert_eq!(due(&app, &at(1)), Some(Uptime::from_secs(601)));
}

#[test]
fn a_newer_commit_of_the_same_content_leaves_the_work_as_it_is() {
    let mut newer = revision(2);
    newer.commit = revision(3).commit;
    let preflight = |target| Phase::Preflight { target };
    assert!(preflight(newer.clone()).has_same_work(&preflight(revision(2))));
    assert!(!preflight(revision(3)).has_same_work(&preflight(revision(2))));
    assert!(!Phase::Applying { target: newer }.has_same_work(&preflight(revision(2))));
    assert!(Phase::Good.has_same_work(&Phase::Good) && !Phase::Good.has_same_work(&Phase::Waiting));
}

#[test]
fn what_runs_and_what_comes_take_turns_while_a_candidate_cannot_be_examined() {
    let silence = || AppEvent::Obstacle { message: "the webhook is mute".to_owned() };
    let (mut app, _) = story(good(1), vec![(100, offer(2))]);
    assert_eq!(next_work(&app, &[], true, &at(100)), Work::Preflight);
    app = step(app, silence(), &at(101)).0;
    assert_eq!(next_work(&app, &[], true, &at(120)), Work::Heal);
    assert_eq!(next_work(&app, &[], false, &at(120)), Work::Preflight);
    let healed = step(app.clone(), AppEvent::Healed { objects: 1 }, &at(121)).0;
    assert_eq!(next_work(&healed, &[], true, &at(140)), Work::Preflight);
    assert_eq!(healed.obstacle, "the webhook is mute");
    app = step(app, silence(), &at(121)).0;
    assert_eq!(next_work(&app, &[], true, &at(140)), Work::Preflight);
}
