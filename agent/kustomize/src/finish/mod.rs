//! What is done once, when all objects are there: suffixes of hashes,
//! references to names, variables, the order.

mod hash;
mod order;
mod reference;
mod variable;

pub(crate) use hash::add_hashes;
pub(crate) use order::sort;
pub(crate) use reference::fix_references;
pub(crate) use variable::{Variables, resolve_variables};
