//! A kustomization on this machine: any file of it may be referred to, as the
//! load restrictor allows.

use std::{fs, io, io::Read as _};

use camino::{Utf8Path, Utf8PathBuf};
use leeward_core::{
    model::Variables,
    render::{substitute::substitute, yaml::emit},
};
use leeward_kustomize::{
    BuildError, FILE_NAMES, Files, Found, LoadRestrictor, Object, Options, Problem, ReadError,
    Reorder, build,
};
use leeward_sops::{Identities, Opened};
use serde_json::Value;

use super::{
    arguments::{self, RenderFlags},
    console::Console,
    exit::{Exit, Failure},
    render::{OUTPUT_BYTES_MAX, too_much_output},
};
use crate::age_keys;

/// Bytes of one file. What Kustomize reads is limited lower, and says more.
const MAX_FILE_SIZE: u64 = 64 << 20;

/// Whether the folder has a kustomization.
pub(super) fn is_in(folder: &Utf8Path) -> bool {
    FILE_NAMES.iter().any(|name| folder.join(name).is_file())
}

pub(super) fn run(
    flags: &RenderFlags,
    variables: &Variables,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let failed = |error: io::Error| Failure::of_file("open", &flags.path, &error);
    let folder = flags.path.canonicalize_utf8().map_err(failed)?;
    let here = Utf8PathBuf::from(".").canonicalize_utf8().ok();
    let options = Options {
        restrictor: match flags.load_restrictor {
            None | Some(arguments::LoadRestrictor::Root) => LoadRestrictor::Root,
            Some(arguments::LoadRestrictor::None) => LoadRestrictor::None,
        },
        reorder: match flags.reorder {
            Some(arguments::Reorder::None) => Reorder::None,
            None | Some(arguments::Reorder::Legacy) => Reorder::Legacy,
        },
        ..Options::default()
    };
    let identities = age_keys::read(&flags.sops_age_key)?;
    let mut built = build(&Machine { here, identities }, folder.as_str(), &options)?;
    substitute_all(&mut built.objects, variables)?;
    let bodies: Vec<&Value> = built.objects.iter().map(|object| &object.value).collect();
    let text = || emit::stream_within(bodies.iter().copied(), OUTPUT_BYTES_MAX);
    console.answer_or_fail(&bodies, |_| text().ok_or_else(too_much_output))?;
    Ok(Exit::Done)
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

/// All files of this machine, below `/`.
struct Machine {
    /// The folder that people are in, below which they know files.
    here: Option<Utf8PathBuf>,
    /// What encrypted files are opened with.
    identities: Identities,
}

impl Files for Machine {
    fn look(&self, path: &str) -> Result<Found, ReadError> {
        let whole = absolute(path);
        let real = match whole.canonicalize_utf8() {
            Ok(real) => real,
            Err(error) if is_nothing(&error) => return Ok(Found::Nothing),
            Err(error) => return Err(unreadable(&error)),
        };
        let about = fs::metadata(&real).map_err(|error| unreadable(&error))?;
        let below_root = real.as_str().trim_start_matches('/').to_owned();
        Ok(if about.is_dir() { Found::Folder(below_root) } else { Found::File(below_root) })
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let file = fs::File::open(absolute(path)).map_err(|error| unreadable(&error))?;
        if !file.metadata().is_ok_and(|about| about.is_file()) {
            return Err(ReadError {
                message: "it is not a regular file".to_owned(),
                missing: false,
            });
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE_SIZE).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        match leeward_sops::open(path, &bytes, &self.identities) {
            Ok(Opened::Plain) => Ok(bytes),
            Ok(Opened::Decrypted(mut decrypted)) => Ok(std::mem::take(&mut *decrypted)),
            Err(error) => Err(ReadError { message: error.problem.to_string(), missing: false }),
        }
    }

    fn shown(&self, path: &str) -> String {
        let whole = absolute(path);
        match self.here.as_ref().and_then(|here| whole.strip_prefix(here).ok()) {
            Some(below) if below.as_str().is_empty() => ".".to_owned(),
            Some(below) => below.to_string(),
            None => whole.to_string(),
        }
    }
}

fn absolute(path: &str) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("/{path}"))
}

/// A file where a folder is expected is no more there than what is not there.
fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename
    )
}

fn unreadable(error: &io::Error) -> ReadError {
    ReadError { message: error.to_string(), missing: false }
}
