//! The documents of `leeward status` and `leeward why`, made of facts.
//!
//! Whoever knows the facts fills [`Facts`] and [`AppFacts`]; [`document`] makes
//! the answer of them, and [`digest`] decides whether it is worth a report.

mod app;
mod digest;
mod document;
mod facts;
mod why;
mod why_app;

#[cfg(test)]
mod tests;

pub use digest::digest;
pub use document::document;
pub use facts::{AppFacts, Configured, Facts, LinkView};
