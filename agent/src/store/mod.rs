//! redb: objects, revisions, inventory, phases, outbox.
