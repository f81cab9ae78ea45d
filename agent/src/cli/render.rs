//! `leeward render`: the manifests of a folder, as the agent would apply them.
//! Needs no configuration, daemon or cluster.
//!
//! `--set name=value` stands in for the variables of the agent and the cluster.
//! A folder with a kustomization is answered with the stream that `kustomize
//! build` prints.

use std::fmt::Write as _;

use camino::Utf8PathBuf;
use leeward_core::{
    model::{AppSpec, Manifest, Variables},
    render::{
        APPS_FILE, AppDefaults, Decrypted, Limits, RenderError, apps, folder_with, yaml::emit,
    },
};
use serde_json::Value;

use super::{
    Session,
    arguments::RenderFlags,
    checkout::Checkout,
    console::Console,
    exit::{Exit, Failure},
    kustomization,
};
use crate::age_keys::{self, AgeKeysError};

/// Bytes that are printed: a text of many lines that lies deep is a hundred times as large as its file.
pub(super) const OUTPUT_BYTES_MAX: usize = 64 << 20;

pub(super) fn run(
    flags: &RenderFlags,
    session: &Session,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let variables = variables(&session.invocation.flags)?;
    let checkout = Checkout::open(&flags.path)?;
    // The flags are about kustomizations: with them, a folder without one is an error.
    let wants_one = flags.reorder.is_some() || flags.load_restrictor.is_some();
    if wants_one || kustomization::is_in(&flags.path) {
        return kustomization::run(flags, &variables, console);
    }
    let names_apps = flags.path.join(APPS_FILE).is_file();
    let manifests = declared(&checkout, names_apps, &variables, &flags.sops_age_key)?;
    let bodies: Vec<&Value> = manifests.iter().map(|manifest| &manifest.body).collect();
    console.answer_or_fail(&bodies, |_| text(&manifests).ok_or_else(too_much_output))?;
    if manifests.is_empty() {
        console.note(&format!("{} declares nothing", flags.path));
    }
    Ok(Exit::Done)
}

/// What the folder declares, app by app. The faults of every app are told, not
/// only those of the first.
///
/// Where apps are named, each says whether anything is substituted in it, as for
/// the agent; a folder alone is taken for that of an app that does.
fn declared(
    checkout: &Checkout,
    names_apps: bool,
    given: &Variables,
    age_key_files: &[Utf8PathBuf],
) -> Result<Vec<Manifest>, Failure> {
    // A key that cannot be used is the caller's mistake, whatever the files need.
    let identities = age_keys::read(age_key_files)?;
    let keys = || Ok(identities.clone());
    let (mut manifests, mut faults) = (Vec::new(), Vec::new());
    for app in apps(checkout, checkout.name(), &AppDefaults::default())? {
        let variables = if names_apps { of_app(&app, given)? } else { given.clone() };
        let below = checkout.below(&app.path)?;
        match folder_with(&Decrypted::new(&below, &keys), &Limits::default(), &variables) {
            Ok(rendered) => manifests.extend(rendered),
            Err(error) => faults.extend(error.faults),
        }
    }
    if faults.is_empty() {
        return Ok(manifests);
    }
    Err(RenderError { faults, missing: false }.into())
}

/// `name=value`, each; the same flag sets keys of the configuration for other verbs.
fn variables(flags: &[String]) -> Result<Variables, Failure> {
    let mut variables = Variables::default();
    for flag in flags {
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        variables.set(name, value).map_err(|error| {
            Failure::new(Exit::Usage, format!("--set: {error}"))
                .with_hint("`render` reads no configuration: its `--set` gives variables values")
        })?;
    }
    Ok(variables)
}

/// The app's own variables over those that are given.
fn of_app(app: &AppSpec, given: &Variables) -> Result<Variables, Failure> {
    let Some(own) = &app.substitute else { return Ok(Variables::default()) };
    let mut variables = given.clone();
    for (name, value) in own {
        let refused = |error| Failure::new(Exit::BadInput, format!("app {}: {error}", app.name));
        variables.set(name, value).map_err(refused)?;
    }
    Ok(variables)
}

/// `None` when it is too much.
fn text(manifests: &[Manifest]) -> Option<String> {
    let mut text = String::new();
    for manifest in manifests {
        let left = OUTPUT_BYTES_MAX.checked_sub(text.len())?;
        let document = emit::document_within(&manifest.body, left)?;
        let _ = write!(text, "---\n# {}\n{document}", manifest.origin);
    }
    Some(text)
}

pub(super) fn too_much_output() -> Failure {
    let most = OUTPUT_BYTES_MAX >> 20;
    Failure::new(Exit::BadInput, format!("the manifests have more than {most} MiB as YAML"))
}

impl From<AgeKeysError> for Failure {
    fn from(error: AgeKeysError) -> Self {
        let exit = match &error {
            AgeKeysError::Unreadable { .. } => Exit::NoInput,
            AgeKeysError::Exposed { .. } => Exit::NoPermission,
            AgeKeysError::Unusable { .. } => Exit::BadInput,
        };
        Self::new(exit, error.to_string())
    }
}

/// All that is wrong with the folder, one line each.
impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        let messages = error.faults.iter().map(ToString::to_string).collect();
        Self { exit: Exit::BadInput, messages, hint: None }
    }
}
