//! `leeward status`: what the cluster runs, and how far it follows Git.

use std::{fmt::Write as _, thread};

use jiff::Timestamp;
use leeward_core::model::{
    AppStatus, HealthName, LinkState, LinkStatus, PhaseName, PinnedStatus, SourceStatus,
    StatusDocument,
};
use leeward_wire::control::{Request, Response};
use serde::Serialize;

use super::{
    Session,
    arguments::StatusFlags,
    client::{self, AskError},
    console::{Console, Palette, Tint},
    exit::{Exit, Failure},
    human, stored,
    table::{Cell, Table, cell, tinted},
};
use crate::config::Config;

/// Erases the screen and goes to its top left corner (ECMA-48).
const CLEAR: &str = "\x1b[2J\x1b[H";

pub(super) fn run(
    flags: &StatusFlags,
    session: &Session,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let config = session.config()?;
    if flags.watch {
        return watch(&config, session, console);
    }
    let document = fetch(&config, session, console)?;
    console.answer(&document, |palette| text(&document, (session.now)(), palette))?;
    let asked_and_not_well = flags.exit_code && !all_well(&document);
    Ok(if asked_and_not_well { Exit::Different } else { Exit::Done })
}

/// Never ends by itself; the reader interrupts it or closes the pipe.
fn watch(config: &Config, session: &Session, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut first = true;
    loop {
        let body = match fetch_quietly(config, session) {
            Ok((document, _)) => text(&document, (session.now)(), console.palette),
            // The daemon restarts, or is about to: go on looking.
            Err(failure) => format!("{}\n", human::one_line(&failure.messages.join("; "))),
        };
        let lead = match (console.stdout_is_terminal, first) {
            (true, _) => CLEAR,
            (false, true) => "",
            (false, false) => "\n",
        };
        console.text(&format!("{lead}{body}"))?;
        first = false;
        thread::sleep(session.tick);
    }
}

/// From the daemon; with the daemon down from the store, and says so.
pub(super) fn fetch(
    config: &Config,
    session: &Session,
    console: &mut Console<'_>,
) -> Result<StatusDocument, Failure> {
    let (document, note) = fetch_quietly(config, session)?;
    if let Some(note) = note {
        console.note(&note);
    }
    Ok(document)
}

fn fetch_quietly(
    config: &Config,
    session: &Session,
) -> Result<(StatusDocument, Option<String>), Failure> {
    let asked = client::try_ask(&config.control.socket, &Request::Status);
    let (response, note) = or_stored(asked, || {
        let mut document = stored::status(config, (session.now)())?;
        document.agent.running = false;
        Ok(Response::Status { document: Box::new(document) })
    })?;
    match response {
        Response::Status { document } => Ok((*document, note)),
        _ => Err(client::unexpected()),
    }
}

