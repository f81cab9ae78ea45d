//! What `git` is asked about a checkout: the one program that is ever started,
//! and only by `leeward diff` between revisions; the daemon starts none.
//!
//! Who has a checkout has `git`, and only it knows all the ways in which a
//! repository keeps its references and objects. It runs no hook and no filter
//! for these questions, and is kept from the network. Revisions go in through a
//! pipe, where nothing is taken for an option.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    io::{self, BufRead as _, BufReader, Read, Write as _},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Child, Command, Stdio},
    rc::Rc,
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use leeward_core::{git::ObjectType, model::GitId};

use super::{
    exit::{Exit, Failure},
    folder::MAX_FILE_SIZE,
};

/// For one answer. A cold disk needs seconds; more means that it hangs.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer that is no object: ids, folders, and what is said on stderr.
const MAX_ANSWER: u64 = 64 << 10;
/// Bytes of trees that are kept, since both revisions go through nearly the same ones.
const MAX_KEPT: usize = 64 << 20;

/// Beside what it finds in the environment: no questions, no network (the
/// second for `git` before 2.45), and words that we know.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_ALLOW_PROTOCOL", "none"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("LC_ALL", "C"),
];

#[derive(Debug, thiserror::Error)]
pub(super) enum GitError {
    #[error("the program `git` is not there, and it is what reads revisions")]
    NotInstalled,
    #[error("`git` cannot be started: {source}")]
    Start { source: io::Error },
    #[error("`git` does not answer within {} s", PATIENCE.as_secs())]
    Silent,
    #[error("`git` cannot be spoken with: {source}")]
    Broken { source: io::Error },
    /// In its own words.
    #[error("`git` refuses: {message}")]
    Refused { message: String },
    #[error("git object {name} has {size} bytes, at most {MAX_FILE_SIZE} are read")]
    TooLarge { name: String, size: u64 },
}

/// A repository, found from one of its folders.
pub(super) struct Repository<'s> {
    folder: &'s Utf8Path,
    environment: &'s BTreeMap<String, String>,
    /// Whether the folder is in a working tree.
    pub(super) is_checkout: bool,
    /// The folder, from the root of the working tree.
    pub(super) prefix: String,
}

impl<'s> Repository<'s> {
    /// `folder` is in it, or is a bare one.
    pub(super) fn around(
        folder: &'s Utf8Path,
        environment: &'s BTreeMap<String, String>,
    ) -> Result<Self, GitError> {
        let found = Self { folder, environment, is_checkout: false, prefix: String::new() };
        let answer = found.ask(&["rev-parse", "--is-inside-work-tree", "--show-prefix"])?;
        let (is_checkout, prefix) = answer.split_once('\n').unwrap_or((&answer, ""));
        let prefix = prefix.strip_suffix('\n').unwrap_or(prefix).trim_end_matches('/');
        Ok(Self { is_checkout: is_checkout == "true", prefix: prefix.to_owned(), ..found })
    }

    /// The root of the working tree, links followed.
    pub(super) fn root(&self) -> Result<Utf8PathBuf, GitError> {
        let answer = self.ask(&["rev-parse", "--show-toplevel"])?;
        Ok(answer.strip_suffix('\n').unwrap_or(&answer).into())
    }

    /// The newest commit that two have in their history.
    pub(super) fn merge_base(&self, one: GitId, other: GitId) -> Result<GitId, GitError> {
        let unrelated =
            || GitError::Refused { message: format!("{one} and {other} have no commit in common") };
        match self.ask(&["merge-base", &one.to_string(), &other.to_string()]) {
            Ok(answer) => answer.trim_end().parse().map_err(|_| unrelated()),
            // It ends with 1, and says nothing.
            Err(GitError::Refused { .. }) => Err(unrelated()),
            Err(error) => Err(error),
        }
    }

