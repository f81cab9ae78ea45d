//! SIGKILL at any instant: while objects are applied and pruned, and while a
//! revision comes in.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod applying;
mod fetching;
