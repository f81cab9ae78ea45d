//! `leeward version`.

use serde_json::json;

use super::{
    console::Console,
    exit::{Exit, Failure},
};

pub(super) fn run(console: &mut Console<'_>) -> Result<Exit, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    console.answer(&json!({ "name": "leeward", "version": version, "target": target }), |_| {
        format!("leeward {version} ({target})\n")
    })?;
    Ok(Exit::Done)
}
