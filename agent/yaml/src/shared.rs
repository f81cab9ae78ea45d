//! Scalars that upstream keeps once and shows in several places.
//!
//! Kustomize puts one YAML node wherever a label or an annotation goes: on the
//! object, into its selector, into its template. What is written to one of
//! these places later, by an overlay or a patch, is in all of them.

/// Which of the shared scalars of one object a scalar is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shared(u32);

const WRITTEN: u32 = 1 << 31;

/// Scalars that differ only in the places that they are shared with are equal.
impl PartialEq for Shared {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Shared {}

impl Shared {
    /// A number of 0 is that of a scalar that is shared with none.
    pub(crate) fn of(number: u32) -> Self {
        Self(number & !WRITTEN)
    }

    pub(crate) fn number(self) -> u32 {
        self.0 & !WRITTEN
    }

    /// Returns whether a value was written to this place, and not yet to the others.
    pub(crate) fn is_written(self) -> bool {
        self.0 & WRITTEN != 0
    }

    /// Returns the number with the note that a value was written to this place.
    pub(crate) fn written(self) -> Self {
        if self.0 == 0 { self } else { Self(self.0 | WRITTEN) }
    }
}
