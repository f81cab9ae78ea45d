//! The cluster changes and Git does not: what is healed, what is left alone,
//! and what is said about it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod annotated;
mod contract;
mod ended;
mod fields;
mod fights;
mod foundations;
mod healed;
mod judged;
mod left_alone;
mod shared;
mod told;
