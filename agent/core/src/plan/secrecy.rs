//! What of an object is shown to people, and how much of a value.

use serde_json::Value;

pub(super) use crate::model::MASK;
use crate::model::Manifest;

/// Values are cut to this many characters: a report is not a copy of the cluster.
pub(super) const SHOWN_CHARACTERS: usize = 200;
/// Stands where a value would that is not the one that it is compared with.
pub(super) const MASK_OF_ANOTHER: &str = "<masked, differs>";
/// A whole copy of the object, secret values included.
const LAST_APPLIED: &str =
    "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";

/// What of an object is not shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Secrecy {
    None,
    /// A Secret's own fields.
    Data,
    /// What was decrypted, and need not be in those: any field may hold it.
    Whole,
}

impl Secrecy {
    pub(super) fn of(manifest: &Manifest) -> Self {
        match (manifest.key.is("", "Secret"), manifest.secret) {
            (true, _) => Self::Data,
            (false, true) => Self::Whole,
            (false, false) => Self::None,
        }
    }

    /// Whether the field at `path` (RFC 6901) is masked.
    pub(super) fn masks(self, path: &str) -> bool {
        let in_field = |field: &str| {
            path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        match self {
            Self::None => false,
            Self::Data => in_field("/data") || in_field("/stringData") || in_field(LAST_APPLIED),
            Self::Whole => true,
        }
    }
}

/// A value as JSON, cut.
pub(super) fn shown(value: &Value) -> String {
    cut(&value.to_string())
}

/// Cut to what is shown of a value.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
