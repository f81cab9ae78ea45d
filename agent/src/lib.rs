//! The shell of Leeward: everything that does I/O. What is decided is decided
//! in `leeward_core`; here it is carried out and recorded.
//!
//! Imports flow down only: `cli` → `daemon` → `reconcile` → {`source`,
//! `cluster`, `store`, `report`, `age_keys`} → `edge`, `config` → `leeward_core`. Siblings
//! do not import each other (`report` may read the outbox).

pub mod age_keys;
pub mod chance;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod daemon;
pub mod edge;
pub mod metrics;
pub mod reconcile;
pub mod report;
pub mod source;
pub mod store;
