//! The loop: what happened → what is decided → which errands are sent.
//!
//! One loop owns every decision about the cluster, and never waits for anything
//! outside. Four kinds of work go on beside it, and come back to it as events:
//!
//! - **Errands** (`errand`) are bounded pieces of work on one app, at most one
//!   for each: render and examine a candidate, send a part of a stage, look,
//!   delete, heal. They share one `budget` of requests to the API server, in
//!   which short work goes first.
//! - The **journal** (`journal`) writes what was decided while the loop goes
//!   on; what changes the cluster because of a decision waits until it is on disk.
//! - The **poller** ([`Poller`]) brings revisions into the store, at its own pace.
//! - **Watches** ([`crate::edge::Cluster::watch`]) say what changed in the cluster.
//!
//! [`Reconciler::run`] waits for the next event and takes it in (`returned`,
//! `sightings`, `source`, `commands`), then turns to each app (`turn`), asking
//! [`leeward_core::cycle`] what is to be done. All of it are plain futures:
//! `daemon` runs them as tasks, the simulation in virtual time. Nothing is
//! spawned here.

mod budget;
mod commands;
mod deleted;
mod errand;
mod garbage;
mod healing;
mod identity;
mod interface;
mod journal;
mod left_alone;
mod managed;
mod outside;
mod owners;
mod poller;
mod reconciler;
mod returned;
mod rollback;
mod sight;
mod sightings;
mod source;
mod status;
pub mod stored;
mod stuck;
mod turn;
mod variables;

pub use budget::IN_FLIGHT;
pub use commands::HISTORY;
pub use interface::{Beat, Channels, Hooks, Settings, Start};
pub use poller::{Ask, Elsewhere, PollOutcome, Poller};
pub use reconciler::Reconciler;
