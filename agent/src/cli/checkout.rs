//! A folder on this machine as the renderer sees a folder in Git: files only,
//! sorted, bounded, and nothing from outside of it.

use std::{fs, io, io::Read as _};

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use leeward_core::render::{FileError, Files};

use super::exit::{Exit, Failure};

/// More files than any folder of manifests has; somebody named `/`.
const MAX_FILES: usize = 50_000;
/// Folders inside folders. Git has no limit; people have.
const MAX_DEPTH: usize = 64;
/// Bytes of one file. The renderer's own limit is lower and says more.
const MAX_FILE_SIZE: u64 = 64 << 20;

pub(super) struct Checkout {
    /// Without symbolic links.
    root: Utf8PathBuf,
    /// Below which folder people know its files.
    shown_below: String,
}

impl Checkout {
    pub(super) fn open(folder: &Utf8Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::of_file("open", folder, &error);
        let root = folder.canonicalize_utf8().map_err(failed)?;
        if !fs::metadata(&root).map_err(failed)?.is_dir() {
            let message = format!("{folder} is not a folder");
            return Err(
                Failure::new(Exit::BadInput, message).with_hint("name the folder that holds it")
            );
        }
        Ok(Self { root, shown_below: String::new() })
    }

    /// A folder below; empty for this one.
    pub(super) fn below(&self, path: &str) -> Result<Self, Failure> {
        let below = Self::open(&self.root.join(path))?;
        Ok(Self { shown_below: path.to_owned(), ..below })
    }

    /// The last segment of the path, which names the app when nothing else does.
    pub(super) fn name(&self) -> &str {
        self.root.file_name().unwrap_or("root")
    }
}

impl Files for Checkout {
    fn shown(&self, path: &str) -> String {
        match self.shown_below.as_str() {
            "" => path.to_owned(),
            folder => format!("{folder}/{path}"),
        }
    }

    fn list(&self) -> Result<Vec<String>, FileError> {
        let mut found = Vec::new();
        let mut folders = vec![(String::new(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            if depth > MAX_DEPTH {
                return Err(error(&folder, format!("more than {MAX_DEPTH} folders deep")));
            }
            let entries = self.root.join(&folder).read_dir_utf8();
            for entry in entries.map_err(|source| error(&folder, source))? {
                let entry = entry.map_err(|source| error(&folder, source))?;
                let name = entry.file_name();
                let path =
                    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
                let kind = entry.file_type().map_err(|source| error(&path, source))?;
                // Symbolic links are no files in Git either, and may lead outside.
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

    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        let inside = |component| matches!(component, Utf8Component::Normal(_));
        if !Utf8Path::new(path).components().all(inside) {
            return Err(error(path, "it is not in the folder"));
        }
        let whole = self.root.join(path);
        let real = whole.canonicalize_utf8().map_err(|source| error(path, source))?;
        if real != whole {
            return Err(error(path, "it is a symbolic link"));
        }
        let file = fs::File::open(real).map_err(|source| error(path, source))?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE_SIZE + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| error(path, source))?;
        if bytes.len() as u64 > MAX_FILE_SIZE {
            return Err(error(path, format!("it is larger than {MAX_FILE_SIZE} bytes")));
        }
        Ok(bytes)
    }
}

fn error(path: &str, message: impl std::fmt::Display) -> FileError {
    let path = if path.is_empty() { "." } else { path };
    FileError { path: path.to_owned(), message: message.to_string(), missing: false }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder() -> (tempfile::TempDir, Checkout) {
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
        let checkout = Checkout::open(Utf8Path::from_path(&root).unwrap()).unwrap();
        (folder, checkout)
    }

    #[test]
    fn files_are_listed_in_order_without_links_and_without_git() {
        let (_folder, checkout) = folder();
        assert_eq!(
            checkout.list().unwrap(),
            [".leewardignore", "b.yaml", "b/a.yaml", "b/c/x.yaml", "z.yaml"]
        );
    }

    #[test]
    fn a_file_that_is_listed_can_be_read() {
        let (_folder, checkout) = folder();
        assert_eq!(checkout.read("b/c/x.yaml").unwrap(), b"b/c/x.yaml");
    }

    #[test]
    fn nothing_outside_of_the_folder_can_be_read() {
        let (_folder, checkout) = folder();
        let paths = ["../secret", "link.yaml", "up/secret", "/etc/passwd", "b/../../secret"];
        assert_eq!(paths.map(|path| checkout.read(path).is_err()), [true; 5]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_no_input() {
        let failure = Checkout::open("/no/such/folder".into()).err().unwrap();
        assert_eq!(failure.exit, Exit::NoInput);
    }
}
