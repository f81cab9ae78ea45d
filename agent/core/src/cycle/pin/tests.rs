//! Claims about rollbacks that a person asks for.

use leeward_wire::RevisionVerdict;

use super::*;
use crate::{
    cycle::{
        AppEvent, AppHealth, Effect, GoodRecord, Hold, HoldReason, KeptEvent, roll_back_to, step,
        tests::{all_applied, at, offer, revision, spec, went_back},
    },
    model::HealthName,
};

fn healthy(failed: bool) -> AppEvent {
    let name = if failed { HealthName::Degraded } else { HealthName::Healthy };
    AppEvent::Observed(AppHealth { name, failed, ..AppHealth::default() })
}

fn after(app: App, seconds: u64, event: AppEvent) -> App {
    step(app, event, &at(seconds)).0
}

/// Through preflight, apply and probation.
fn passes(app: App, seconds: u64) -> App {
    let app = after(app, seconds, AppEvent::Cleared);
    let app = after(app, seconds, all_applied());
    let app = after(app, seconds, healthy(false));
    after(app, seconds + 61, AppEvent::Tick)
}

/// An app in which these revisions were good one after another.
fn good(contents: &[u8]) -> App {
    let new = App::resume(AppRecord::new(spec()), &at(0));
    contents.iter().zip(0_u64..).fold(new, |app, (content, index)| {
        passes(after(app, index * 100, offer(*content)), index * 100)
    })
}

fn rolled_back(app: App, seconds: u64, commit: Option<&str>, length: Option<u64>) -> App {
    let revision = roll_back_to(&app.record, commit).unwrap();
    let length = length.map(Duration::from_secs);
    after(app, seconds, AppEvent::Kept(KeptEvent::Pinned { revision, length }))
}

fn hex(content: u8) -> String {
    revision(content).commit.to_string()
}

fn target(app: &App) -> Option<Revision> {
    app.record.candidate().cloned()
}

/// `phase`, and the content that is good.
fn stands(app: &App) -> (&'static str, Option<Revision>, bool) {
    let good = app.record.good.as_ref().map(|good| good.revision.clone());
    (app.record.phase.name(), good, app.record.pin.is_some())
}

#[test]
fn each_rollback_goes_one_further_back_and_the_first_revision_is_the_end() {
    let app = passes(rolled_back(good(&[1, 2, 3]), 1000, None, None), 1000);
    assert_eq!(stands(&app), ("good", Some(revision(2)), true));
    let app = passes(rolled_back(app, 2000, None, None), 2000);
    assert_eq!(stands(&app), ("good", Some(revision(1)), true));
    let none = roll_back_to(&app.record, None).unwrap_err();
    assert_eq!(none.message, "app shop has no good revision before the present one");
}

#[test]
fn what_git_offers_again_is_not_followed_and_the_next_content_is() {
    let app = passes(rolled_back(good(&[1, 2]), 1000, None, None), 1000);
    let app = after(app, 1100, offer(2));
    assert_eq!(stands(&app), ("good", Some(revision(1)), true));
    let app = after(app, 1200, offer(3));
    assert_eq!((target(&app), app.record.pin.is_some()), (Some(revision(3)), false));
    // What ran before it is gone back to first, not what was rolled back from.
    let app = passes(app, 1200);
    assert_eq!(roll_back_to(&app.record, None), Ok(revision(1)));
}

#[test]
fn variables_that_change_under_the_same_commit_do_not_end_it() {
    let app = passes(rolled_back(good(&[1, 2]), 1000, None, None), 1000);
    let changed = Revision { content: ContentId("other".to_owned()), ..revision(2) };
    let offered = |revision| AppEvent::Offered { revision, spec: spec(), removed: false };
    let app = after(app, 1100, offered(changed.clone()));
    assert_eq!(stands(&app), ("good", Some(revision(1)), true));
    // The same in a newer commit is nothing new either.
    let app = after(app, 1200, offered(Revision { commit: revision(4).commit, ..changed }));
    assert_eq!(stands(&app), ("good", Some(revision(1)), true));
}

#[test]
fn an_app_that_leaves_git_is_rolled_back_no_longer() {
    let app = passes(rolled_back(good(&[1, 2]), 1000, None, None), 1000);
    let gone = Revision { content: ContentId("empty".to_owned()), ..revision(2) };
    let app =
        after(app, 1100, AppEvent::Offered { revision: gone.clone(), spec: spec(), removed: true });
    assert_eq!((target(&app), app.record.pin.is_some()), (Some(gone), false));
    assert!(roll_back_to(&app.record, None).unwrap_err().message.contains("left Git"));
}

