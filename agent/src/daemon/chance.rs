//! The dice: good enough to spread a fleet; nothing secret hangs on them.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
};

/// Draws from 0.0 to 1.0.
pub(super) fn chance() -> impl FnMut() -> f64 {
    let state = RandomState::new();
    let mut count = 0_u64;
    move || {
        count += 1;
        let mut hasher = state.build_hasher();
        hasher.write_u64(count);
        let draw = u32::try_from(hasher.finish() >> 32).unwrap_or(0);
        f64::from(draw) / f64::from(u32::MAX)
    }
}

/// Any number.
pub(super) fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
