//! The life of a revision as one total, pure function (docs/ARCHITECTURE.md §2).
//!
//! `record` is what survives a power cut, `app` what one process knows beyond
//! that, `step` the only thing that moves either, and `work` says what is to
//! be done next. Nothing here reads a clock or starts any work.

mod app;
mod poll;
mod record;
mod step;
mod work;

#[cfg(test)]
mod tests;

pub use leeward_wire::{RevisionRecord, RevisionVerdict};

pub use app::{App, AppHealth, Now};
pub use poll::{PollPlan, next_poll};
pub use record::{
    AppRecord, BadRecord, GoodRecord, Hold, HoldReason, MAX_BAD, Pause, Phase, SourceRecord,
};
pub use step::{AppEvent, ApplyCounts, Effect, due, step};
pub use work::{Work, next_work};
