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
    console.answer(&revisions, |palette| text(&revisions, (session.now)(), palette))?;
    Ok(Exit::Done)
}

fn text(revisions: &[RevisionRecord], now: Timestamp, palette: Palette) -> String {
    if revisions.is_empty() {
        return "No revisions yet.\n".to_owned();
    }
    let mut table = Table::new(&["WHEN", "APP", "COMMIT", "VERDICT", "REASON"]);
    for revision in revisions {
        let tint = match revision.verdict {
            RevisionVerdict::Good => Tint::Good,
            RevisionVerdict::Bad => Tint::Bad,
            RevisionVerdict::Held => Tint::Warning,
            RevisionVerdict::RolledBack | RevisionVerdict::Superseded => Tint::Plain,
        };
        table.row(vec![
            cell(human::relative(revision.at, now)),
            tinted(Tint::Bold, &revision.app),
            cell(human::short(&revision.commit.to_string())),
            tinted(tint, revision.verdict.name()),
            cell(&revision.reason),
        ]);
    }
    table.print(palette)
}
