//! The only place that prints: one file a verb.
//!
//! [`main_with`] is the whole program but for the process around it: what it
//! is given (arguments, environment, clock, terminal) is all it knows, what it
//! writes goes to the two writers, and it returns the exit code. Verbs decide
//! what to say in pure functions over documents; only they do I/O.

mod approve;
mod arguments;
mod check;
mod client;
mod completions;
mod console;
mod declared;
mod diff;
mod exit;
mod folder;
mod git;
mod history;
mod human;
mod logging;
mod machine;
mod man;
mod pause;
mod probes;
pub mod reference;
mod render;
mod resume;
mod retry;
mod revision;
mod revisions;
mod rollback;
mod run;
mod status;
mod stored;
mod surroundings;
mod sync;
mod table;
mod takeover;
mod version;
mod why;

#[cfg(test)]
mod tests;

pub use arguments::command;
pub use exit::Exit;
pub use surroundings::{Surroundings, is_journal};

use arguments::Verb;
use console::Console;
use exit::Failure;

/// Runs the program and returns its exit code (docs/reference/cli.md).
pub fn main_with(mut surroundings: Surroundings<'_>) -> u8 {
    let terminal = surroundings.stdout_is_terminal;
    let arguments = match arguments::parse(&surroundings.arguments, terminal) {
        Ok(arguments) => arguments,
        Err(error) => return console::usage(&error, &mut surroundings) as u8,
    };
    let session = Session {
        invocation: surroundings.invocation(&arguments.common),
        environment: surroundings.environment.clone(),
        now: surroundings.now,
        tick: surroundings.tick,
    };
    let mut console = Console::new(surroundings, &arguments.common);
    let exit = match dispatch(arguments.verb, &session, &mut console) {
        Ok(exit) => exit,
        Err(failure) => console.failure(&failure),
    };
    exit as u8
}

/// What a verb may know of the outside.
pub(crate) struct Session {
    invocation: crate::config::Invocation,
    environment: std::collections::BTreeMap<String, String>,
    now: fn() -> jiff::Timestamp,
    /// Between two looks at the daemon.
    tick: std::time::Duration,
}

impl Session {
    fn config(&self) -> Result<crate::config::Config, Failure> {
        Ok(self.invocation.load()?.config)
    }
}

fn dispatch(verb: Verb, session: &Session, console: &mut Console<'_>) -> Result<Exit, Failure> {
    if !matches!(verb, Verb::Run) {
        logging::for_debugging(&session.environment);
    }
    match verb {
        Verb::Run => run::run(session),
        Verb::Status(flags) => status::run(&flags, session, console),
        Verb::Why => why::run(session, console),
        Verb::Diff(flags) => diff::run(&flags, session, console),
        Verb::History(app) => history::run(&app, session, console),
        Verb::Sync(flags) => sync::run(&flags, session, console),
        Verb::Pause(flags) => pause::run(flags, session, console),
        Verb::Resume(app) => resume::run(app, session, console),
        Verb::Approve(app) => approve::run(app, session, console),
        Verb::Takeover(flags) => takeover::run(flags, session, console),
        Verb::Retry(app) => retry::run(app, session, console),
        Verb::Rollback(flags) => rollback::run(flags, session, console),
        Verb::Render(flags) => render::run(&flags, session, console),
        Verb::Check(flags) => check::run(&flags, session, console),
        Verb::Version => version::run(console),
        Verb::Completions(flags) => completions::run(&flags, console),
        Verb::Man(flags) => man::run(&flags, console),
    }
}
