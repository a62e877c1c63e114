//! Numbers that look random, and are the same for the same seed.

use std::cell::Cell;
use std::ops::Range;

/// A sequence of numbers: splitmix64.
#[derive(Debug)]
pub(super) struct Chance(Cell<u64>);

impl Chance {
    /// The sequence of a seed and whoever uses it.
    pub(super) fn new(seed: u64, of: &str) -> Self {
        let mixed = of.bytes().fold(seed, |mixed, byte| mix(mixed ^ u64::from(byte)));
        Chance(Cell::new(mixed))
    }

    fn next(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        mix(self.0.get())
    }

    /// One of these, each as likely as any.
    pub(super) fn of(&self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    /// Whether it is one of so many cases in a hundred.
    pub(super) fn percent(&self, cases: u64) -> bool {
        self.of(0..100) < cases
    }

    /// One of them.
    pub(super) fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        let at = usize::try_from(self.of(0..from.len() as u64)).expect("it is below a length");
        &from[at]
    }
}

fn mix(mut mixed: u64) -> u64 {
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_and_another_gives_others() {
        let numbers = |seed, of| {
            let chance = Chance::new(seed, of);
            (0..9).map(|_| chance.of(5..5000)).collect::<Vec<_>>()
        };
        assert_eq!(numbers(7, "a"), numbers(7, "a"));
        assert_ne!(numbers(7, "a"), numbers(8, "a"));
        assert_ne!(numbers(7, "a"), numbers(7, "b"));
        assert!(numbers(7, "a").iter().all(|it| (5..5000).contains(it)));
    }
}
