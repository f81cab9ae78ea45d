//! `leeward man`: the manual pages, from the same description as the help.

use std::{fs, io};

use camino::Utf8Path;
use serde_json::json;

use super::{
    arguments::{self, ManFlags},
    console::Console,
    exit::{Exit, Failure},
};

pub(super) fn run(flags: &ManFlags, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let pages = pages()?;
    if let Some(folder) = &flags.dir {
        let files = write(folder, &pages)?;
        console.answer(&json!({ "files": files }), |_| files.join("\n") + "\n")?;
    } else if let Some((name, page)) = pages.into_iter().next() {
        console.answer(&json!({ "name": name, "page": page }), |_| page.clone())?;
    }
    Ok(Exit::Done)
}

/// `leeward.1` first, then one for each verb.
fn pages() -> Result<Vec<(String, String)>, Failure> {
    // Builds the names of the verbs' pages: `leeward-status`.
    let mut command = arguments::command().disable_help_subcommand(true);
    command.build();
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned();
    std::iter::once(command.clone()).chain(verbs).map(page).collect()
}

fn page(command: clap::Command) -> Result<(String, String), Failure> {
    let man = clap_mangen::Man::new(command)
        .manual("Leeward")
        .source(concat!("leeward ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render(&mut page)?;
    Ok((man.get_filename(), String::from_utf8_lossy(&page).into_owned()))
}

fn write(folder: &Utf8Path, pages: &[(String, String)]) -> Result<Vec<String>, Failure> {
    let cannot = |path: &Utf8Path, error: &io::Error| {
        let exit = match error.kind() {
            io::ErrorKind::PermissionDenied => Exit::NoPermission,
            _ => Exit::CannotCreate,
        };
        Failure::new(exit, format!("cannot create {path}: {error}"))
    };
    fs::create_dir_all(folder).map_err(|error| cannot(folder, &error))?;
    let mut files = Vec::new();
    for (name, page) in pages {
        let path = folder.join(name);
        fs::write(&path, page).map_err(|error| cannot(&path, &error))?;
        files.push(path.into_string());
    }
    Ok(files)
}
