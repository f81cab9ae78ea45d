//! YAML as Kubernetes' tools read and write it: a tree with positions, the two
//! dialects in which scalars are read, and the emitter of `kustomize build`.
//!
//! Start with [`Documents`]: bytes and a [`Dialect`] in, one [`Node`] a document
//! out, each value with the [`Mark`] where it was written. [`Node::into_json`]
//! makes JSON of a tree, and [`emit::document`] prints JSON as YAML:
//!
//! ```
//! use leeward_yaml::{Dialect, Documents, Limits, emit};
//!
//! let text = b"kind: ConfigMap\ndata: {mode: 0644, on: yes}\n";
//! let mut documents =
//!     Documents::new(text, Dialect::Kubernetes, Limits::default()).map_err(|error| vec![error])?;
//! let node = documents.next().expect("there is a document")?;
//! assert_eq!(node.get("data").map(|data| data.mark.to_string()), Some("2:7".to_owned()));
//!
//! let value = node.into_json(Dialect::Kubernetes)?;
//! assert_eq!(emit::document(&value), "data:\n  mode: 420\n  \"true\": true\nkind: ConfigMap\n");
//! # Ok::<(), Vec<leeward_yaml::YamlError>>(())
//! ```
//!
//! Why there is a reader of our own: the crates that deserialise YAML read
//! `0644`, `yes` or merge keys each in its own way. Here the events of
//! `granit-parser` become a tree. Keys are read, aliases expanded and merge keys
//! merged while it grows, so that the result is plain JSON with positions.
//!
//! Input is not trusted: every text ends in a tree within [`Limits`] or in an
//! error with a position. JSON is read in the same way, since it is YAML too.

mod dialect;
mod documents;
pub mod edit;
pub mod emit;
mod error;
mod fold;
mod json;
mod limits;
mod node;
pub mod number;
mod resolve;
pub mod restyle;
mod set;
mod shared;
pub mod sort;
mod spread;
mod timestamp;
mod unique;

pub use dialect::{Dialect, Resolved};
pub use documents::Documents;
pub use error::{Problem, YamlError};
pub use limits::Limits;
pub use node::{Content, Entry, Mark, Node, Scalar, Style, Tag};
pub use unique::Duplicates;

/// Characters of a wrong value that a message repeats at most. It shows which value is
/// meant, and no more: a text can be a megabyte long.
const ECHO_MAX: usize = 60;

#[cfg(test)]
mod tests;
