//! What can be said on the command line (docs/reference/cli.md).

use std::{ffi::OsString, time::Duration};

use camino::Utf8PathBuf;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use leeward_core::model::parse_duration;

/// Of help where there is no terminal, and at most where there is one. In characters.
const WIDTH: usize = 100;
/// The reason is shown on one line of `status`. In characters.
const MAX_REASON: usize = 200;

/// GitOps agent for one Kubernetes cluster at the far end of a bad link.
#[derive(Debug, Parser)]
#[command(name = "leeward", version, propagate_version = false, subcommand_required = true, arg_required_else_help = true, after_help = AFTER_HELP, max_term_width = WIDTH)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

const AFTER_HELP: &str = "\
Exit codes:
  0 done                 1 differences, a failed step, or not all apps good and healthy
  64 wrong usage         65 bad input file    66 no such file
  69 daemon, API server or remote not there   73 cannot create    74 I/O error
  75 try again later     77 no permission     78 bad configuration";

#[derive(Clone, Debug, Args)]
pub(super) struct Common {
    /// Configuration file [default: $LEEWARD_CONFIG, else /etc/leeward/agent.toml]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub(super) config: Option<Utf8PathBuf>,
    /// Sets a key of the configuration, `source.url=…`, or for `render` and for `diff` between
    /// revisions a variable, `name=…`; can be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_value, help_heading = "Global options")]
    pub(super) set: Vec<String>,
    /// How to answer: text for people, or one JSON document
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        default_value = "text",
        value_name = "FORMAT",
        help_heading = "Global options"
    )]
    pub(super) output: Format,
    /// No colour, not even on a terminal; $NO_COLOR does the same
    #[arg(long, global = true, help_heading = "Global options")]
    pub(super) no_color: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Runs the daemon
    Run,
    /// Shows what the cluster runs, and how far it follows Git
    Status(StatusFlags),
    /// Names what blocks, the evidence, what to do, and when the next try is
    Why,
    /// Shows how the cluster differs from Git, or two revisions do; exit code 1 when they do
    Diff(DiffFlags),
    /// Lists the revisions that were tried, newest first
    History(OptionalApp),
    /// Polls the repository now and tries again whatever waits
    Sync(SyncFlags),
    /// Leaves the cluster alone for a while
    Pause(PauseFlags),
    /// Ends a pause
    Resume(OptionalApp),
    /// Lets a plan that is held for approval go ahead, once
    Approve(Approval),
    /// Makes fields that another tool applied Git's alone, so that what Git lacks goes
    Takeover(TakeoverFlags),
    /// Tries the newest revision of an app again, though it was bad, or waits
    Retry(RequiredApp),
    /// Takes an app back to an earlier good revision, and keeps it there; needs no link
    Rollback(RollbackFlags),
    /// Prints the manifests of a folder; needs no configuration, daemon or cluster
    Render(RenderFlags),
    /// Tries each step from the configuration to the permissions in the cluster
    Check(CheckFlags),
    /// Prints the version
    Version,
    /// Prints a completion script for a shell
    Completions(CompletionsFlags),
    /// Prints the manual page, or writes one for each verb
    Man(ManFlags),
}

