//! The files of this machine, below `/`.

use std::{fs, io, io::Read as _};

use camino::{Utf8Path, Utf8PathBuf};
use leeward_core::{
    git::DEPTH_MAX,
    render::{FileError, Found, path::join},
};
use leeward_kustomize::ReadError;

use super::{
    exit::{Exit, Failure},
    folder::{MAX_FILE_SIZE, Place, error},
};

/// More files than any folder of manifests has; somebody named `/`.
const MAX_FILES: usize = 50_000;

/// All files of this machine, as people in one folder know them.
pub(super) struct Machine {
    /// Below which folder files are named from there.
    here: Option<Utf8PathBuf>,
}

impl Machine {
    /// As it is seen from the current folder.
    pub(super) fn from_here() -> Self {
        Self { here: Utf8PathBuf::from(".").canonicalize_utf8().ok() }
    }

    /// As it is seen from the folder at `path`.
    pub(super) fn from(path: &str) -> Self {
        Self { here: Some(absolute(path)) }
    }

    /// The path of a folder, links followed.
    pub(super) fn folder(named: &Utf8Path) -> Result<String, Failure> {
        let failed = |error: io::Error| Failure::of_file("open", named, &error);
        let real = named.canonicalize_utf8().map_err(failed)?;
        if !fs::metadata(&real).map_err(failed)?.is_dir() {
            let message = format!("{named} is not a folder");
            return Err(
                Failure::new(Exit::BadInput, message).with_hint("name the folder that holds it")
            );
        }
        Ok(below_root(&real))
    }
}

impl leeward_kustomize::Files for Machine {
    fn look(&self, path: &str) -> Result<Found, ReadError> {
        let real = match absolute(path).canonicalize_utf8() {
            Ok(real) => real,
            Err(error) if is_nothing(&error) => return Ok(Found::Nothing),
            Err(error) => return Err(unreadable(&error)),
        };
        let about = fs::metadata(&real).map_err(|error| unreadable(&error))?;
        let real = below_root(&real);
        Ok(if about.is_dir() { Found::Folder(real) } else { Found::File(real) })
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let file = fs::File::open(absolute(path)).map_err(|error| unreadable(&error))?;
        let refused = |message: String| ReadError { message, missing: false };
        if !file.metadata().is_ok_and(|about| about.is_file()) {
            return Err(refused("it is not a regular file".to_owned()));
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        if bytes.len() as u64 > MAX_FILE_SIZE {
            return Err(refused(format!("it is larger than {MAX_FILE_SIZE} bytes")));
        }
        Ok(bytes)
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

impl Place for Machine {
    fn list(&self, folder: &str) -> Result<Vec<String>, FileError> {
        let root = absolute(folder);
        let mut found = Vec::new();
        let mut folders = vec![(String::new(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            if depth > DEPTH_MAX {
                return Err(error(&folder, format!("more than {DEPTH_MAX} folders deep")));
            }
            let entries = root.join(&folder).read_dir_utf8();
            for entry in entries.map_err(|source| error(&folder, source))? {
                let entry = entry.map_err(|source| error(&folder, source))?;
                let name = entry.file_name();
                let path = join(&folder, name);
                let kind = entry.file_type().map_err(|source| error(&path, source))?;
                if kind.is_dir() && name != ".git" {
                    folders.push((path, depth + 1));
                } else if kind.is_file() {
                    if found.len() == MAX_FILES {
                        return Err(error("", format!("more than {MAX_FILES} files")));
                    }
                    found.push(path);
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

fn absolute(path: &str) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("/{path}"))
}

fn below_root(path: &Utf8Path) -> String {
    path.as_str().trim_start_matches('/').to_owned()
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use leeward_core::render::Files as _;

    use super::*;
    use crate::cli::folder::Folder;

    fn folder() -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("shop");
        fs::create_dir_all(root.join("b/c")).unwrap();
        fs::create_dir_all(root.join(".git")).unwrap();
        fs::write(folder.path().join("secret"), "outside").unwrap();
        for path in ["z.yaml", "b/a.yaml", "b/c/x.yaml", "b.yaml", ".git/HEAD", ".leewardignore"] {
            fs::write(root.join(path), path).unwrap();
        }
        symlink("../secret", root.join("link.yaml")).unwrap();
        symlink("..", root.join("up")).unwrap();
        let path = Machine::folder(Utf8Path::from_path(&root).unwrap()).unwrap();
        (folder, path)
    }

    #[test]
    fn files_are_listed_in_order_without_links_and_without_git() {
        let (_folder, path) = folder();
        assert_eq!(
            Folder::new(&Machine::from_here(), &path).list().unwrap(),
            [".leewardignore", "b.yaml", "b/a.yaml", "b/c/x.yaml", "z.yaml"]
        );
    }

    #[test]
    fn a_file_that_is_listed_can_be_read() {
        let (_folder, path) = folder();
        let machine = Machine::from_here();
        assert_eq!(Folder::new(&machine, &path).read("b/c/x.yaml").unwrap().bytes, b"b/c/x.yaml");
    }

    #[test]
    fn nothing_outside_of_the_folder_can_be_read() {
        let (_folder, path) = folder();
        let machine = Machine::from_here();
        let folder = Folder::new(&machine, &path);
        let paths = ["../secret", "link.yaml", "up/secret", "/etc/passwd", "b/../../secret"];
        assert_eq!(paths.map(|path| folder.read(path).is_err()), [true; 5]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_no_input() {
        let failure = Machine::folder("/no/such/folder".into()).err().unwrap();
        assert_eq!(failure.exit, Exit::NoInput);
    }
}