/// The daemon's answer; when it does not run the store's, with a note that says so.
pub(super) fn or_stored(
    asked: Result<Response, AskError>,
    stored: impl FnOnce() -> Result<Response, Failure>,
) -> Result<(Response, Option<String>), Failure> {
    match asked {
        Ok(response) => Ok((client::accepted(response)?, None)),
        Err(error @ AskError::NotRunning { .. }) => {
            Ok((stored()?, Some(format!("{error}; this is what the store knew last"))))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether every app is good and healthy, or stopped where somebody stopped it on purpose.
pub(super) fn all_well(document: &StatusDocument) -> bool {
    let is_well = |app: &AppStatus| app.health.is_well() && app.stuck.is_empty();
    document.apps.iter().all(|app| app.phase == PhaseName::Good && is_well(app))
}

fn text(document: &StatusDocument, now: Timestamp, palette: Palette) -> String {
    let mut head = Table::without_headings();
    let mut line = |name: &str, value: Cell| head.row(vec![tinted(Tint::Bold, name), value]);
    line("cluster", cell(&document.cluster));
    line("agent", agent(document));
    line("source", source(&document.source));
    line("revision", revision(&document.source, now));
    line("link", link(&document.link, now));
    line("reports", reports(document, now));
    line(
        "store",
        cell(format!(
            "{} of {}",
            human::size(document.store.bytes),
            human::size(document.store.max_bytes)
        )),
    );
    let mut text = head.print(palette);
    text.push('\n');
    if document.apps.is_empty() {
        text.push_str("No apps yet.\n");
    } else {
        text.push_str(&apps(&document.apps, now).print(palette));
    }
    if !document.why.is_empty() {
        let count = document.why.len() as u64;
        let verb = if count == 1 { "blocks" } else { "block" };
        let line = format!("{} {verb}; see `leeward why`.", human::plural(count, "thing"));
        text.push('\n');
        text.push_str(&palette.paint(Tint::Warning, &line));
        text.push('\n');
    }
    text
}

fn agent(document: &StatusDocument) -> Cell {
    let agent = &document.agent;
    if agent.running {
        let up = human::span(std::time::Duration::from_secs(agent.uptime_seconds));
        cell(format!("{}, running for {up}, start {}", agent.version, agent.boot))
    } else {
        tinted(Tint::Warning, format!("{}, not running", agent.version))
    }
}

fn source(source: &SourceStatus) -> Cell {
    let path = if source.path.is_empty() { "/" } else { &source.path };
    let reference = ["refs/heads/", "refs/tags/"]
        .iter()
        .find_map(|prefix| source.reference.strip_prefix(prefix))
        .unwrap_or(&source.reference);
    cell(format!("{} {reference} {path}", source.url))
}

fn revision(source: &SourceStatus, now: Timestamp) -> Cell {
    match (&source.commit, source.fetched_at) {
        (Some(commit), Some(at)) => cell(format!(
            "{}, fetched {}",
            human::short(&commit.to_string()),
            human::relative(at, now)
        )),
        (Some(commit), None) => cell(human::short(&commit.to_string())),
        (None, _) => tinted(Tint::Warning, "nothing fetched yet"),
    }
}

fn link(link: &LinkStatus, now: Timestamp) -> Cell {
    let since = human::since(link.since, now);
    let next = link
        .next_try
        .map_or_else(String::new, |next| format!("; next try {}", human::relative(next, now)));
    match link.state {
        LinkState::Up => tinted(Tint::Good, format!("up for {since}")),
        LinkState::Unknown => cell(format!("not tried yet{next}")),
        LinkState::Down => {
            let step = link.failed_step.map(|step| format!(" at {}", word(&step)));
            let evidence = &link.evidence;
            tinted(
                Tint::Bad,
                format!("down for {since}{}: {evidence}{next}", step.unwrap_or_default()),
            )
        }
    }
}

fn reports(document: &StatusDocument, now: Timestamp) -> Cell {
    let outbox = &document.outbox;
    let mut text = format!("{} pending", outbox.pending);
    for (count, what) in [
        (outbox.folded, "folded"),
        (outbox.dropped, "dropped for want of room"),
        (outbox.refused, "refused by the receiver"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    if let Some(at) = outbox.last_acknowledged {
        let _ = write!(text, ", last acknowledged {}", human::relative(at, now));
    }
    let tint = if outbox.dropped + outbox.refused > 0 { Tint::Warning } else { Tint::Plain };
    tinted(tint, text)
}

fn apps(apps: &[AppStatus], now: Timestamp) -> Table {
    let mut table =
        Table::new(&["APP", "PHASE", "HEALTH", "GOOD", "SINCE", "OBJECTS", "DRIFT", "MESSAGE"]);
    for app in apps {
        let (good, since) = app.good.as_ref().map_or_else(Default::default, |good| {
            (human::short(&good.commit.to_string()), human::relative(good.since, now))
        });
        table.row(vec![
            tinted(Tint::Bold, &app.name),
            tinted(phase_tint(app.phase), word(&app.phase)),
            tinted(health_tint(app.health), word(&app.health)),
            cell(good),
            cell(since),
            cell(app.objects.to_string()),
            drift(app),
            cell(message(app, now)),
        ]);
    }
    table
}

fn drift(app: &AppStatus) -> Cell {
    match (app.drift.open, app.drift.healed) {
        (0, 0) => cell("none"),
        (0, healed) => cell(format!("{healed} healed")),
        (open, 0) => tinted(Tint::Warning, format!("{open} open")),
        (open, healed) => tinted(Tint::Warning, format!("{open} open, {healed} healed")),
    }
}

/// What a person should know of an app before anything else.
fn message(app: &AppStatus, now: Timestamp) -> String {
    let mut parts = Vec::new();
    if let Some(held) = &app.held {
        let until = held
            .until
            .map_or_else(String::new, |until| format!(", ends {}", human::relative(until, now)));
        parts.push(format!("held for {}: {}{until}", spaced(&held.reason), held.detail));
    }
    if let Some(pinned) = &app.pinned {
        parts.push(rolled_back(pinned, now));
    }
    if let Some(candidate) = &app.candidate {
        parts.push(format!("trying {}", human::short(&candidate.commit.to_string())));
    } else if let Some(bad) = newer_bad(app) {
        parts.push(format!("{bad} was bad and will not be tried again"));
    }
    if !app.message.is_empty() && !parts.iter().any(|part| part.contains(&app.message)) {
        parts.push(app.message.clone());
    }
    parts.join("; ")
}

/// `rolled back by hand to 01234567, ends in 2 h`
fn rolled_back(pinned: &PinnedStatus, now: Timestamp) -> String {
    let end = match pinned.until {
        Some(until) => format!(", ends {}", human::relative(until, now)),
        None => " until released".to_owned(),
    };
    format!("rolled back by hand to {}{end}", human::short(&pinned.commit.to_string()))
}

/// The commit of the newest bad revision, when it came after the good one.
pub(super) fn newer_bad(app: &AppStatus) -> Option<String> {
    let bad = app.bad.iter().max_by_key(|bad| bad.at)?;
    let newer = app.good.as_ref().is_none_or(|good| bad.at > good.since);
    newer.then(|| human::short(&bad.commit.to_string()))
}

fn phase_tint(phase: PhaseName) -> Tint {
    match phase {
        PhaseName::Good => Tint::Good,
        PhaseName::Failed | PhaseName::RollingBack => Tint::Bad,
        PhaseName::Held | PhaseName::Paused => Tint::Warning,
        PhaseName::Waiting | PhaseName::Preflight | PhaseName::Applying | PhaseName::Probation => {
            Tint::Plain
        }
    }
}

fn health_tint(health: HealthName) -> Tint {
    match health {
        HealthName::Healthy => Tint::Good,
        HealthName::Degraded => Tint::Bad,
        HealthName::Progressing | HealthName::Suspended => Tint::Warning,
        HealthName::Unknown => Tint::Faint,
    }
}

/// The word that the JSON document has for a value, with spaces.
pub(super) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => spaced(&word),
        _ => String::new(),
    }
}

/// `prune_guard` as `prune guard`.
pub(super) fn spaced(word: &str) -> String {
    word.replace('_', " ")
}
