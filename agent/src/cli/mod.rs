//! The only place that prints: one file a verb.
