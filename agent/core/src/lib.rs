//! Everything that Leeward decides, as pure functions over plain data.
//!
//! Nothing here reads a clock, a file, a socket or a random number: time and
//! chance come in as arguments. That is what lets a year of bad weather be
//! simulated in a second. The shell around it is the `leeward` crate.
//!
//! Imports flow down only: `cycle` → `report`, `render` → `git`, and all of them, `plan` and
//! `health` → `model`. The shell brings together what the rooms decide.

pub mod cycle;
pub mod git;
pub mod health;
pub mod model;
pub mod plan;
pub mod render;
pub mod report;
