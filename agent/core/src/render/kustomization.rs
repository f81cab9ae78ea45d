//! A folder with a kustomization: what it builds to, from what has been fetched.

use leeward_kustomize::{BuildError, Found, Object, Options, ReadError, build};

use super::{Files, yaml};

/// Builds the kustomization in `folder`. `paths` are all files below the root
/// of `files`, sorted; what a kustomization refers to must be one of them.
pub(super) fn built(
    files: &dyn Files,
    paths: &[String],
    folder: &str,
) -> Result<Vec<Object>, Box<BuildError>> {
    // The plan has an order of its own.
    build(&Fetched { files, paths }, folder, &Options::default()).map(|built| built.objects)
}

/// The object as a tree again, for the checks that every manifest passes.
pub(super) fn node(object: &Object) -> yaml::Node {
    let mark = yaml::Mark { line: object.line, column: u32::from(object.line > 0) };
    yaml::Node::of_json(&object.value, mark)
}

/// What has been fetched, as Kustomize looks at it.
struct Fetched<'f> {
    files: &'f dyn Files,
    paths: &'f [String],
}

impl leeward_kustomize::Files for Fetched<'_> {
    fn look(&self, path: &str) -> Result<Found, ReadError> {
        let at = self.paths.partition_point(|known| known.as_str() < path);
        if self.paths.get(at).is_some_and(|known| known == path) {
            return Ok(Found::File(path.to_owned()));
        }
        let folder = format!("{path}/");
        let at = self.paths.partition_point(|known| known.as_str() < folder.as_str());
        let is_folder =
            path.is_empty() || self.paths.get(at).is_some_and(|known| known.starts_with(&folder));
        Ok(if is_folder { Found::Folder(path.to_owned()) } else { Found::Nothing })
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let read = self.files.read(path);
        read.map_err(|error| ReadError { message: error.message, missing: error.missing })
    }

    fn shown(&self, path: &str) -> String {
        match self.files.shown(path) {
            shown if shown.is_empty() => ".".to_owned(),
            shown => shown,
        }
    }
}

#[cfg(test)]
mod tests {
    use leeward_kustomize::Files as _;

    use super::*;

    #[test]
    fn a_folder_is_what_files_lie_below() {
        let files = std::collections::BTreeMap::<String, Vec<u8>>::new();
        let paths = ["a-b.yaml", "a.yaml", "a/b/c.yaml"].map(str::to_owned);
        let fetched = Fetched { files: &files, paths: &paths };
        let known = ["", "a", "a/b", "a/b/c.yaml", "a.yaml"];
        assert_eq!(known.map(|path| fetched.look(path) != Ok(Found::Nothing)), [true; 5]);
        assert_eq!(
            ["b", "a/c", "a/b/c", "a-b"].map(|path| fetched.look(path) != Ok(Found::Nothing)),
            [false; 4]
        );
    }
}
