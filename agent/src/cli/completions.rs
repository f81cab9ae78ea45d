//! `leeward completions`: what a shell needs to complete our command line.

use serde_json::json;

use super::{
    arguments::{self, CompletionsFlags},
    console::Console,
    exit::{Exit, Failure},
};

pub(super) fn run(flags: &CompletionsFlags, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(flags.shell, &mut arguments::command(), "leeward", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    console.answer(&json!({ "shell": flags.shell.to_string(), "script": script }), |_| {
        script.clone()
    })?;
    Ok(Exit::Done)
}
