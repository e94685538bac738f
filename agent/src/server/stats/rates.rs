//! How much processor is used now: the difference of two readings. The one before is remembered
//! for each cgroup; where there is none, it is the average since the beginning.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A reading is replaced when it is so old, in nanoseconds.
const AGE: u64 = 5_000_000_000;

/// What is remembered.
#[derive(Debug, Default)]
pub struct Rates(Mutex<BTreeMap<PathBuf, Reading>>);

#[derive(Clone, Copy, Debug)]
struct Reading {
    time: u64,
    cpu: u64,
    /// Of the time before it.
    rate: u64,
}

impl Rates {
    /// Billionths of a processor that a cgroup uses; `cpu` in microseconds at `time`, in
    /// nanoseconds since 1970; `started` in seconds.
    pub fn of(&self, cgroup: &Path, time: u64, cpu: u64, started: u64) -> u64 {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.get(cgroup).copied().filter(|before| before.cpu <= cpu && before.time <= time);
        let rate = match before {
            Some(before) if time - before.time < AGE => return before.rate,
            Some(before) => rate(cpu - before.cpu, time - before.time),
            None => rate(cpu, time.saturating_sub(started.saturating_mul(1_000_000_000))),
        };
        known.insert(cgroup.to_owned(), Reading { time, cpu, rate });
        rate
    }

    /// Forgets cgroups that are gone.
    pub fn keep(&self, is_there: impl Fn(&Path) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|path, _| is_there(path));
    }
}

fn rate(microseconds: u64, nanoseconds: u64) -> u64 {
    let thousandths = u128::from(microseconds) * 1000 * 1_000_000_000;
    u64::try_from(thousandths / u128::from(nanoseconds.max(1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_time_since_the_last_reading() {
        let (rates, path, second) = (Rates::default(), Path::new("a"), 1_000_000_000);
        assert_eq!(rates.of(path, 110 * second, 1_000_000, 100), second / 10, "since its start");
        assert_eq!(rates.of(path, 111 * second, 9_000_000, 100), second / 10, "too soon");
        assert_eq!(rates.of(path, 120 * second, 6_000_000, 100), second / 2);
        assert_eq!(rates.of(path, 130 * second, 0, 130), 0, "a new cgroup of that name");
        rates.keep(|_| false);
        assert_eq!(rates.of(path, 140 * second, 1_000_000, 130), second / 10);
    }
}
