//! The process around [`leeward::cli`]: hands over what it was given, and
//! returns the exit code.

use std::{io::IsTerminal as _, process::ExitCode};

use leeward::cli::{Surroundings, is_journal, main_with};

fn main() -> ExitCode {
    // Fails only when there is one already, which is as good.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let (mut stdout, mut stderr) = (std::io::stdout(), std::io::stderr());
    let (stdout_is_terminal, stderr_is_terminal) = (stdout.is_terminal(), stderr.is_terminal());
    let environment: std::collections::BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let journal = is_journal(environment.get("JOURNAL_STREAM").map(String::as_str));
    #[expect(
        clippy::disallowed_methods,
        reason = "without a daemon there is no clock of its; people read these times"
    )]
    let now = jiff::Timestamp::now;
    ExitCode::from(main_with(Surroundings {
        environment,
        stdout_is_terminal,
        stderr_is_terminal,
        journal,
        ..Surroundings::new(std::env::args_os().collect(), &mut stdout, &mut stderr, now)
    }))
}
