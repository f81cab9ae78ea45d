//! Where files come from: the only way to the outside.

use std::collections::BTreeMap;

/// Files and folders below one root. Paths are `a/b.yaml`, without `.`, `..`
/// or a slash in front; the root is the empty path.
pub trait Files {
    /// What is at a path. Links are followed by the implementation, which
    /// answers with the path that the thing really has.
    fn look(&self, path: &str) -> Result<Found, ReadError>;

    /// The content of a file that [`Files::look`] found.
    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError>;

    /// What a path is called in messages.
    fn shown(&self, path: &str) -> String {
        if path.is_empty() { ".".to_owned() } else { path.to_owned() }
    }
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    File(String),
    Folder(String),
    Nothing,
}

/// Files in memory, content by path. A folder is what files lie below.
impl Files for BTreeMap<String, Vec<u8>> {
    fn look(&self, path: &str) -> Result<Found, ReadError> {
        Ok(Found::among(self, path))
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let missing = || ReadError { message: "no such file".to_owned(), missing: false };
        self.get(path).cloned().ok_or_else(missing)
    }
}

impl Found {
    /// What is at a path among the files that there are.
    pub fn among<V>(files: &BTreeMap<String, V>, path: &str) -> Self {
        if files.contains_key(path) {
            return Self::File(path.to_owned());
        }
        let folder = format!("{path}/");
        let mut behind = files.range(folder.clone()..);
        let is_folder =
            path.is_empty() || behind.next().is_some_and(|(file, _)| file.starts_with(&folder));
        if is_folder { Self::Folder(path.to_owned()) } else { Self::Nothing }
    }
}

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ReadError {
    pub message: String,
    /// It exists, but has not been fetched: a caller may fetch it and build again.
    pub missing: bool,
}

/// Follows `relative` from the folder `base`; `None` when that leads above the root.
/// A path with a slash in front begins at the root.
pub(crate) fn join(base: &str, relative: &str) -> Option<String> {
    let mut segments: Vec<&str> =
        if relative.starts_with('/') { Vec::new() } else { split(base).collect() };
    for segment in split(relative) {
        match segment {
            "." => {}
            ".." => {
                segments.pop()?;
            }
            name => segments.push(name),
        }
    }
    Some(segments.join("/"))
}

/// Whether a path is the folder or lies below it.
pub(crate) fn is_within(path: &str, folder: &str) -> bool {
    folder.is_empty()
        || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The last segment.
pub(crate) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn split(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_followed_lexically_and_never_above_the_root() {
        let joined = |base, relative| join(base, relative).unwrap_or_else(|| "-".to_owned());
        assert_eq!(joined("a/b", "../c/./d.yaml"), "a/c/d.yaml");
        assert_eq!(joined("a", "../.."), "-");
        assert_eq!(joined("a", "/x//y"), "x/y");
        assert_eq!(joined("a", ".."), "");
        assert!(is_within("a/b", "a") && is_within("a", "a") && !is_within("ab", "a"));
    }
}
