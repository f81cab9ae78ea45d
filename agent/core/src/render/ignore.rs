//! `.leewardignore`: gitignore syntax, one file a directory, the deepest one
//! that has something to say decides. As in Git, what lies in an ignored
//! directory cannot be taken back.

use std::collections::BTreeMap;

use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};

/// Bytes of one ignore file; people write a few hundred.
const FILE_BYTES_MAX: usize = 64 << 10;

/// Patterns of one ignore file: each becomes part of a regular expression.
const PATTERNS_MAX: usize = 1_000;

/// The ignore files of a folder, by the directory that they lie in.
#[derive(Default)]
pub(crate) struct IgnoreRules {
    by_directory: BTreeMap<String, Gitignore>,
    /// Directories that have been asked about, with the answer.
    known: BTreeMap<String, bool>,
}

/// A line that cannot be used, counted from 1.
pub(super) struct IgnoreFault {
    pub(super) line: u32,
    pub(super) message: String,
}

impl IgnoreRules {
    /// Takes up the ignore file that lies in `directory` (empty for the folder itself).
    pub(super) fn add(&mut self, directory: &str, content: &[u8]) -> Result<(), IgnoreFault> {
        let fault = |line: usize, message: &str| IgnoreFault {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            message: message.to_owned(),
        };
        if content.len() > FILE_BYTES_MAX {
            return Err(fault(1, "an ignore file has at most 64 KiB"));
        }
        let text = str::from_utf8(content).map_err(|_| fault(1, "the file is not UTF-8"))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.lines().count() > PATTERNS_MAX {
            return Err(fault(1, "an ignore file has at most 1,000 lines"));
        }
        let mut builder = GitignoreBuilder::new("");
        for (index, line) in text.lines().enumerate() {
            builder.add_line(None, line).map_err(|error| fault(index + 1, &error.to_string()))?;
        }
        let rules = builder.build().map_err(|error| fault(1, &error.to_string()))?;
        self.by_directory.insert(directory.to_owned(), rules);
        Ok(())
    }

    /// Whether a file, or a directory that it lies in, is ignored.
    pub(crate) fn ignores(&mut self, path: &str) -> bool {
        if self.by_directory.is_empty() {
            return false;
        }
        for (at, _) in path.match_indices('/') {
            let directory = &path[..at];
            let known = self.known.get(directory).copied();
            let ignored = known.unwrap_or_else(|| self.decide(directory, true));
            if known.is_none() {
                self.known.insert(directory.to_owned(), ignored);
            }
            if ignored {
                return true;
            }
        }
        self.decide(path, false)
    }

    fn decide(&self, path: &str, is_directory: bool) -> bool {
        let mut end = path.len();
        while let Some(at) = path[..end].rfind('/').or_else(|| (end > 0).then_some(0)) {
            let relative = path[at..].strip_prefix('/').unwrap_or(&path[at..]);
            if let Some(rules) = self.by_directory.get(&path[..at]) {
                match rules.matched(relative, is_directory) {
                    Match::None => {}
                    Match::Ignore(_) => return true,
                    Match::Whitelist(_) => return false,
                }
            }
            end = at;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(rules: &[(&str, &str)], paths: &[&str]) -> String {
        let mut all = IgnoreRules::default();
        for (directory, content) in rules {
            assert!(all.add(directory, content.as_bytes()).is_ok());
        }
        paths
            .iter()
            .filter(|path| all.ignores(path))
            .map(|path| format!("{path}\n"))
            .collect::<Vec<_>>()
            .concat()
    }

    #[test]
    fn patterns_mean_what_they_mean_to_git() {
        let rules = "# comment\n*.bak.yaml\n/top.yaml\nbuild/\n!keep.bak.yaml\ndocs/*.yaml\n**/x/y.yaml\n\\#a.yaml\n";
        let paths = [
            "a.bak.yaml",
            "b/a.bak.yaml",
            "b/keep.bak.yaml",
            "top.yaml",
            "b/top.yaml",
            "build/a.yaml",
            "b/build/c/a.yaml",
            "build.yaml",
            "docs/a.yaml",
            "docs/b/a.yaml",
            "a/x/y.yaml",
            "#a.yaml",
        ];
        insta::assert_snapshot!(ignored(&[("", rules)], &paths), @r"
        a.bak.yaml
        b/a.bak.yaml
        top.yaml
        build/a.yaml
        b/build/c/a.yaml
        docs/a.yaml
        a/x/y.yaml
        #a.yaml
        ");
    }

    #[test]
    fn a_deeper_file_decides_but_cannot_reach_into_an_ignored_directory() {
        let rules =
            [("", "*.yaml\nold/\n"), ("a", "!b.yaml\n"), ("a/c", "b.yaml\n"), ("old", "!*\n")];
        let paths = ["b.yaml", "a/b.yaml", "a/d.yaml", "a/c/b.yaml", "a/e/b.yaml", "old/b.yaml"];
        insta::assert_snapshot!(ignored(&rules, &paths), @r"
        b.yaml
        a/d.yaml
        a/c/b.yaml
        old/b.yaml
        ");
    }

    #[test]
    fn a_pattern_that_cannot_be_used_is_named_with_its_line() {
        let fault = IgnoreRules::default().add("", b"ok\na{b\n").unwrap_err();
        assert_eq!(fault.line, 2);
    }

    #[test]
    fn an_ignore_file_is_bounded() {
        let lines = IgnoreRules::default().add("", "a\n".repeat(1_001).as_bytes()).unwrap_err();
        let bytes = IgnoreRules::default().add("", "a".repeat(70_000).as_bytes()).unwrap_err();
        assert_eq!(
            [lines.message, bytes.message],
            ["an ignore file has at most 1,000 lines", "an ignore file has at most 64 KiB"]
        );
    }
}
