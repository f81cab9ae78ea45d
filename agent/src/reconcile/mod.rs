//! The loop: wait → observe → ask core → carry out → record.
