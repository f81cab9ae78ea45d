//! The loop: wait → observe → ask core → carry out → record.
//!
//! One loop owns every decision about the cluster; the poller beside it only
//! brings revisions into the store. Both are plain futures: `daemon` runs them
//! as tasks, the simulation runs them in virtual time. Nothing is spawned here.

mod apply;
mod commands;
mod desired;
mod given;
mod heal;
mod observe;
mod poller;
mod preflight;
mod prune;
mod reconciler;
mod record;
mod source;
mod status;
pub mod stored;
mod unblock;
mod view;

pub use commands::HISTORY;
pub use poller::{Ask, Elsewhere, PollOutcome, Poller};
pub use reconciler::{Beat, Channels, Hooks, Reconciler, Settings, Start};
