//! The shell of Leeward: everything that does I/O. What is decided is decided
//! in `leeward_core`; here it is carried out and recorded.
//!
//! Imports flow down only: `cli` → `daemon` → {`reconcile`, `source`, `cluster`,
//! `report`} → {`store`, `edge`} → `config`. Siblings do not import each other:
//! the loop knows the source and the cluster by the traits in `edge`, and
//! `daemon` joins them.

pub mod age_keys;
pub mod chance;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod daemon;
pub mod edge;
pub mod log;
pub mod metrics;
pub mod offload;
pub mod reconcile;
pub mod report;
pub mod source;
pub mod store;
