//! `leeward diff`: how the cluster differs from the revision that it should be at.

use std::fmt::Write as _;

use leeward_core::model::FieldChange;

use super::{
    Session,
    arguments::OptionalApp,
    client,
    console::{Console, Palette, Tint},
    exit::{Exit, Failure},
    human,
};
use crate::control::{ObjectDiff, Request, Response};

/// What stands where a secret would.
const MASK: &str = "\"***\"";

pub(super) fn run(
    chosen: OptionalApp,
    session: &Session,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let config = session.config()?;
    let response = client::ask(&config, &Request::Diff { app: chosen.app })?;
    let Response::Diff { objects } = response else { return Err(client::unexpected()) };
    let objects: Vec<_> = objects.into_iter().map(masked).collect();
    console.answer(&objects, |palette| text(&objects, palette))?;
    Ok(if objects.is_empty() { Exit::Done } else { Exit::Different })
}

/// The daemon masks secrets where it reads them; this is the second lock on
/// the door, since what is printed ends up in logs and tickets.
fn masked(mut object: ObjectDiff) -> ObjectDiff {
    if object.object.split([' ', '.']).next() == Some("Secret") {
        let secret = |path: &str| {
            path.is_empty()
                || ["/data", "/stringData"].iter().any(|field| {
                    path.strip_prefix(field)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                })
        };
        for field in object.fields.iter_mut().filter(|field| secret(&field.path)) {
            for value in [&mut field.old, &mut field.new].into_iter().flatten() {
                MASK.clone_into(value);
            }
        }
    }
    object
}

fn text(objects: &[ObjectDiff], palette: Palette) -> String {
    if objects.is_empty() {
        return "No differences.\n".to_owned();
    }
    let mut text = String::new();
    for object in objects {
        let name = human::one_line(&object.object);
        let about = match (object.missing, object.surplus) {
            (true, _) => " is missing in the cluster",
            (_, true) => " is not in Git and would be pruned",
            _ => "",
        };
        let (name, app) = (palette.paint(Tint::Bold, &name), human::one_line(&object.app));
        let _ = writeln!(text, "{name}{about} (app {app})");
        for field in &object.fields {
            text.push_str(&change(field, palette));
        }
    }
    text
}

/// What Git declares, then what the cluster has, and who did that.
fn change(field: &FieldChange, palette: Palette) -> String {
    let path = if field.path.is_empty() { "/" } else { &field.path };
    let mut text = format!("  {}\n", human::one_line(path));
    if let Some(old) = &field.old {
        let line = format!("  - Git:     {}", human::one_line(old));
        text.push_str(&palette.paint(Tint::Bad, &line));
        text.push('\n');
    }
    let manager = field
        .manager
        .as_ref()
        .map_or_else(String::new, |manager| format!("  (by {})", human::one_line(manager)));
    let value = field.new.as_ref().map_or_else(|| "absent".to_owned(), |new| human::one_line(new));
    let line = format!("  + cluster: {value}{manager}");
    text.push_str(&palette.paint(Tint::Good, &line));
    text.push('\n');
    text
}
