//! The life of a revision as one total, pure function (docs/ARCHITECTURE.md §2).
//!
//! `record` is what survives a power cut, `app` what one process knows beyond
//! that, `step` the only thing that moves either, and `work` says what is to
//! be done next. Nothing here reads a clock or starts any work.

mod app;
mod applied;
mod apply;
mod heal;
mod held;
mod kept;
mod pin;
mod poll;
mod record;
mod retries;
mod step;
mod view;
mod way_back;
mod work;

#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;

pub use leeward_wire::{RevisionRecord, RevisionVerdict};

pub use crate::gate::{Hold, HoldReason};
pub use app::{App, AppHealth, Now};
pub use apply::{
    ApplyStep, Applying, FOUNDATION_POLL, Gate, HEARD_WITHIN, LOOK_AGAIN, PATIENCE, SENT_AT_ONCE,
    gate,
};
pub use heal::{Departure, Drift, Drifted, Remedy, departure, judge, record_heal, remedy};
pub use kept::{NoSuchRevision, roll_back_to};
pub use pin::{KeptEvent, Pin};
pub use poll::{PollPlan, next_poll};
pub use record::{AppRecord, BadRecord, GoodRecord, MAX_BAD, Pause, Phase, SourceRecord, Stuck};
pub use step::{AppEvent, ApplyCounts, Effect, due, step};
pub use view::{Awaited, Progress, View, is_well};
pub use work::{Work, next_work};