    /// Opens the objects.
    pub(super) fn objects(&self) -> Result<Objects, GitError> {
        let (ours, theirs) = pair()?;
        let (complaints, said) = pair()?;
        let requests = theirs.try_clone().map_err(|source| GitError::Start { source })?;
        let child = self
            .command(&["cat-file", "--batch"])
            .stdin(Stdio::from(OwnedFd::from(requests)))
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::from(OwnedFd::from(said)))
            .spawn()
            .map_err(not_started)?;
        Ok(Objects {
            child: RefCell::new(child),
            stream: RefCell::new(BufReader::new(ours)),
            complaints,
            trees: RefCell::default(),
            kept: Cell::new(0),
        })
    }

    fn ask(&self, arguments: &[&str]) -> Result<String, GitError> {
        let (answers, theirs) = pair()?;
        let (complaints, said) = pair()?;
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::from(OwnedFd::from(said)));
        let mut child = command.spawn().map_err(not_started)?;
        // Its ends of the streams: what is read from ours would not end with the program.
        drop(command);
        let heard = text(&answers).and_then(|answer| Ok((answer, text(&complaints)?)));
        if heard.is_err() {
            let _gone = child.kill();
        }
        let status = child.wait().map_err(|source| GitError::Broken { source })?;
        let (answer, said) = heard?;
        if status.success() { Ok(answer) } else { Err(refusal(&said)) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.folder).args(arguments);
        command.env_clear().envs(self.environment).envs(ENVIRONMENT);
        command
    }
}

/// The objects of a repository, out of one program that runs as long as this lives.
pub(super) struct Objects {
    child: RefCell<Child>,
    /// Requests there, answers back.
    stream: RefCell<BufReader<UnixStream>>,
    complaints: UnixStream,
    trees: RefCell<HashMap<GitId, Rc<[u8]>>>,
    /// Bytes of them.
    kept: Cell<usize>,
}

/// What came for a name.
struct Answer {
    id: GitId,
    kind: ObjectType,
    data: Vec<u8>,
}

impl Objects {
    /// The tree of a revision; `None` when nothing, or more than one thing, is called so.
    pub(super) fn tree_of(&self, revision: &str) -> Result<Option<GitId>, GitError> {
        let answer = self.read(&format!("{revision}^{{tree}}"))?;
        Ok(answer.filter(|answer| answer.kind == ObjectType::Tree).map(|tree| tree.id))
    }

    /// The commit of a revision; `None` as well when it is only a tree.
    pub(super) fn commit_of(&self, revision: &str) -> Result<Option<GitId>, GitError> {
        Ok(self.read(&format!("{revision}^{{commit}}"))?.map(|commit| commit.id))
    }

    /// `None` when the object is not in the clone.
    pub(super) fn tree(&self, id: GitId) -> Result<Option<Rc<[u8]>>, GitError> {
        if let Some(tree) = self.trees.borrow().get(&id) {
            return Ok(Some(Rc::clone(tree)));
        }
        let Some(data) = self.of_kind(id, ObjectType::Tree)? else { return Ok(None) };
        let tree: Rc<[u8]> = data.into();
        if self.kept.get() + tree.len() <= MAX_KEPT {
            self.kept.set(self.kept.get() + tree.len());
            self.trees.borrow_mut().insert(id, Rc::clone(&tree));
        }
        Ok(Some(tree))
    }

    /// `None` when the object is not in the clone.
    pub(super) fn blob(&self, id: GitId) -> Result<Option<Vec<u8>>, GitError> {
        self.of_kind(id, ObjectType::Blob)
    }

    fn of_kind(&self, id: GitId, kind: ObjectType) -> Result<Option<Vec<u8>>, GitError> {
        let Some(answer) = self.read(&id.to_string())? else { return Ok(None) };
        if answer.kind == kind {
            return Ok(Some(answer.data));
        }
        Err(GitError::Refused { message: format!("object {id} is a {}, no {kind}", answer.kind) })
    }

