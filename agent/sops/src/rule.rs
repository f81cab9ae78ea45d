//! Which values of a file SOPS encrypted.

use regex::{Regex, RegexBuilder};

/// Bytes that one pattern may take compiled: a repository must not cost more.
const PATTERN_BYTES: usize = 1 << 20;

/// Which values of the file were encrypted. The order is that in which SOPS asks; each
/// that is given overrides those before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) unencrypted_suffix: Option<String>,
    pub(crate) encrypted_suffix: Option<String>,
    pub(crate) unencrypted_regex: Option<Regex>,
    pub(crate) encrypted_regex: Option<Regex>,
    /// Comments choose. What they chose is seen from the values themselves: one that
    /// was encrypted, and is not any more, is missing from the MAC or differs in it.
    pub(crate) by_comments: bool,
}

/// Holds when a file names no rule.
const DEFAULT_UNENCRYPTED_SUFFIX: &str = "_unencrypted";

impl Rules {
    /// Returns whether the value below these keys is encrypted. `looks_sealed`: it looks so.
    pub(crate) fn encrypts(&self, path: &[&str], looks_sealed: bool) -> bool {
        let any = |fits: &dyn Fn(&str) -> bool| path.iter().any(|key| fits(key));
        if self.by_comments {
            return looks_sealed;
        }
        let mut encrypts = true;
        let default = self.is_empty().then_some(DEFAULT_UNENCRYPTED_SUFFIX);
        if let Some(suffix) = self.unencrypted_suffix.as_deref().or(default) {
            encrypts = !any(&|key| key.ends_with(suffix));
        }
        if let Some(suffix) = &self.encrypted_suffix {
            encrypts = any(&|key| key.ends_with(suffix.as_str()));
        }
        if let Some(pattern) = &self.unencrypted_regex {
            encrypts &= !any(&|key| pattern.is_match(key));
        }
        if let Some(pattern) = &self.encrypted_regex {
            encrypts = any(&|key| pattern.is_match(key));
        }
        encrypts
    }

    fn is_empty(&self) -> bool {
        self.unencrypted_suffix.is_none()
            && self.encrypted_suffix.is_none()
            && self.unencrypted_regex.is_none()
            && self.encrypted_regex.is_none()
    }
}

/// Compiles a pattern of Go, whose syntax is ours but for corners that fail here.
pub(crate) fn pattern(text: &str) -> Option<Regex> {
    RegexBuilder::new(text).size_limit(PATTERN_BYTES).build().ok()
}
