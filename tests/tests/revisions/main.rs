//! From a commit to a good cluster, and back from a bad one: the agent as a
//! process, a real git server, a real control plane.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod bad;
mod bases;
mod change;
mod commands;
mod contract;
mod first_sync;
mod given;
mod guard;
mod judges;
mod moves;
mod outside;
mod owners;
mod pinned;
mod prunes;
mod rollback;
mod roots;
mod sealed;
mod served;
mod several;
mod way_back;
