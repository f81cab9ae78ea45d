//! `leeward sync`: polls the repository now; with `--wait` until all has settled.

use std::{
    fmt::Write as _,
    thread,
    time::{Duration, Instant},
};

use leeward_core::model::{AppStatus, LinkState, LinkStatus, PhaseName, StatusDocument};
use leeward_wire::control::{Request, Response};
use serde_json::json;

use super::{
    Session,
    arguments::SyncFlags,
    client,
    console::Console,
    exit::{Exit, Failure},
    human, status,
};
use crate::config::Config;

/// Without the time of a next try nothing tells a poll that brought nothing
/// from one that is still under way; it is taken for done after this.
const GRACE: Duration = Duration::from_secs(10);

pub(super) fn run(
    flags: &SyncFlags,
    session: &Session,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let config = session.config()?;
    // Only a wait compares; without one nothing depends on a status being there yet.
    let before = flags.wait.then(|| ask_status(&config)).transpose()?;
    let Response::Done { message } = client::ask(&config, &Request::Sync)? else {
        return Err(client::unexpected());
    };
    let Some(before) = before else {
        console.answer(&json!({ "message": message }), |_| {
            format!("{}\n", human::one_line(&message))
        })?;
        return Ok(Exit::Done);
    };
    let settled = wait(flags, &before, &config, session, console)?;
    if let Some(failure) = link_failure(&settled.link) {
        return Err(failure);
    }
    let well = status::all_well(&settled)
        && source_faults(&settled).next().is_none()
        && !settled.apps.iter().any(|app| newest_is_bad(app, &settled) || app.pinned.is_some());
    let answer = json!({ "message": message, "well": well, "apps": settled.apps });
    console.answer(&answer, |_| summary(&settled))?;
    Ok(if well { Exit::Done } else { Exit::Different })
}

fn ask_status(config: &Config) -> Result<StatusDocument, Failure> {
    match client::ask(config, &Request::Status)? {
        Response::Status { document } => Ok(*document),
        _ => Err(client::unexpected()),
    }
}

/// Looks at the daemon until nothing moves any more.
fn wait(
    flags: &SyncFlags,
    before: &StatusDocument,
    config: &Config,
    session: &Session,
    console: &mut Console<'_>,
) -> Result<StatusDocument, Failure> {
    let started = Instant::now();
    let progress = progress(console);
    loop {
        let now = ask_status(config)?;
        if is_settled(before, &now, started.elapsed()) {
            progress.finish_and_clear();
            return Ok(now);
        }
        let moving = unsettled(&now);
        if started.elapsed() >= flags.timeout {
            progress.finish_and_clear();
            let what = if moving.is_empty() { "the poll".to_owned() } else { moving.join(", ") };
            let waited = human::span(flags.timeout);
            let message = format!("not settled after {waited}: {what}");
            return Err(Failure::new(Exit::TryLater, message)
                .with_hint("`leeward why` says what blocks; the daemon goes on by itself"));
        }
        progress.set_message(if moving.is_empty() {
            "polling".to_owned()
        } else {
            moving.join(", ")
        });
        thread::sleep(session.tick.min(flags.timeout.saturating_sub(started.elapsed())));
    }
}

