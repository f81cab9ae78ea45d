//! `leeward why`: what blocks, the evidence, what to do, when the next try is.

use std::fmt::Write as _;

use jiff::Timestamp;
use leeward_core::model::Blocker;

use super::{
    Session,
    console::{Console, Palette, Tint},
    exit::{Exit, Failure},
    human, status,
};

pub(super) fn run(session: &Session, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let config = session.config()?;
    let document = status::fetch(&config, session, console)?;
    console.answer(&document.why, |palette| text(&document.why, (session.now)(), palette))?;
    Ok(Exit::Done)
}

/// Three lines for each blocker: what and why, what to do, when the next try is.
fn text(blockers: &[Blocker], now: Timestamp, palette: Palette) -> String {
    if blockers.is_empty() {
        return "Nothing blocks.\n".to_owned();
    }
    let mut text = String::new();
    for blocker in blockers {
        let app = blocker.app.as_ref().map_or_else(String::new, |app| format!("{app}: "));
        let what = human::one_line(&format!("{app}{}", status::spaced(&blocker.blocker)));
        let evidence = human::one_line(&blocker.evidence);
        let hint = human::one_line(&blocker.hint);
        let next = match blocker.next_try {
            Some(at) if at <= now => "now".to_owned(),
            Some(at) => human::relative(at, now),
            None => "not before something changes".to_owned(),
        };
        let hint = if hint.is_empty() { "nothing" } else { &hint };
        let _ = write!(
            text,
            "{}: {evidence}\n  do: {hint}\n  next try: {next}\n",
            palette.paint(Tint::Bad, &what)
        );
    }
    text
}
