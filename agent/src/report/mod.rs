//! Drains the outbox to its receiver.
