//! What happened lately: a bounded ring of events, for those who ask and those who follow.

use spec::monitor::Reply;
use std::collections::VecDeque;

/// How many events are remembered.
const MOST: usize = 256;

/// An event with its number.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Counts up from 1.
    pub number: u64,
    /// Nanoseconds since 1970.
    pub time: u64,
    /// As a client is told: [`Reply::Event`] or [`Reply::Happened`].
    pub reply: Reply,
}

/// The ring.
#[derive(Debug, Default)]
pub struct Ring {
    entries: VecDeque<Entry>,
    last: u64,
}

impl Ring {
    /// Something happened.
    pub fn push(&mut self, time: u64, reply: Reply) {
        self.last += 1;
        if self.entries.len() == MOST {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { number: self.last, time, reply });
    }

    /// The number of the newest.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The number before the first one of this time or later.
    pub fn before(&self, time: u64) -> u64 {
        self.entries.iter().find(|entry| entry.time >= time).map_or(self.last, |entry| entry.number - 1)
    }

    /// The one after this number; or that it is forgotten.
    pub fn after(&self, number: u64) -> Result<Option<&Entry>, Forgotten> {
        let oldest = self.entries.front().map_or(self.last + 1, |entry| entry.number);
        if number + 1 < oldest {
            return Err(Forgotten);
        }
        Ok(self.entries.get(usize::try_from(number + 1 - oldest).unwrap_or(usize::MAX)))
    }
}

/// The ring has gone on without the reader.
#[derive(Debug, PartialEq, Eq)]
pub struct Forgotten;

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(count: u64) -> Ring {
        let mut ring = Ring::default();
        for time in 1..=count {
            ring.push(time * 10, Reply::Done);
        }
        ring
    }

    #[test]
    fn a_reader_goes_on_from_its_number() {
        let ring = ring(3);
        assert_eq!(ring.before(0), 0);
        assert_eq!(ring.before(20), 1);
        assert_eq!(ring.before(99), 3);
        assert_eq!(ring.after(1).unwrap().unwrap().number, 2);
        assert!(ring.after(3).unwrap().is_none());
        assert!(Ring::default().after(0).unwrap().is_none());
    }

    #[test]
    fn who_reads_too_slowly_is_told_so() {
        let ring = ring(MOST as u64 + 5);
        assert_eq!(ring.after(4).unwrap_err(), Forgotten);
        assert_eq!(ring.after(5).unwrap().unwrap().number, 6);
        assert_eq!(ring.entries.len(), MOST);
    }
}
