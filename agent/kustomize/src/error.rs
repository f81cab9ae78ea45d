//! Why a build failed, where, and on which way it was reached.

use std::fmt;

use leeward_yaml::{self as yaml, Mark};

/// Characters of a name or value that a message repeats.
const ECHO_MAX: usize = 200;

/// Characters of a problem as a whole. It goes into reports; what is longer is
/// what somebody wrote in place of a name.
const PROBLEM_MAX: usize = 2_000;

/// A failed build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    pub problem: Problem,
    /// The file and the position in it, where there is one.
    pub place: Option<Place>,
    /// The kustomizations that led there, the innermost first.
    pub chain: Vec<String>,
}

/// A file as people call it, and a position in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    pub mark: Option<Mark>,
}

pub(crate) type Outcome<T> = Result<T, Box<BuildError>>;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("{folder} has no kustomization.yaml, kustomization.yml or Kustomization")]
    NoKustomization { folder: String },
    #[error("{folder} has both {first} and {second}: keep one")]
    TwoKustomizations { folder: String, first: String, second: String },
    #[error("the kustomization is empty")]
    Empty,
    #[error("no such file or folder: {path}")]
    Missing { path: String },
    /// Outside of the root of the files: a caller may fetch more, and build again.
    #[error("{path} leads out of the repository")]
    NotFetched { path: String },
    #[error("{path} has not arrived yet")]
    NotArrived { path: String },
    #[error("{path} cannot be read: {message}")]
    Unreadable { path: String, message: String },
    #[error(
        "{path} is not in or below {root}: move it there, or allow it with `--load-restrictor none`"
    )]
    Outside { path: String, root: String },
    #[error("cycle: {folder} contains {visited}, which refers to it")]
    Cycle { folder: String, visited: String },
    #[error(
        "{field} refers to {reference}, which is remote: hydrate it in CI, or vendor it into this repository"
    )]
    Remote { field: String, reference: String },
    #[error("{what} is not supported: {instead}")]
    Unsupported { what: String, instead: &'static str },
    #[error("{0}")]
    Yaml(yaml::Problem),
    #[error("{field}: {message}")]
    Field { field: String, message: String },
    #[error("{object}: {message}")]
    Object { object: String, message: String },
    #[error("{id} is declared twice")]
    Duplicate { id: String },
    #[error("{generator}: {message}")]
    Generator { generator: String, message: String },
    #[error("patch {patch}: {message}")]
    Patch { patch: String, message: String },
    #[error("replacement: {0}")]
    Replacement(String),
    #[error("var {name}: {message}")]
    Var { name: String, message: String },
    #[error("{field} of {referrer} may refer to each of {candidates}")]
    Ambiguous { field: String, referrer: String, candidates: String },
    #[error("{kind} {name}: {message}")]
    Plugin { kind: String, name: String, message: String },
    #[error("more than {limit} {what}, the most that one build may have")]
    Limit { what: &'static str, limit: usize },
}

impl BuildError {
    /// Whether a fetch may bring what is missing, without anyone changing anything.
    pub fn is_missing(&self) -> bool {
        matches!(self.problem, Problem::NotArrived { .. })
    }

    /// Places the error, unless it already has a place.
    pub(crate) fn at(mut self: Box<Self>, file: &str, mark: Option<Mark>) -> Box<Self> {
        let mark = mark.filter(|mark| mark.line > 0);
        match &mut self.place {
            None => self.place = Some(Place { file: file.to_owned(), mark }),
            Some(place) if place.file.is_empty() => file.clone_into(&mut place.file),
            Some(_) => {}
        }
        self
    }

    /// Says which kustomization led here.
    pub(crate) fn within(mut self: Box<Self>, kustomization: &str) -> Box<Self> {
        self.chain.push(kustomization.to_owned());
        self
    }
}

impl From<Problem> for Box<BuildError> {
    fn from(problem: Problem) -> Self {
        Self::new(BuildError { problem, place: None, chain: Vec::new() })
    }
}

impl From<yaml::YamlError> for Box<BuildError> {
    fn from(error: yaml::YamlError) -> Self {
        let place = Place { file: String::new(), mark: Some(error.mark) };
        let problem = Problem::Yaml(error.problem);
        Self::new(BuildError { problem, place: Some(place), chain: Vec::new() })
    }
}

impl std::error::Error for BuildError {}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        self.write_message(f)
    }
}

impl BuildError {
    /// The problem and the way to it, without the place.
    pub fn message(&self) -> String {
        struct Message<'e>(&'e BuildError);
        impl fmt::Display for Message<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.write_message(f)
            }
        }
        Message(self).to_string()
    }

    fn write_message(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = self.problem.to_string();
        match problem.char_indices().nth(PROBLEM_MAX) {
            Some((end, _)) => write!(f, "{}…", &problem[..end])?,
            None => write!(f, "{problem}")?,
        }
        let own = self.place.as_ref().map(|place| place.file.as_str());
        let is_own = |file: &&String| own == Some(file.as_str());
        // The place says already where it is.
        let mut word = if self.chain.iter().any(|file| is_own(&file)) { "used by" } else { "in" };
        let mut others = self.chain.iter().filter(|file| !is_own(file)).peekable();
        if others.peek().is_some() {
            write!(f, " (")?;
            while let Some(file) = others.next() {
                let comma = if others.peek().is_some() { ", " } else { ")" };
                write!(f, "{word} {file}{comma}")?;
                word = "used by";
            }
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mark {
            Some(mark) => write!(f, "{}:{mark}", self.file),
            None => write!(f, "{}", self.file),
        }
    }
}

/// As much of a text as a message repeats, on one line.
pub(crate) fn echo(text: &str) -> String {
    let line = text.trim();
    let mut shown: String = line.chars().take(ECHO_MAX).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    shown.replace('\n', "\\n")
}
