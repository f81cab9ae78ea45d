//! Numbers that spread a fleet.

/// Draws numbers from a seed. They spread load and guard nothing: whoever
/// knows one knows the next.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        // A state of zero would stay zero.
        Self(seed.max(1))
    }

    /// Draws from 0.0 to 1.0.
    pub fn draw(&mut self) -> f64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        f64::from(u32::try_from(bits).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_spread_from_zero_to_one_whatever_the_seed() {
        for seed in [0, 1, u64::MAX] {
            let mut chance = Chance::new(seed);
            let mut tenths = [0_u32; 10];
            for _ in 0..10_000 {
                let drawn = chance.draw();
                assert!((0.0..=1.0).contains(&drawn));
                let tenth = (0..10_u8).rev().find(|tenth| drawn * 10.0 >= f64::from(*tenth));
                tenths[usize::from(tenth.unwrap_or(0))] += 1;
            }
            assert!(tenths.iter().all(|count| (800..1200).contains(count)), "{tenths:?}");
        }
    }
}