    /// What an object name stands for (gitrevisions(7)).
    fn read(&self, name: &str) -> Result<Option<Answer>, GitError> {
        if name.contains(['\n', '\0']) {
            return Ok(None);
        }
        let mut stream = self.stream.borrow_mut();
        let request = format!("{name}\n");
        stream.get_mut().write_all(request.as_bytes()).map_err(|error| self.failed(error))?;
        let mut line = String::new();
        (&mut *stream).take(MAX_ANSWER).read_line(&mut line).map_err(|error| self.failed(error))?;
        let Some(line) = line.strip_suffix('\n') else {
            return Err(self.failed(io::ErrorKind::UnexpectedEof.into()));
        };
        let Some((id, kind, size)) = header(line) else { return Ok(None) };
        if size > MAX_FILE_SIZE {
            io::copy(&mut (&mut *stream).take(size + 1), &mut io::sink())
                .map_err(|error| self.failed(error))?;
            return Err(GitError::TooLarge { name: id.to_string(), size });
        }
        let mut data = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        stream.read_exact(&mut data).map_err(|error| self.failed(error))?;
        let mut end = [0];
        stream.read_exact(&mut end).map_err(|error| self.failed(error))?;
        Ok(Some(Answer { id, kind, data }))
    }

    /// Why nothing came: its own words, when it ended with some.
    fn failed(&self, error: io::Error) -> GitError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset => match text(&self.complaints) {
                Ok(said) if !said.trim().is_empty() => refusal(&said),
                _ => GitError::Broken { source: error },
            },
            _ => of_stream(error),
        }
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // Nothing is lost with it: it only reads.
        let child = self.child.get_mut();
        let _gone = child.kill();
        let _gone = child.wait();
    }
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        let message = error.to_string();
        match &error {
            GitError::NotInstalled => {
                Self::new(Exit::Unavailable, message).with_hint("install it, or put it into $PATH")
            }
            GitError::Start { .. } | GitError::Silent => Self::new(Exit::Unavailable, message),
            GitError::Broken { .. } => Self::new(Exit::InputOutput, message),
            GitError::TooLarge { .. } => Self::new(Exit::BadInput, message),
            GitError::Refused { message: said } if said.contains("dubious ownership") => {
                Self::new(Exit::NoPermission, message)
                    .with_hint("if you trust it: `git config --global --add safe.directory FOLDER`")
            }
            GitError::Refused { .. } => Self::new(Exit::NoInput, message),
        }
    }
}

/// `<id> <type> <size>`; anything else says that there is no such object.
fn header(line: &str) -> Option<(GitId, ObjectType, u64)> {
    let mut words = line.split(' ');
    let (id, kind, size) = (words.next()?, words.next()?, words.next()?);
    let kind = match kind {
        "commit" => ObjectType::Commit,
        "tree" => ObjectType::Tree,
        "blob" => ObjectType::Blob,
        "tag" => ObjectType::Tag,
        _ => return None,
    };
    let parsed = (id.parse().ok()?, kind, size.parse().ok()?);
    words.next().is_none().then_some(parsed)
}

/// A stream between the program and us: sockets have timeouts, pipes have none.
fn pair() -> Result<(UnixStream, UnixStream), GitError> {
    let opened = || {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        ours.set_write_timeout(Some(PATIENCE))?;
        Ok((ours, theirs))
    };
    opened().map_err(|source| GitError::Start { source })
}

/// All that comes, until the other end is closed.
fn text(stream: &UnixStream) -> Result<String, GitError> {
    let mut bytes = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut bytes).map_err(of_stream)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn of_stream(error: io::Error) -> GitError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => GitError::Silent,
        _ => GitError::Broken { source: error },
    }
}

fn not_started(error: io::Error) -> GitError {
    match error.kind() {
        io::ErrorKind::NotFound => GitError::NotInstalled,
        _ => GitError::Start { source: error },
    }
}

/// The first line that says what went wrong; those around it are warnings and advice.
fn refusal(said: &str) -> GitError {
    let mut lines = said.lines().filter(|line| !line.trim().is_empty());
    let first = lines.clone().next().unwrap_or("it does not say why");
    let line = lines.find_map(|line| line.strip_prefix("fatal: ")).unwrap_or(first);
    let message = if said.contains("promisor remote") {
        format!("an object is not in this partial clone, make one without `--filter`: {line}")
    } else {
        line.to_owned()
    };
    GitError::Refused { message }
}
