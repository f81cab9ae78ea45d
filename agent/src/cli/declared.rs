//! What a folder declares: a kustomization as `kustomize build` builds it, or
//! plain manifests, app by app, as the agent reads them.
//!
//! `--set name=value` stands in for the variables of the agent and the cluster.

use leeward_core::{
    apps::{AppDefaults, app_name, apps},
    model::{APPS_FILE, AppName, AppSpec, Manifest, Origin, Variables},
    render::{
        Decrypted, Found, Identities, RenderError, Request, folder as rendered,
        path::join,
        substitute::{SecretValues, Values, substitute},
    },
};
use leeward_kustomize::{
    Build, BuildError, FILE_NAMES, LoadRestrictor, Object, Options, Problem, Reorder, build,
};
use serde_json::Value;

use super::{
    arguments::{self, RenderingFlags},
    exit::{Exit, Failure},
    folder::{Folder, Opened, Place},
};
use crate::age_keys::{self, AgeKeysError};

/// How folders are rendered.
pub(super) struct Rendering {
    options: Options,
    /// The flags are about kustomizations: with them, a folder without one is an error.
    wants_kustomization: bool,
    variables: Variables,
    identities: Identities,
}

/// What one folder declares.
pub(super) enum Declared {
    Built {
        build: Build,
        /// Something in it may have been decrypted that is in no Secret.
        secret: bool,
    },
    Plain(Vec<(AppName, Vec<Manifest>)>),
}

impl Rendering {
    /// `set` is what `--set` was given.
    pub(super) fn of(flags: &RenderingFlags, set: &[String]) -> Result<Self, Failure> {
        let restrictor = match flags.load_restrictor {
            None | Some(arguments::LoadRestrictor::Root) => LoadRestrictor::Root,
            Some(arguments::LoadRestrictor::None) => LoadRestrictor::None,
        };
        let reorder = match flags.reorder {
            Some(arguments::Reorder::None) => Reorder::None,
            None | Some(arguments::Reorder::Legacy) => Reorder::Legacy,
        };
        Ok(Self {
            options: Options { restrictor, reorder, ..Options::default() },
            wants_kustomization: flags.reorder.is_some() || flags.load_restrictor.is_some(),
            variables: variables(set)?,
            // A key that cannot be used is the caller's mistake, whatever the files need.
            identities: age_keys::read(&flags.sops_age_key)?,
        })
    }

    /// Whether a folder is built as a whole.
    pub(super) fn builds(&self, place: &dyn Place, folder: &str) -> bool {
        self.wants_kustomization
            || FILE_NAMES
                .iter()
                .any(|name| matches!(place.look(&join(folder, name)), Ok(Found::File(_))))
    }

    /// `name` is the last segment of the path, which names the app when nothing else does.
    pub(super) fn declared(
        &self,
        place: &dyn Place,
        folder: &str,
        name: &str,
    ) -> Result<Declared, Failure> {
        if self.builds(place, folder) {
            self.built(place, folder)
        } else {
            self.plain(place, folder, name).map(Declared::Plain)
        }
    }

    fn built(&self, place: &dyn Place, folder: &str) -> Result<Declared, Failure> {
        let whole = Folder::whole(place);
        let keys = || Ok(self.identities.clone());
        let files = Opened::new(place, Decrypted::new(&whole, &keys));
        let mut build = build(&files, folder, &self.options)?;
        substitute_all(&mut build.objects, &self.variables)?;
        // A generator, patch or replacement carries it from any file to any object.
        Ok(Declared::Built { build, secret: files.revealed() })
    }