/// A spinner on a terminal, nothing elsewhere.
fn progress(console: &Console<'_>) -> indicatif::ProgressBar {
    if !console.stderr_is_terminal {
        return indicatif::ProgressBar::hidden();
    }
    let spinner = indicatif::ProgressBar::new_spinner().with_message("polling");
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

/// Whether the poll that was asked for is over and no app is on its way.
fn is_settled(before: &StatusDocument, now: &StatusDocument, waited: Duration) -> bool {
    let polled = before.source != now.source
        || before.link != now.link
        || (now.link.next_try.is_none() && waited >= GRACE);
    let known = now.link.state != LinkState::Unknown && !now.source.examining;
    polled && known && unsettled(now).is_empty()
}

/// `shop: applying`, for each app that is on its way to somewhere.
fn unsettled(document: &StatusDocument) -> Vec<String> {
    let moving = |app: &&AppStatus| match app.phase {
        PhaseName::Waiting
        | PhaseName::Preflight
        | PhaseName::Applying
        | PhaseName::Probation
        | PhaseName::RollingBack => true,
        PhaseName::Held | PhaseName::Good | PhaseName::Failed | PhaseName::Paused => false,
    };
    let moving = document.apps.iter().filter(moving);
    moving.map(|app| format!("{}: {}", app.name, status::word(&app.phase))).collect()
}

/// A sync without a link brought nothing, whatever state the apps are in.
fn link_failure(link: &LinkStatus) -> Option<Failure> {
    (link.state == LinkState::Down).then(|| {
        let step = link
            .failed_step
            .map_or_else(String::new, |step| format!(" at {}", status::word(&step)));
        Failure::new(Exit::Unavailable, format!("the poll failed{step}: {}", link.evidence))
            .with_hint("`leeward why` says what to do; `leeward check` tries each step")
    })
}

/// What is wrong with the newest commit as a whole, of which no app has anything then.
fn source_faults(document: &StatusDocument) -> impl Iterator<Item = &str> {
    let blockers = document.why.iter().filter(|blocker| blocker.blocker == "source");
    blockers.map(|blocker| blocker.evidence.as_str())
}

/// The newest commit went bad in this app, which is back at an older one.
fn newest_is_bad(app: &AppStatus, document: &StatusDocument) -> bool {
    app.bad.iter().any(|bad| Some(bad.commit) == document.source.commit)
}

fn summary(document: &StatusDocument) -> String {
    let mut text = String::new();
    for fault in source_faults(document) {
        let _ = writeln!(text, "every app stays as it is: {}", human::one_line(fault));
    }
    for app in &document.apps {
        let bad = match (newest_is_bad(app, document), &app.good) {
            (false, _) if app.pinned.is_some() => "; rolled back by hand, Git is not followed",
            (false, _) => "",
            (true, Some(_)) => "; the newest revision was bad, the last good one runs",
            (true, None) => "; the newest revision was bad, and none was good before",
        };
        let (name, phase) = (human::one_line(&app.name), status::word(&app.phase));
        let _ = writeln!(text, "{name}: {phase}, {}{bad}", status::word(&app.health));
    }
    if text.is_empty() { "No apps yet.\n".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use leeward_core::model::HealthName;

    use super::*;
    use crate::cli::tests::document;

    const MOMENT: Duration = Duration::from_millis(1);

    #[test]
    fn nothing_is_settled_before_the_poll_is_over_however_slow_the_link() {
        let before = document();
        assert!(!is_settled(&before, &before.clone(), Duration::from_hours(1)));
    }

    #[test]
    fn a_poll_that_nothing_tells_of_is_over_after_a_while() {
        let mut before = document();
        before.link.next_try = None;
        let settled = [MOMENT, GRACE].map(|waited| is_settled(&before, &before.clone(), waited));
        assert_eq!(settled, [false, true]);
    }

    #[test]
    fn a_poll_is_over_when_the_next_try_has_moved() {
        let (before, mut now) = (document(), document());
        now.link.next_try = Some("2026-03-01T12:00:40Z".parse().unwrap());
        assert!(is_settled(&before, &now, MOMENT));
    }

    #[test]
    fn a_newer_commit_that_no_app_was_offered_yet_is_not_settled() {
        let (before, mut now) = (document(), document());
        now.link.next_try = Some("2026-03-01T12:00:40Z".parse().unwrap());
        now.source.examining = true;
        assert!(!is_settled(&before, &now, MOMENT));
    }

    #[test]
    fn a_commit_without_a_good_one_before_it_is_not_said_to_be_replaced_by_one() {
        let mut document = document();
        document.apps.retain(|app| app.name == "shop");
        document.apps[0].good = None;
        document.apps[0].phase = PhaseName::Failed;
        let said = summary(&document);
        assert!(
            said.ends_with("the newest revision was bad, and none was good before\n"),
            "{said}"
        );
    }

    #[test]
    fn an_app_on_its_way_is_not_settled() {
        let (before, mut now) = (document(), document());
        now.link.next_try = None;
        now.apps[0].phase = PhaseName::Probation;
        now.apps[0].health = HealthName::Progressing;
        assert!(!is_settled(&before, &now, MOMENT));
        assert_eq!(unsettled(&now), ["db: probation"]);
    }
}
