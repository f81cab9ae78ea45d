//! `leeward history`: the revisions that were tried, newest first.

use jiff::Timestamp;
use leeward_core::cycle::{RevisionRecord, RevisionVerdict};
use leeward_wire::control::{Request, Response};

use super::{
    Session,
    arguments::OptionalApp,
    client,
    console::{Console, Palette, Tint},
    exit::{Exit, Failure},
    human, status, stored,
    table::{Table, cell, tinted},
};

/// Characters of an author's name, so that a line fits into 80 columns; a longer name is cut.
const AUTHOR: usize = 20;

pub(super) fn run(
    chosen: &OptionalApp,
    session: &Session,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let config = session.config()?;
    let request = Request::History { app: chosen.app.clone() };
    let asked = client::try_ask(&config.control.socket, &request);
    let (response, note) = status::or_stored(asked, || {
        let revisions = stored::history(&config, chosen.app.as_deref())?;
        Ok(Response::History { revisions })
    })?;
    if let Some(note) = note {
        console.note(&note);
    }
    let Response::History { revisions } = response else { return Err(client::unexpected()) };
    console.answer(&revisions, |palette| text(&revisions, chosen.app.is_none(), palette))?;
    Ok(Exit::Done)
}

/// One line a revision, and lines below it for what has no bounds: the subject of
/// the commit and the reason of the verdict. The app has a column where there may be several.
fn text(revisions: &[RevisionRecord], with_apps: bool, palette: Palette) -> String {
    if revisions.is_empty() {
        return "No revisions yet.\n".to_owned();
    }
    let mut headings = vec!["WHEN (UTC)"];
    headings.extend(with_apps.then_some("APP"));
    headings.extend(["COMMIT", "VERDICT", "BYTES", "AUTHOR"]);
    let mut table = Table::new(&headings);
    for revision in revisions {
        let mut cells = vec![cell(clock(revision.at))];
        cells.extend(with_apps.then(|| tinted(Tint::Bold, &revision.app)));
        cells.extend([
            cell(human::short(&revision.commit.to_string())),
            tinted(tint(revision.verdict), revision.verdict.name()),
            cell(revision.bytes.map(human::size).unwrap_or_default()),
            cell(cut(revision.author.as_deref().unwrap_or_default(), AUTHOR)),
        ]);
        table.row(cells);
        if let Some(subject) = revision.subject.as_deref().filter(|subject| !subject.is_empty()) {
            table.note(subject);
        }
        if !revision.reason.is_empty() {
            table.note(&format!("reason: {}", revision.reason));
        }
    }
    table.print(palette)
}

/// `2026-03-01 12:00`: of one length, and the same on every machine.
fn clock(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Returns a text of at most `width` characters.
fn cut(text: &str, width: usize) -> String {
    let text = human::one_line(text);
    if text.chars().count() <= width {
        return text;
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

fn tint(verdict: RevisionVerdict) -> Tint {
    match verdict {
        RevisionVerdict::Good => Tint::Good,
        RevisionVerdict::Bad => Tint::Bad,
        RevisionVerdict::Held => Tint::Warning,
        RevisionVerdict::RolledBack | RevisionVerdict::Superseded => Tint::Plain,
    }
}
