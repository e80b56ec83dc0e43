//! Random choices that a seed repeats.

use std::ops::Range;
use std::time::Duration;

/// A small generator (`SplitMix64`, public domain): good enough to choose who does what.
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    /// Those of a part of the run; other parts have others of the same seed.
    pub fn new(seed: u64, part: u64) -> Self {
        let mut dice = Self(seed);
        Self(dice.draw() ^ Self(part).draw())
    }

    /// Others, for what goes on beside.
    pub fn fork(&mut self) -> Self {
        Self(self.draw())
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `sides`; 0 if there are none.
    pub fn below(&mut self, sides: usize) -> usize {
        let drawn = self.draw() % u64::try_from(sides.max(1)).unwrap_or(u64::MAX);
        usize::try_from(drawn).unwrap_or_default()
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these; there must be one.
    pub fn choose<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len())]
    }

    /// A time of so many milliseconds.
    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.draw() % (range.end - range.start).max(1))
    }

    /// Around a time: from half of it to one and a half.
    pub fn around(&mut self, time: Duration) -> Duration {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.millis(millis / 2..millis + millis / 2)
    }

    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, self.below(last + 1));
        }
    }
}
