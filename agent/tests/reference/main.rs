//! The generated reference pages are those of this code.

#![expect(clippy::unwrap_used, reason = "helpers of tests stop where they fail")]

mod control;
mod reports;

use std::{fs, path::PathBuf};

fn is_fresh(name: &str, page: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/reference").join(name);
    if std::env::var_os("LEEWARD_BLESS").is_some() {
        fs::create_dir_all(path.parent().expect("a page lives in a folder"))
            .expect("the sources can be written");
        fs::write(&path, page).expect("the folder is there");
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == page,
        "docs/reference/{name} is stale; `LEEWARD_BLESS=1 cargo test -p leeward reference` rewrites it"
    );
}

#[test]
fn reference_of_the_configuration_is_fresh() {
    is_fresh("configuration.md", &leeward::config::reference::page());
}

#[test]
fn reference_schema_of_the_configuration_is_fresh() {
    let schema = serde_json::to_string_pretty(&leeward::config::reference::schema()).unwrap();
    is_fresh("agent.schema.json", &format!("{schema}\n"));
}

#[test]
fn reference_of_the_commands_is_fresh() {
    is_fresh("cli.md", &leeward::cli::reference::page());
}

#[test]
fn reference_of_the_reports_is_fresh() {
    is_fresh("reports.md", &reports::page());
}

#[test]
fn reference_of_the_control_socket_is_fresh() {
    is_fresh("control.md", &control::page());
}
