//! Random choices that can be made again: each test prints the seed that it drew.

use bellwire::clock::Clock;

/// A small generator (`SplitMix64`, public domain), good enough to shuffle and to choose a moment.
pub struct Dice(u64);

impl Dice {
    /// Draws a seed and prints it, for the report of a test that fails; `BELLWIRE_TEST_SEED` chooses it instead.
    pub fn new(what: &str) -> Self {
        let chosen = std::env::var("BELLWIRE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = chosen.unwrap_or_else(|| {
            let mut bytes = [0; 8];
            Clock::system().random(&mut bytes);
            u64::from_le_bytes(bytes)
        });
        println!("{what}: BELLWIRE_TEST_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of this range.
    pub fn roll(&mut self, range: std::ops::Range<usize>) -> usize {
        let sides = u64::try_from(range.len()).expect("a range");
        range.start + usize::try_from(self.next() % sides).expect("a number")
    }

    /// Puts things into a random order.
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, self.roll(0..last + 1));
        }
    }
}
