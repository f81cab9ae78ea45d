//! Kustomize 5.8 in Rust: files in, objects out.
//!
//! [`build`] does what `kustomize build` does, from a folder of [`Files`] and
//! within [`Limits`]. It is pure and synchronous: it reads through the trait
//! alone, starts nothing, and asks no network. What would need either (Helm
//! charts, functions in containers, remote bases) is an error that says so.
//!
//! Reading, from the outside in: `assemble` walks the kustomizations in
//! upstream's order, `load` reads resources, `transform` and `patch` change
//! them, `finish` names, links and orders them. The tables of upstream (field
//! specs, merge keys, scopes) are data in `config` and `schema`.

mod assemble;
mod budget;
mod config;
mod decode;
mod error;
mod fieldspec;
mod files;
mod finish;
mod generate;
mod id;
mod json;
mod kustomization;
mod load;
mod loader;
mod origin;
mod patch;
mod plugin;
mod replacement;
mod resmap;
mod resource;
mod schema;
mod select;
mod transform;

pub use assemble::{Build, Object, Options, Reorder, build};
pub use budget::Limits;
pub use error::{BuildError, Place, Problem};
pub use files::{Files, Found, ReadError};
pub use kustomization::FILE_NAMES;
pub use loader::LoadRestrictor;
