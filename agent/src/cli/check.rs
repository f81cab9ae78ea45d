//! `leeward check`: tries each step, from the configuration to the permissions
//! in the cluster, and says what came of it and how long it took.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read as _, Write as _},
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use leeward_sops::Identity;
use serde_json::{Value, json};

use super::{
    Session,
    arguments::{CheckFlags, Format},
    console::{Console, Palette, Tint},
    exit::{Exit, Failure},
    human, probes,
};
use crate::config::Config;

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed { detail: String },
    Failed { evidence: String, hint: Option<String> },
    Skipped { why: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CheckStep {
    pub(super) name: String,
    pub(super) outcome: Outcome,
    pub(super) elapsed: Duration,
}

impl CheckStep {
    /// Takes the time of a step.
    fn try_out(name: &str, step: impl FnOnce() -> Outcome) -> Self {
        let started = Instant::now();
        let outcome = step();
        Self { name: name.to_owned(), outcome, elapsed: started.elapsed() }
    }
}

pub(super) fn run(
    flags: &CheckFlags,
    session: &Session,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let mut report = Report { steps: Vec::new(), console };
    match configuration(session, &mut report)? {
        None => report.add(skipped("everything else", "the configuration cannot be used"))?,
        Some(config) => {
            for step in files(&config).into_iter().chain(age_keys(&config)) {
                report.add(step)?;
            }
            report.add(CheckStep::try_out("store", || store(&config.store.path)))?;
            if !flags.offline {
                for step in probes::source(&config.source) {
                    report.add(step)?;
                }
                for step in probes::cluster(&config.cluster) {
                    report.add(step)?;
                }
            }
        }
    }
    report.finish()
}

fn skipped(name: &str, why: &str) -> CheckStep {
    CheckStep {
        name: name.to_owned(),
        outcome: Outcome::Skipped { why: why.to_owned() },
        elapsed: Duration::ZERO,
    }
}

/// One step for each problem, or one for a configuration without any.
fn configuration(
    session: &Session,
    report: &mut Report<'_, '_>,
) -> Result<Option<Config>, Failure> {
    let started = Instant::now();
    let step = |outcome, elapsed| CheckStep { name: "configuration".to_owned(), outcome, elapsed };
    let loaded = session.invocation.read().map_err(Failure::from).and_then(|sources| {
        let found = if sources.text.is_some() { "" } else { " (not there, not needed)" };
        let detail = format!("{}{found}", sources.path);
        let loaded = crate::config::load(&sources)
            .map_err(|error| Failure::from(crate::config::LoadConfigError::from(error)))?;
        Ok((loaded.config, detail))
    });
    match loaded {
        Ok((config, detail)) => {
            report.add(step(Outcome::Passed { detail }, started.elapsed()))?;
            Ok(Some(config))
        }
        Err(failure) => {
            for evidence in failure.messages {
                let outcome = Outcome::Failed { evidence, hint: None };
                report.add(step(outcome, started.elapsed()))?;
            }
            Ok(None)
        }
    }
}

/// Every file that the configuration names.
fn files(config: &Config) -> Vec<CheckStep> {
    let source = &config.source;
    let report = config.report.as_ref();
    let named = [
        ("cluster.kubeconfig", config.cluster.kubeconfig.as_ref()),
        ("source.password_file", source.password_file.as_ref()),
        ("source.token_file", source.token_file.as_ref()),
        ("source.ca_file", source.tls.ca.as_ref()),
        ("source.client_cert_file", source.tls.client_cert.as_ref()),
        ("source.client_key_file", source.tls.client_key.as_ref()),
        ("report.token_file", report.and_then(|report| report.token_file.as_ref())),
        ("report.ca_file", report.and_then(|report| report.tls.ca.as_ref())),
        ("report.client_cert_file", report.and_then(|report| report.tls.client_cert.as_ref())),
        ("report.client_key_file", report.and_then(|report| report.tls.client_key.as_ref())),
    ];
    named
        .into_iter()
        .filter_map(|(key, path)| path.map(|path| CheckStep::try_out(key, || file(path))))
        .collect()
}

/// Every age key, which is worth more than a look at the file.
fn age_keys(config: &Config) -> Vec<CheckStep> {
    let try_out = |path: &Utf8PathBuf| {
        CheckStep::try_out("sops.age_key_files", || {
            match crate::age_keys::read(std::slice::from_ref(path)) {
                Ok(keys) => {
                    let recipients: Vec<_> = keys.iter().map(Identity::recipient).collect();
                    let detail = format!("{path}: {}", recipients.join(", "));
                    Outcome::Passed { detail }
                }
                Err(error) => failed(error.to_string(), "files encrypted with SOPS need it"),
            }
        })
    };
    config.sops.age_key_files.iter().map(try_out).collect()
}

fn file(path: &Utf8Path) -> Outcome {
    let first = File::open(path).and_then(|file| file.take(1).read_to_end(&mut Vec::new()));
    match first {
        Ok(0) => failed(format!("{path} is empty"), "it should hold what its key says"),
        Ok(_) => Outcome::Passed { detail: path.to_string() },
        Err(error) => failed(format!("cannot read {path}: {error}"), permission_hint(&error)),
    }
}

/// The store's folder is there or can be made, and can be written to.
fn store(folder: &Utf8Path) -> Outcome {
    let existing = existing_ancestor(folder);
    if !existing.is_dir() {
        return failed(format!("{existing} is not a folder"), "choose another `store.path`");
    }
    match try_to_write(&existing) {
        Ok(()) if existing == folder => Outcome::Passed { detail: folder.to_string() },
        Ok(()) => Outcome::Passed { detail: format!("{folder} (will be created)") },
        Err(error) => {
            failed(format!("cannot write in {existing}: {error}"), permission_hint(&error))
        }
    }
}

fn existing_ancestor(folder: &Utf8Path) -> Utf8PathBuf {
    let mut candidate = folder;
    while !candidate.exists() {
        match candidate.parent() {
            Some(parent) if !parent.as_str().is_empty() => candidate = parent,
            // A relative path, of which nothing is there yet.
            _ => return Utf8PathBuf::from("."),
        }
    }
    candidate.to_owned()
}

fn try_to_write(folder: &Utf8Path) -> io::Result<()> {
    let probe = folder.join(format!(".leeward-check-{}", std::process::id()));
    let written = File::create_new(&probe).and_then(|mut file| file.write_all(b"probe"));
    let removed = std::fs::remove_file(&probe);
    written.and(removed)
}

fn failed(evidence: String, hint: &str) -> Outcome {
    Outcome::Failed { evidence, hint: Some(hint.to_owned()) }
}

fn permission_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "run it as the user that the daemon runs as",
        io::ErrorKind::NotFound => "create it, or correct the configuration",
        io::ErrorKind::StorageFull => "free some room on this disk",
        _ => "look at the disk and at `dmesg`",
    }
}

