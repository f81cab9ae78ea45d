//! Objects at fault and fields that differ, for reports and people.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An object that is at fault, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectFault {
    /// `Deployment.apps shop/web`, `Namespace shop`; absent when a file is at fault.
    pub object: Option<String>,
    /// `file:line[:column]` in the repository, when known.
    pub origin: Option<String>,
    pub message: String,
}

impl ObjectFault {
    /// `object` is the key of an object, or anything that prints as one.
    pub fn of_object(object: &impl fmt::Display, message: impl Into<String>) -> Self {
        Self { object: Some(object.to_string()), origin: None, message: message.into() }
    }
}

/// Reads as one line: `Deployment.apps shop/web (web.yaml:1): image not found`.
impl fmt::Display for ObjectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.object, &self.origin) {
            (Some(object), Some(origin)) => write!(f, "{object} ({origin}): {}", self.message),
            (Some(place), None) | (None, Some(place)) => write!(f, "{place}: {}", self.message),
            (None, None) => f.write_str(&self.message),
        }
    }
}

/// One field that differs from what Git declares, or declared before. Values
/// are JSON, cut to a bounded length, and masked for Secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// RFC 6901 pointer into the object; empty when the whole object is gone.
    pub path: String,
    /// What it was before drift: the value that Git declares, or that the first of
    /// two revisions does.
    pub old: Option<String>,
    /// What it was changed to.
    pub new: Option<String>,
    /// The field manager that changed it, when the managed fields say so.
    pub manager: Option<String>,
}
