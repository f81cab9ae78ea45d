//! Everything that Leeward decides, as pure functions over plain data.
//!
//! Nothing here reads a clock, a file, a socket or a random number: time and
//! chance come in as arguments. That is what lets a year of bad weather be
//! simulated in a second. The shell around it is the `leeward` crate.
//!
//! Start with [`cycle`]: [`cycle::step`] moves an app by an event, and [`cycle::next_work`]
//! with [`cycle::Applying`] says what is to be done for it next.
//!
//! Imports flow down only: `status` → `cycle` → `gate` → `plan`; `cycle` → `health`, `report`;
//! `apps` → `render` → `git`; each of them → `model`. Ids, names and what others read are in
//! `leeward_wire`.

pub mod apps;
pub mod cycle;
pub mod gate;
pub mod git;
pub mod health;
pub mod model;
pub mod plan;
pub mod render;
pub mod report;
pub mod status;
