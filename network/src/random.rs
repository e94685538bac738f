//! Numbers for jitter and transaction identifiers: not for keys.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

/// A generator that is a plain value, so that a test can fix what it yields
/// (Vigna's xorshift64*).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// Starts from the kernel's random numbers; from `fallback` when there are none.
    pub fn from_kernel(fallback: u64) -> Self {
        let mut seed = [0; 8];
        match File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut seed)) {
            Ok(()) => Self::new(u64::from_ne_bytes(seed)),
            Err(_) => Self::new(fallback),
        }
    }

    /// Another generator, of its own.
    pub fn fork(&mut self) -> Self {
        Self::new(self.next())
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
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
    fn a_seed_of_zero_yields_numbers() {
        let mut random = Random::new(0);
        assert_ne!(random.next(), random.next());
    }
}
