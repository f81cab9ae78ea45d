//! Which other folders of the repository the kustomizations of a folder refer to.

use std::{cell::RefCell, collections::BTreeSet};

use super::{
    Files,
    faults::Faults,
    kustomization,
    path::below,
    select::{ignore_rules, select},
};

/// Paths from the root of the repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// Looked for and found in what lies around the folder.
    pub found: BTreeSet<String>,
    /// Looked for and not there: to be fetched, or a mistake.
    pub missed: BTreeSet<String>,
    /// Beyond the boundary, whether it is there or not.
    pub refused: BTreeSet<String>,
}

/// Builds every kustomization of the folder and notes what it looks for
/// outside. What is wrong with them is for the rendering to tell. `whole`:
/// folders around it of which everything is there.
///
/// A build ends at the first thing that it misses, so this is asked again with
/// that fetched, until nothing new is missed.
pub fn outside(files: &dyn Files, whole: &[&str]) -> Outside {
    let Ok(paths) = files.list() else { return Outside::default() };
    let mut rules = ignore_rules(files, &paths, &mut Faults::new(0));
    let looks = RefCell::default();
    for folder in select(&paths, &mut rules).kustomizations {
        drop(kustomization::watched(files, &paths, folder, &looks));
    }
    let kustomization::Looks { found, mut missed, refused } = looks.into_inner();
    let at = files.around().map_or("", |around| around.at);
    // What holds the folder itself would be a cycle, and the whole fleet besides.
    missed.retain(|path| below(at, path).is_none());
    missed.retain(|path| !whole.iter().any(|whole| below(path, whole).is_some()));
    Outside { found, missed, refused }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::render::{Around, Boundary, FileContent, FileError, Request, folder};

    type Memory = BTreeMap<String, Vec<u8>>;

    struct Placed {
        own: Memory,
        others: Memory,
        boundary: Boundary,
    }

    impl Files for Placed {
        fn list(&self) -> Result<Vec<String>, FileError> {
            self.own.list()
        }

        fn read(&self, path: &str) -> Result<FileContent, FileError> {
            self.own.read(path)
        }

        fn around(&self) -> Option<Around<'_>> {
            let Self { others, boundary, .. } = self;
            Some(Around { at: "clusters/shop", others, boundary })
        }
    }

    fn memory(files: &[(&str, &str)]) -> Memory {
        let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), text.as_bytes().to_vec());
        files.iter().map(owned).collect()
    }

    const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

    #[test]
    fn an_overlay_asks_for_its_base_and_then_for_what_that_refers_to() {
        let overlay = "namePrefix: x-\nresources: [../../base]\n";
        let own = memory(&[("kustomization.yaml", overlay)]);
        let mut placed = Placed { own, others: Memory::new(), boundary: Boundary::default() };
        let missed = |placed: &Placed, whole: &[&str]| -> Vec<String> {
            outside(placed, whole).missed.into_iter().collect()
        };
        assert_eq!(missed(&placed, &[]), ["base"]);
        let base = "resources: [a.yaml]\ncomponents: [../parts/b]\n";
        placed.others = memory(&[("base/kustomization.yaml", base), ("base/a.yaml", MAP)]);
        assert_eq!(missed(&placed, &["base"]), ["parts/b"]);
        let component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n\
            commonAnnotations: { a: b }\n";
        placed.others.extend(memory(&[("parts/b/kustomization.yaml", component)]));
        assert_eq!(missed(&placed, &["base", "parts/b"]), [""; 0]);
        let rendered = folder(&Request::of(&placed)).unwrap();
        assert_eq!(rendered[0].key.name, "x-a");
        assert_eq!(rendered[0].origin.file, "base/a.yaml");
    }

    #[test]
    fn a_folder_that_holds_the_app_is_never_asked_for() {
        let own = memory(&[("kustomization.yaml", "resources: [.., ../../..]\n")]);
        let placed = Placed { own, others: Memory::new(), boundary: Boundary::default() };
        assert_eq!(outside(&placed, &[]), Outside::default());
    }
    #[test]
    fn what_is_beyond_the_boundary_is_not_asked_for_and_not_used_though_it_is_there() {
        let own = memory(&[("kustomization.yaml", "\nresources:\n- ../../base\n")]);
        let base = [("base/kustomization.yaml", "resources: [a.yaml]\n"), ("base/a.yaml", MAP)];
        let boundary = Boundary { roots: vec!["parts".to_owned()], ..Boundary::default() };
        let boundary = Boundary { path: "clusters/shop".to_owned(), ..boundary };
        let placed = Placed { own, others: memory(&base), boundary };
        let outside = outside(&placed, &[]);
        assert_eq!((outside.found.len(), outside.missed.len()), (0, 0));
        assert!(outside.refused.contains("base"));
        let error = folder(&Request::of(&placed)).unwrap_err();
        insta::assert_snapshot!(error, @"kustomization.yaml:3:3: base cannot be read: source.allowed_roots of the agent does not allow it (it has parts): add its folder there, or move it into one of these or into clusters/shop");
    }
}
