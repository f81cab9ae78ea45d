//! The bytes of the fuzzer as choices, from which structured input is made.

/// Ends in zeros, so that every input is a whole one.
#[derive(Debug)]
pub(crate) struct Dice<'b> {
    bytes: &'b [u8],
}

impl<'b> Dice<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self.bytes {
            [] => 0,
            [first, rest @ ..] => {
                self.bytes = rest;
                *first
            }
        }
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let byte = usize::from(self.byte());
        if limit <= 256 {
            byte % limit.max(1)
        } else {
            (byte << 8 | usize::from(self.byte())) % limit
        }
    }

    pub(crate) fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Some of the bytes that follow.
    pub(crate) fn take(&mut self, most: usize) -> &'b [u8] {
        let count = self.below(most + 1).min(self.bytes.len());
        let (taken, rest) = self.bytes.split_at(count);
        self.bytes = rest;
        taken
    }

    pub(crate) fn rest(&mut self) -> &'b [u8] {
        std::mem::take(&mut self.bytes)
    }
}
