//! The reference page of the commands, printed from their description.

use std::fmt::Write as _;

use clap::{Arg, Command};

use super::{arguments, exit::Exit};

const INTRODUCTION: &str = "\
# The commands

<!-- Generated from `agent/src/cli/arguments.rs`; `LEEWARD_BLESS=1 cargo test -p leeward reference` rewrites it. -->

stdout is data, stderr is talk: with `--output json` stdout holds one JSON document and nothing else.
Errors are `error: …` and `hint: …` on stderr. `status`, `why` and `history` also answer with the
daemon down, from the store, and say so.
";

/// `docs/reference/cli.md`.
pub fn page() -> String {
    let mut command = arguments::command().disable_help_subcommand(true);
    command.build();
    let mut page = String::from(INTRODUCTION);
    page.push_str("\n## Options of every command\n\n");
    options(&mut page, command.get_arguments().filter(|option| option.is_global_set()));
    for verb in command.get_subcommands() {
        page.push_str(&section(verb));
    }
    page.push_str("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for (exit, meaning) in Exit::ALL {
        let _ = writeln!(page, "| {} | {meaning} |", exit as u8);
    }
    page
}

fn section(verb: &Command) -> String {
    let own: Vec<&Arg> = verb
        .get_arguments()
        .filter(|argument| !argument.is_global_set() && argument.get_id() != "help")
        .collect();
    let mut usage = format!("leeward {}", verb.get_name());
    for argument in &own {
        let shown = shown(argument);
        let _ = if argument.is_required_set() {
            write!(usage, " {shown}")
        } else {
            write!(usage, " [{shown}]")
        };
    }
    let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
    let mut section = format!("\n## `{usage}`\n\n{about}.\n");
    if !own.is_empty() {
        section.push('\n');
        options(&mut section, own.into_iter());
    }
    section
}

fn options<'a>(page: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    page.push_str("| option | meaning |\n|---|---|\n");
    for argument in arguments {
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let choices: Vec<_> = argument
            .get_possible_values()
            .iter()
            .filter(|_| argument.get_action().takes_values())
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        let choices =
            if choices.is_empty() { String::new() } else { format!(": {}", choices.join(", ")) };
        let default: Vec<_> = argument
            .get_default_values()
            .iter()
            .filter(|_| argument.get_action().takes_values())
            .map(|value| value.to_string_lossy().into_owned())
            .collect();
        let default = if default.is_empty() {
            String::new()
        } else {
            format!(" [default: `{}`]", default.join(" "))
        };
        let _ = writeln!(page, "| `{}` | {help}{choices}{default} |", shown(argument));
    }
}

/// `--for DURATION`, `APP`, `--exit-code`.
fn shown(argument: &Arg) -> String {
    let value = argument
        .get_value_names()
        .filter(|_| argument.get_action().takes_values())
        .map(|names| names.join(" "));
    match (argument.get_long(), value) {
        (Some(long), Some(value)) => format!("--{long} {value}"),
        (Some(long), None) => format!("--{long}"),
        (None, value) => value.unwrap_or_else(|| argument.get_id().to_string().to_uppercase()),
    }
}
