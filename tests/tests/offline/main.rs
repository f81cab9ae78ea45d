//! No link, no power, no API server: what goes on all the same, and what is
//! told when the link returns.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod fetching;
mod reports;
mod restart;
mod upgrade;
