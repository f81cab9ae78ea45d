//! Chance for the whole shell: the one place that asks the machine for it.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
};

use leeward_core::model::Chance;

/// Returns a different number at every call.
pub fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Draws from 0.0 to 1.0. Good enough to spread a fleet; nothing secret hangs on it.
pub fn draw() -> f64 {
    Chance::new(seed()).draw()
}
