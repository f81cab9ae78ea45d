//! The life of a revision as one total, pure function.

mod record;

pub use record::{AppRecord, RevisionRecord, SourceRecord};