    /// The faults of every app are told, not only those of the first.
    ///
    /// Where apps are named, each says whether anything is substituted in it, as for
    /// the agent; a folder alone is taken for that of an app that does.
    fn plain(
        &self,
        place: &dyn Place,
        folder: &str,
        name: &str,
    ) -> Result<Vec<(AppName, Vec<Manifest>)>, Failure> {
        let names_apps = matches!(place.look(&join(folder, APPS_FILE)), Ok(Found::File(_)));
        let keys = || Ok(self.identities.clone());
        let (mut declared, mut faults) = (Vec::new(), Vec::new());
        let secrets = SecretValues::default();
        let mut takes_from_cluster = false;
        for app in apps(&Folder::new(place, folder), name, &AppDefaults::default())? {
            let variables = if names_apps { self.of_app(&app)? } else { self.variables.clone() };
            let below = Folder::new(place, &join(folder, &app.path));
            takes_from_cluster |= !app.substitute_from.is_empty();
            let values =
                Values { variables: &variables, secrets: &secrets, from: &app.substitute_from };
            let files = Decrypted::new(&below, &keys);
            match rendered(&Request { values, ..Request::of(&files) }) {
                Ok(rendered) => declared.push((app.name, rendered)),
                Err(error) => faults.extend(error.faults),
            }
        }
        if faults.is_empty() {
            return Ok(declared);
        }
        let failure = Failure::from(RenderError { faults, missing: false });
        if takes_from_cluster {
            let hint = "there is no cluster here: `--set name=value` stands in for substituteFrom";
            return Err(failure.with_hint(hint));
        }
        Err(failure)
    }

    /// The app's own variables over those that are given.
    fn of_app(&self, app: &AppSpec) -> Result<Variables, Failure> {
        if !app.substitutes() {
            return Ok(Variables::default());
        }
        let mut variables = self.variables.clone();
        for (name, value) in app.substitute.iter().flatten() {
            let refused =
                |error| Failure::new(Exit::BadInput, format!("app {}: {error}", app.name));
            variables.set(name, value).map_err(refused)?;
        }
        Ok(variables)
    }
}

impl Declared {
    /// The manifests of each app; a kustomization is one, called after its folder.
    pub(super) fn by_app(self, name: &str) -> Result<Vec<(AppName, Vec<Manifest>)>, Failure> {
        let (build, secret) = match self {
            Self::Plain(apps) => return Ok(apps),
            Self::Built { build, secret } => (build, secret),
        };
        let manifest = |object: Object| {
            let origin = Origin { file: object.file, line: object.line };
            let nameless = Failure::new(
                Exit::BadInput,
                format!("{origin}: apiVersion, kind or metadata.name is missing"),
            );
            let manifest = Manifest::new(object.value, origin).ok_or(nameless)?;
            Ok(Manifest { secret, ..manifest })
        };
        let manifests = build.objects.into_iter().map(manifest).collect::<Result<_, Failure>>()?;
        Ok(vec![(app_name(name), manifests)])
    }
}

/// `name=value`, each; the same flag sets keys of the configuration for other verbs.
fn variables(set: &[String]) -> Result<Variables, Failure> {
    let mut variables = Variables::default();
    for flag in set {
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        variables.set(name, value).map_err(|error| {
            Failure::new(Exit::Usage, format!("--set: {error}"))
                .with_hint("no configuration is read here: `--set` gives variables values")
        })?;
    }
    Ok(variables)
}

/// Substitutes in every object, as Flux does after the build. What is wrong is
/// told of every object, not only of the first.
fn substitute_all(objects: &mut [Object], variables: &Variables) -> Result<(), Failure> {
    let mut messages = Vec::new();
    for object in objects {
        match substitute(&object.value, variables) {
            Ok(None) => {}
            Ok(Some(value)) => object.value = value,
            Err(problem) => {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let kind = text(&object.value["kind"]);
                let name = text(&object.value["metadata"]["name"]);
                messages.push(format!("{}: {kind} {name}: {problem}", object.file));
            }
        }
    }
    if messages.is_empty() {
        return Ok(());
    }
    Err(Failure { exit: Exit::BadInput, messages, hint: None })
}

impl From<Box<BuildError>> for Failure {
    fn from(error: Box<BuildError>) -> Self {
        let failure = Self::new(Exit::BadInput, error.to_string());
        match error.problem {
            Problem::NoKustomization { .. } if error.place.is_none() => failure.with_hint(
                "without --reorder and --load-restrictor, a plain folder is rendered too",
            ),
            _ => failure,
        }
    }
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
