//! Numbers for jitter and transaction identifiers: not for keys.

use std::time::Duration;

/// A generator that is a plain value, so that a test can fix what it yields
/// (Vigna's xorshift64*); on a node each number is the kernel's, for whoever sees some could tell the next.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
    of_kernel: bool,
}

impl Random {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed | 1, of_kernel: false }
    }

    /// The kernel's random numbers; those that start from `fallback` when there are none.
    pub fn from_kernel(fallback: u64) -> Self {
        Self { of_kernel: true, ..Self::new(fallback) }
    }

    /// Another generator, of its own.
    pub fn fork(&mut self) -> Self {
        Self { of_kernel: self.of_kernel, ..Self::new(self.next()) }
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        if self.of_kernel
            && let Ok(number) = sys::random::number()
        {
            return number;
        }
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, which is at least 1.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// A time between three and five quarters of `about`, so that machines that
    /// start together do not ask together.
    pub fn around(&mut self, about: Duration) -> Duration {
        let half = about.as_millis() as u64 / 2;
        about - Duration::from_millis(half / 2) + Duration::from_millis(self.below(half + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_a_quarter_and_moves() {
        let mut random = Random::new(7);
        let times: Vec<u128> = (0..1000).map(|_| random.around(Duration::from_secs(4)).as_millis()).collect();
        assert!(times.iter().all(|time| (3000..=5000).contains(time)));
        assert!(times.iter().min() < Some(&3100) && times.iter().max() > Some(&4900));
    }

    #[test]
    fn the_kernels_numbers_do_not_follow_from_a_seed() {
        let mut twins = [Random::from_kernel(7), Random::from_kernel(7)];
        assert_ne!(twins[0].next(), twins[1].next());
        let [mut one, mut other] = twins.map(|mut random| random.fork());
        assert_ne!(one.next(), other.next());
        let mut copy = one.clone();
        assert_ne!(one.next(), copy.next());
    }

    #[test]
    fn a_seed_of_zero_yields_numbers() {
        let mut random = Random::new(0);
        assert_ne!(random.next(), random.next());
    }
}
