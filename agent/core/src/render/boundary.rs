//! What of the repository kustomizations may refer to outside of their app.

use std::collections::BTreeMap;

use super::path::below;

/// Where references end, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary {
    /// The source's path: what lies in it may always be referred to.
    pub path: String,
    /// Folders from the root of the repository (`source.allowed_roots`); an empty one is all of it.
    pub roots: Vec<String>,
    /// Folders that were not fetched, or not as a whole, and why.
    pub left_out: BTreeMap<String, String>,
}

/// Anything may be referred to.
impl Default for Boundary {
    fn default() -> Self {
        Self { path: String::new(), roots: vec![String::new()], left_out: BTreeMap::new() }
    }
}

impl Boundary {
    /// Why a path cannot be referred to.
    pub(super) fn refusal(&self, path: &str) -> Option<String> {
        let lies_in = |folder: &str| below(path, folder.trim_matches('/')).is_some();
        if !lies_in(&self.path) && !self.roots.iter().any(|root| lies_in(root)) {
            let allowed = match self.roots.as_slice() {
                [] => "it is empty".to_owned(),
                roots => format!("it has {}", roots.join(", ")),
            };
            return Some(format!(
                "source.allowed_roots of the agent does not allow it ({allowed}): \
                 add its folder there, or move it into one of these or into {}",
                if self.path.is_empty() { "the source's path" } else { &self.path }
            ));
        }
        let left_out = self.left_out.iter().find(|(folder, _)| lies_in(folder));
        left_out.map(|(_, why)| format!("it is not fetched: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boundary(roots: &[&str]) -> Boundary {
        Boundary {
            path: "clusters/shop".to_owned(),
            roots: roots.iter().map(ToString::to_string).collect(),
            left_out: BTreeMap::from([("base/large".to_owned(), "too large".to_owned())]),
        }
    }

    #[test]
    fn only_what_lies_in_a_root_or_in_the_path_may_be_referred_to() {
        let allows = |roots: &[&str], path: &str| boundary(roots).refusal(path).is_none();
        for path in ["base", "base/web", "components/x", "clusters/shop/common"] {
            assert!(allows(&["base", "components"], path), "{path}");
            assert!(allows(&[""], path), "{path}");
        }
        for path in ["bases", "", "clusters", "clusters/other", "base/large", "base/large/web"] {
            assert!(!allows(&["base", "components"], path), "{path}");
        }
        assert!(!allows(&[], "base") && allows(&[], "clusters/shop/common"));
        assert!(!allows(&["base/web"], "base"));
    }

    #[test]
    fn a_refusal_names_the_setting_what_it_has_and_what_to_do() {
        let said =
            [boundary(&["base", "parts"]).refusal("other/web"), boundary(&[]).refusal("base")];
        let large = boundary(&[""]).refusal("base/large/web");
        let said: Vec<String> = said.into_iter().chain([large]).flatten().collect();
        insta::assert_snapshot!(said.join("\n"), @r"
        source.allowed_roots of the agent does not allow it (it has base, parts): add its folder there, or move it into one of these or into clusters/shop
        source.allowed_roots of the agent does not allow it (it is empty): add its folder there, or move it into one of these or into clusters/shop
        it is not fetched: too large
        ");
    }
}