#[derive(Clone, Debug, Args)]
pub(super) struct OptionalApp {
    /// The app [default: all]
    pub(super) app: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct RequiredApp {
    /// The app
    pub(super) app: String,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Approval {
    /// The app
    pub(super) app: String,
    /// Also where data is lost for good: volumes, namespaces, custom resource definitions
    #[arg(long)]
    pub(super) yes: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct TakeoverFlags {
    /// The app [default: all]
    pub(super) app: Option<String>,
    /// The field manager, as `kubectl get --show-managed-fields` has it
    #[arg(long, value_name = "MANAGER")]
    pub(super) from: String,
}

#[derive(Clone, Debug, Args)]
pub(super) struct StatusFlags {
    /// Exit code 1 unless every app is good and healthy
    #[arg(long)]
    pub(super) exit_code: bool,
    /// Shows it again and again until interrupted
    #[arg(long, conflicts_with = "exit_code")]
    pub(super) watch: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct SyncFlags {
    /// Waits until every app has settled; exit code 1 unless all are good and healthy
    #[arg(long)]
    pub(super) wait: bool,
    /// How long to wait; exit code 75 when it is over
    #[arg(long, requires = "wait", value_name = "DURATION", default_value = "15m", value_parser = parse_duration)]
    pub(super) timeout: Duration,
}

#[derive(Clone, Debug, Args)]
pub(super) struct PauseFlags {
    /// The app [default: all]
    pub(super) app: Option<String>,
    /// How long, such as `2h`
    #[arg(long = "for", value_name = "DURATION", value_parser = pause_length)]
    pub(super) length: Duration,
    /// Why; shown in `status`
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(super) reason: String,
}

#[derive(Clone, Debug, Args)]
pub(super) struct RollbackFlags {
    /// The app
    pub(super) app: String,
    /// The beginning of the commit of a good revision, as in `history` [default: the one before
    /// the present one]
    #[arg(value_parser = commit)]
    pub(super) revision: Option<String>,
    /// How long, such as `2h` [default: until `--release`]; in any case until a commit that changes
    /// the app
    #[arg(long = "for", value_name = "DURATION", value_parser = pause_length)]
    pub(super) length: Option<Duration>,
    /// Ends a rollback: the app follows Git again
    #[arg(long, conflicts_with_all = ["revision", "length"])]
    pub(super) release: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct RenderFlags {
    /// The folder that `source.path` would name, or any with a kustomization; `--set name=value`
    /// gives its variables `${name}` a value
    pub(super) path: Utf8PathBuf,
    #[command(flatten)]
    pub(super) rendering: RenderingFlags,
}

#[derive(Clone, Debug, Args)]
pub(super) struct DiffFlags {
    /// The app whose objects in the cluster are compared with Git [default: all]. Or revisions of the
    /// repository that holds the current folder, without any cluster: `A B`, `A..B`, `A...B` for what
    /// B adds to where it left A, or `A --path FOLDER` for what the working tree adds
    #[arg(value_name = "APP or REVISIONS", num_args = 0..=2)]
    pub(super) compared: Vec<String>,
    /// The folder that is rendered at both revisions, as by `render` [default: the current one]
    #[arg(long, value_name = "FOLDER")]
    pub(super) path: Option<Utf8PathBuf>,
    /// Another folder to start from than the current one; may be a bare repository
    #[arg(long, value_name = "FOLDER")]
    pub(super) repository: Option<Utf8PathBuf>,
    #[command(flatten)]
    pub(super) rendering: RenderingFlags,
}

/// How folders are rendered.
#[derive(Clone, Debug, Args)]
pub(super) struct RenderingFlags {
    /// The order of what a kustomization builds to, unless it has `sortOptions` [default: legacy]
    #[arg(long, value_enum, value_name = "ORDER")]
    pub(super) reorder: Option<Reorder>,
    /// Which files a kustomization may read: those below its own folder, or all [default: root]
    #[arg(long, value_enum, value_name = "FILES")]
    pub(super) load_restrictor: Option<LoadRestrictor>,
    /// File of `age-keygen` with keys that open files encrypted with SOPS; can be repeated
    #[arg(long, value_name = "FILE")]
    pub(super) sops_age_key: Vec<Utf8PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Reorder {
    None,
    Legacy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LoadRestrictor {
    Root,
    None,
}

#[derive(Clone, Debug, Args)]
pub(super) struct CheckFlags {
    /// Only what can be tried without a link and an API server
    #[arg(long)]
    pub(super) offline: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct CompletionsFlags {
    /// The shell
    #[arg(value_enum)]
    pub(super) shell: clap_complete::Shell,
}

#[derive(Clone, Debug, Args)]
pub(super) struct ManFlags {
    /// Writes `leeward.1` and one page for each verb into this folder
    #[arg(long, value_name = "FOLDER")]
    pub(super) dir: Option<Utf8PathBuf>,
}

/// The description of the command line, for completions, manual pages and the reference.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Help is as wide as the terminal; without one always the same.
pub(super) fn parse(arguments: &[OsString], terminal: bool) -> Result<Arguments, clap::Error> {
    let command = if terminal { command() } else { command().term_width(WIDTH) };
    let matches = command.try_get_matches_from(arguments)?;
    let parsed = Arguments::from_arg_matches(&matches)?;
    if matches!(&parsed.verb, Verb::Status(flags) if flags.watch)
        && parsed.common.output == Format::Json
    {
        return Err(self::command().error(
            clap::error::ErrorKind::ArgumentConflict,
            "the argument '--watch' cannot be used with '--output json', which is one document",
        ));
    }
    Ok(parsed)
}

fn key_value(text: &str) -> Result<String, String> {
    if text.contains('=') {
        Ok(text.to_owned())
    } else {
        Err("expected `section.key=value`".to_owned())
    }
}

fn pause_length(text: &str) -> Result<Duration, String> {
    let length = parse_duration(text)?;
    if length < Duration::from_secs(1) { Err("at least `1s`".to_owned()) } else { Ok(length) }
}

fn commit(text: &str) -> Result<String, String> {
    let is_hex = text.chars().all(|digit| digit.is_ascii_hexdigit());
    if is_hex && (1..=40).contains(&text.len()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("expected the first digits of a commit, as `leeward history` shows them".to_owned())
    }
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.contains(char::is_control) || text.chars().count() > MAX_REASON {
        Err(format!("expected a line of 1 to {MAX_REASON} characters"))
    } else {
        Ok(text.to_owned())
    }
}