#[test]
fn release_follows_git_again_wherever_the_rollback_has_come() {
    let release = || AppEvent::Kept(KeptEvent::Released { reason: "by hand".to_owned() });
    let app = rolled_back(good(&[1, 2]), 1000, None, None);
    // Nothing of it was applied yet: what runs is what Git wants.
    assert_eq!(stands(&after(app.clone(), 1001, release())).0, "good");
    let app = passes(app, 1000);
    let app = after(app, 1100, release());
    assert_eq!((target(&app), app.record.pin.is_some()), (Some(revision(2)), false));
    // Late, or twice: nothing happens.
    assert_eq!(after(app.clone(), 1101, release()), app);
}

#[test]
fn its_time_ends_it_also_after_a_restart_and_with_a_clock_that_went_back() {
    let app = passes(rolled_back(good(&[1, 2]), 1000, None, Some(600)), 1000);
    assert_eq!(crate::cycle::due(&app, &at(1100)), Some(Uptime::from_secs(1600)));
    assert_eq!(stands(&after(app.clone(), 1599, AppEvent::Tick)).0, "good");
    assert_eq!(target(&after(app.clone(), 1600, AppEvent::Tick)), Some(revision(2)));
    let earlier = Now { wall: Timestamp::from_second(-86_400).unwrap(), ..at(5) };
    let app = App::resume(app.record, &earlier);
    assert_eq!(app.pin_until, Some(Uptime::from_secs(605)));
}

#[test]
fn an_old_revision_that_is_bad_now_is_reported_and_what_ran_before_runs_again() {
    let app = rolled_back(good(&[1, 2]), 1000, None, None);
    let refused = AppEvent::Refused { reason: "no".to_owned(), faults: Vec::new() };
    let (refused, effects) = step(app.clone(), refused, &at(1001));
    assert_eq!(stands(&refused), ("good", Some(revision(2)), false));
    let kinds: Vec<&str> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Report(event) => Some(event.kind.type_name()),
            Effect::History(_) => None,
        })
        .collect();
    assert_eq!(kinds, ["dev.leeward.app.failed.v1", "dev.leeward.app.released.v1"]);
    let none = roll_back_to(&refused.record, Some(&hex(1))).unwrap_err();
    assert!(none.message.ends_with("is bad: no"), "{}", none.message);

    // After it was applied, the way back is the usual one.
    let app = after(app, 1001, AppEvent::Cleared);
    let app = after(app, 1002, all_applied());
    let app = after(app, 1003, healthy(true));
    assert_eq!(stands(&app), ("rolling_back", Some(revision(2)), false));
    let app = after(app, 1004, went_back());
    assert_eq!(stands(&app), ("good", Some(revision(2)), false));
}

#[test]
fn a_second_rollback_that_fails_leaves_the_first_one_as_it_was() {
    let app = passes(rolled_back(good(&[1, 2, 3]), 1000, None, Some(5000)), 1000);
    let app = rolled_back(app, 2000, None, None);
    let refused = AppEvent::Refused { reason: "no".to_owned(), faults: Vec::new() };
    let app = after(app, 2001, refused);
    assert_eq!(stands(&app), ("good", Some(revision(2)), true));
    assert_eq!(app.record.goal(), Some(&revision(2)));
    let app = after(app, 2002, offer(3));
    assert_eq!(stands(&app), ("good", Some(revision(2)), true));
    // It ends when it would have ended; the wall clock of these tests stands still.
    assert_eq!(app.pin_until, Some(Uptime::from_secs(7001)));
    assert_eq!(target(&after(app, 7001, AppEvent::Tick)), Some(revision(3)));
}

#[test]
fn where_git_wants_a_bad_revision_the_end_of_a_rollback_leads_to_the_newest_good_one() {
    let app = after(good(&[1, 2]), 1000, offer(3));
    let app = after(app, 1000, AppEvent::Cleared);
    let app = after(app, 1001, all_applied());
    let app = after(app, 1002, healthy(true));
    let app = after(app, 1003, went_back());
    assert_eq!(stands(&app), ("good", Some(revision(2)), false));
    let release = || AppEvent::Kept(KeptEvent::Released { reason: String::new() });
    // Before anything was applied, after, and when it was good.
    let app = rolled_back(app, 1100, None, None);
    assert_eq!(stands(&after(app.clone(), 1101, release())), ("good", Some(revision(2)), false));
    let applying = after(app.clone(), 1101, AppEvent::Cleared);
    assert_eq!(target(&after(applying, 1102, release())), Some(revision(2)));
    let app = passes(app, 1101);
    assert_eq!(target(&after(app, 1200, release())), Some(revision(2)));
}