/// Steps as they are taken: text at once, JSON at the end.
struct Report<'a, 'b> {
    steps: Vec<CheckStep>,
    console: &'a mut Console<'b>,
}

impl Report<'_, '_> {
    fn add(&mut self, step: CheckStep) -> Result<(), Failure> {
        if self.console.format == Format::Text {
            self.console.text(&line(&step, self.console.palette))?;
        }
        self.steps.push(step);
        Ok(())
    }

    fn finish(self) -> Result<Exit, Failure> {
        let failed =
            self.steps.iter().filter(|step| matches!(step.outcome, Outcome::Failed { .. }));
        let failed = failed.count() as u64;
        let document = json!({
            "passed": failed == 0,
            "steps": self.steps.iter().map(json_of).collect::<Vec<_>>(),
        });
        self.console.answer(&document, |_| match failed {
            0 => "Every step passed.\n".to_owned(),
            count => format!("{} failed.\n", human::plural(count, "step")),
        })?;
        Ok(if failed == 0 { Exit::Done } else { Exit::Different })
    }
}

/// Wide enough for `source.client_cert_file`.
const NAME_WIDTH: usize = 24;

fn line(step: &CheckStep, palette: Palette) -> String {
    let (tint, word, detail, hint) = match &step.outcome {
        Outcome::Passed { detail } => (Tint::Good, "passed", detail, None),
        Outcome::Failed { evidence, hint } => (Tint::Bad, "FAILED", evidence, hint.as_ref()),
        Outcome::Skipped { why } => (Tint::Faint, "skipped", why, None),
    };
    let time = match &step.outcome {
        Outcome::Skipped { .. } => String::new(),
        _ => human::precise(step.elapsed),
    };
    let word = palette.paint(tint, &format!("{word:<8}"));
    let name = human::one_line(&step.name);
    let detail = human::one_line(detail);
    let mut line = format!("{word}{name:<NAME_WIDTH$}  {time:>7}  {detail}\n");
    if let Some(hint) = hint {
        let _ = writeln!(line, "        hint: {}", human::one_line(hint));
    }
    line
}

fn json_of(step: &CheckStep) -> Value {
    let elapsed = u64::try_from(step.elapsed.as_millis()).unwrap_or(u64::MAX);
    let (result, detail, hint) = match &step.outcome {
        Outcome::Passed { detail } => ("passed", detail, None),
        Outcome::Failed { evidence, hint } => ("failed", evidence, hint.as_ref()),
        Outcome::Skipped { why } => ("skipped", why, None),
    };
    json!({ "name": step.name, "result": result, "detail": detail, "hint": hint, "elapsed_ms": elapsed })
}
