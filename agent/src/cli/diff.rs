//! `leeward diff`: how the cluster differs from the revision that it should be
//! at, which the daemon answers; or how two revisions differ, which needs none.

use std::fmt::Write as _;

use leeward_core::model::FieldChange;
use leeward_wire::control::{Difference, ObjectDiff, Request, Response};

use super::{
    Session,
    arguments::DiffFlags,
    client,
    console::{Console, Palette, Tint},
    exit::{Exit, Failure},
    human,
    revisions::{self, Range},
};

const CLUSTER: Sides<'_> = Sides {
    old: "Git",
    new: "cluster",
    missing: "is missing in the cluster",
    surplus: "is not in Git and would be pruned",
};

/// What people call the two that are compared, and an object that only one of them has.
pub(super) struct Sides<'s> {
    pub(super) old: &'s str,
    pub(super) new: &'s str,
    pub(super) missing: &'s str,
    pub(super) surplus: &'s str,
}

pub(super) fn run(
    flags: &DiffFlags,
    session: &Session,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    match asked(flags)? {
        Asked::Cluster(app) => cluster(app, session, console),
        Asked::Revisions(range) => revisions::run(&range, flags, session, console),
    }
}

enum Asked<'f> {
    Cluster(Option<String>),
    Revisions(Range<'f>),
}

/// Tells the two forms apart. The name of an app is a DNS label, so that what
/// has a dot, a tilde or a capital in it can only be meant as a revision.
fn asked(flags: &DiffFlags) -> Result<Asked<'_>, Failure> {
    let words: Vec<&str> = flags.compared.iter().map(String::as_str).collect();
    let rendering = &flags.rendering;
    let is_about_folders = flags.path.is_some() || flags.repository.is_some();
    let is_about_rendering = !rendering.sops_age_key.is_empty()
        || rendering.reorder.is_some()
        || rendering.load_restrictor.is_some();
    let usage = |message: String, hint: &str| Failure::new(Exit::Usage, message).with_hint(hint);
    let range = match words.as_slice() {
        [old, new] if ![old, new].iter().any(|word| word.contains("..")) => {
            Range { old, new: Some(new), from_merge_base: false }
        }
        [_, _] => {
            let message = format!("`{}` names more than two revisions", words.join(" "));
            return Err(usage(message, "either `A..B` or `A B`"));
        }
        [word] if word.contains("..") => Range::parse(word),
        [word] if is_about_folders => Range { old: word, new: None, from_merge_base: false },
        [] if is_about_folders => {
            let message = "no revision is named".to_owned();
            return Err(usage(
                message,
                "`leeward diff HEAD --path FOLDER` compares the last commit with the working tree",
            ));
        }
        _ if is_about_rendering => {
            let message = "the cluster is compared with what the daemon renders".to_owned();
            return Err(usage(
                message,
                "these options are for revisions: `leeward diff HEAD~1 HEAD --path FOLDER`",
            ));
        }
        [word] if !may_be_app(word) => {
            let message = format!("`{word}` is not the name of an app");
            let hint = "if it is a revision, name the folder too: `leeward diff HEAD --path .` compares it with the working tree";
            return Err(usage(message, hint));
        }
        [] => return Ok(Asked::Cluster(None)),
        [app, ..] => return Ok(Asked::Cluster(Some((*app).to_owned()))),
    };
    Ok(Asked::Revisions(range))
}

fn may_be_app(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn cluster(
    app: Option<String>,
    session: &Session,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let config = session.config()?;
    let response = client::ask(&config, &Request::Diff { app })?;
    let Response::Diff { objects } = response else { return Err(client::unexpected()) };
    answer(&objects, &CLUSTER, console, |_| String::new())
}

/// Prints what differs, and `summary` below it.
pub(super) fn answer(
    objects: &[ObjectDiff],
    sides: &Sides<'_>,
    console: &mut Console<'_>,
    summary: impl FnOnce(&[ObjectDiff]) -> String,
) -> Result<Exit, Failure> {
    console.answer(&objects, |palette| text(objects, sides, palette) + &summary(objects))?;
    Ok(if objects.is_empty() { Exit::Done } else { Exit::Different })
}

fn text(objects: &[ObjectDiff], sides: &Sides<'_>, palette: Palette) -> String {
    if objects.is_empty() {
        return "No differences.\n".to_owned();
    }
    let mut text = String::new();
    for object in objects {
        let name = human::one_line(&object.object);
        let (about, fields) = match &object.difference {
            Difference::Missing => (format!(" {}", sides.missing), &[][..]),
            Difference::Surplus => (format!(" {}", sides.surplus), &[][..]),
            Difference::Fields(fields) => (String::new(), fields.as_slice()),
        };
        let (name, app) = (palette.paint(Tint::Bold, &name), human::one_line(&object.app));
        let _ = writeln!(text, "{name}{about} (app {app})");
        for field in fields {
            text.push_str(&change(field, sides, palette));
        }
    }
    text
}

/// The value on both sides, and who is known to have changed it.
fn change(field: &FieldChange, sides: &Sides<'_>, palette: Palette) -> String {
    let path = if field.path.is_empty() { "/" } else { &field.path };
    let (old_side, new_side) = (human::one_line(sides.old) + ":", human::one_line(sides.new) + ":");
    let width = old_side.chars().count().max(new_side.chars().count());
    let mut text = format!("  {}\n", human::one_line(path));
    if let Some(old) = &field.old {
        let line = format!("  - {old_side:width$} {}", human::one_line(old));
        text.push_str(&palette.paint(Tint::Bad, &line));
        text.push('\n');
    }
    let manager = field
        .manager
        .as_ref()
        .map_or_else(String::new, |manager| format!("  (by {})", human::one_line(manager)));
    let value = field.new.as_ref().map_or_else(|| "absent".to_owned(), |new| human::one_line(new));
    let line = format!("  + {new_side:width$} {value}{manager}");
    text.push_str(&palette.paint(Tint::Good, &line));
    text.push('\n');
    text
}