#[test]
fn rollback_during_a_rollout_goes_to_what_ran_before_it() {
    let app = after(good(&[1, 2]), 1000, offer(3));
    let app = after(app, 1000, AppEvent::Cleared);
    let (app, effects) = {
        let revision = roll_back_to(&app.record, None).unwrap();
        step(app, AppEvent::Kept(KeptEvent::Pinned { revision, length: None }), &at(1001))
    };
    assert_eq!(target(&app), Some(revision(2)));
    let verdicts: Vec<RevisionVerdict> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::History(record) => Some(record.verdict),
            Effect::Report(_) => None,
        })
        .collect();
    assert_eq!(verdicts, [RevisionVerdict::Superseded, RevisionVerdict::RolledBack]);
    // It was not bad, and is tried again once Git is followed.
    let app = passes(app, 1001);
    let app = after(app, 1100, AppEvent::Kept(KeptEvent::Released { reason: String::new() }));
    assert_eq!(target(&app), Some(revision(3)));
}

#[test]
fn what_fails_after_a_rollback_during_a_rollout_leaves_an_app_that_goes_on() {
    // Nothing but the revision that failed now was ever good.
    let app = after(good(&[1]), 1000, offer(2));
    let app = after(app, 1000, AppEvent::Cleared);
    let app = rolled_back(app, 1001, None, None);
    let refused = AppEvent::Refused { reason: "no".to_owned(), faults: Vec::new() };
    let app = after(app, 1002, refused);
    assert_eq!((target(&app), app.record.good.is_none()), (Some(revision(2)), true));
}

#[test]
fn a_rollback_waits_for_no_other_app_and_others_do_not_wait_for_it() {
    let app = rolled_back(good(&[1, 2]), 1000, None, None);
    let hold = Hold::of(HoldReason::Dependency, "db");
    let work = crate::cycle::next_work(&app, &[hold], false, &at(1001));
    assert_eq!(work, crate::cycle::Work::Preflight);
    assert_eq!(app.record.goal(), Some(&revision(1)));
}

#[test]
fn a_commit_is_named_by_its_beginning() {
    let mut app = good(&[0x12, 0x13, 0x24]);
    let of = |app: &App, commit: &str| {
        roll_back_to(&app.record, Some(commit)).map(|found| found.commit).map_err(|no| no.message)
    };
    assert_eq!(of(&app, "1212"), Ok(revision(0x12).commit));
    assert_eq!(of(&app, "1"), Err("1 is ambiguous: it begins 2 good revisions of app shop".into()));
    assert_eq!(of(&app, "99"), Err("the store has no good revision 99 of app shop".into()));
    assert_eq!(of(&app, "24"), Err("app shop runs 24242424 already, and Git wants it".into()));
    let hint = roll_back_to(&app.record, Some("99")).unwrap_err().hint;
    assert_eq!(
        hint,
        "good revisions in the store: 24242424 of 1970-01-01 00:00 UTC, \
         13131313 of 1970-01-01 00:00 UTC, 12121212 of 1970-01-01 00:00 UTC"
    );
    // Of an agent that kept no revisions, the good one alone is known.
    app.record.kept.clear();
    assert!(roll_back_to(&app.record, None).is_err());
    let app = passes(after(app, 5000, offer(0x31)), 5000);
    assert_eq!(roll_back_to(&app.record, None), Ok(revision(0x24)));
}

#[test]
fn the_oldest_go_first_and_never_one_that_is_in_use() {
    let kept = |app: &App| -> Vec<Revision> {
        app.record.kept.iter().map(|kept: &GoodRecord| kept.revision.clone()).collect()
    };
    let mut app = good(&[1, 2, 3, 4]);
    app.record.keep_good_revisions(3);
    assert_eq!(kept(&app), [2, 3, 4].map(revision));
    let mut app = rolled_back(app, 1000, Some(&hex(2)), None);
    app.record.keep_good_revisions(1);
    assert_eq!(kept(&app), [2, 4].map(revision));
    assert!(!app.record.can_give_up());
    let same = after(app.clone(), 1001, AppEvent::Kept(KeptEvent::GaveUpOldest));
    assert_eq!(kept(&same), kept(&app));
}

#[test]
fn a_record_of_an_agent_without_rollbacks_is_read_and_written_as_it_was() {
    let old = serde_json::to_value(AppRecord::new(spec())).unwrap();
    assert!(old.get("pin").is_none() && old.get("kept").is_none());
    let read: AppRecord = serde_json::from_value(old).unwrap();
    assert_eq!(read, AppRecord::new(spec()));
}
