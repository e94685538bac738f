//! The last exits of processes that PID 1 reaped and had not started itself, so
//! that a monitor that was dead at that moment learns of them.

use spec::control::{EXIT_RING, Exit};
use spec::proc_stat::Stat;
use std::collections::VecDeque;
use std::fs;
use sys::process::Ended;

/// The newest [`EXIT_RING`] exits.
#[derive(Debug, Default)]
pub struct Exits {
    ring: VecDeque<Exit>,
    last: u64,
}

impl Exits {
    /// Reaps a process that somebody else had started, and remembers how it ended. Its start
    /// time must be read while it is a zombie still.
    pub fn reap(&mut self, ended: Ended) -> Exit {
        let start = start_time(ended.pid);
        sys::process::reap(ended.pid);
        self.push(ended.pid, start, ended.status)
    }

    /// Adds an exit and returns it with its sequence number.
    fn push(&mut self, pid: i32, start_time: u64, status: i32) -> Exit {
        self.last += 1;
        let exit = Exit { seq: self.last, pid, start_time, status };
        if self.ring.len() == EXIT_RING {
            self.ring.pop_front();
        }
        self.ring.push_back(exit);
        exit
    }

    /// Those from a sequence number on, oldest first.
    pub fn from(&self, seq: u64) -> impl Iterator<Item = &Exit> {
        self.ring.iter().skip_while(move |exit| exit.seq < seq)
    }
}

/// When a process, a zombie perhaps, was started; 0 when it is gone.
fn start_time(pid: i32) -> u64 {
    // The name in it is any bytes: a program gives itself one, and the kernel cuts it anywhere.
    let stat = fs::read(format!("/proc/{pid}/stat")).ok();
    stat.and_then(|stat| Stat::parse(&String::from_utf8_lossy(&stat))).map_or(0, |stat| stat.start_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_start_time_whatever_its_name() {
        nix::sys::prctl::set_name(c"h\xff").unwrap();
        // A thread is found by its number as a process is.
        assert!(start_time(nix::unistd::gettid().as_raw()) > 0);
        assert_eq!(start_time(i32::MAX), 0);
    }

    #[test]
    fn the_ring_forgets_the_oldest_and_keeps_counting() {
        let mut exits = Exits::default();
        for pid in 1..=EXIT_RING as i32 + 2 {
            exits.push(pid, 7, 0);
        }
        assert_eq!(exits.from(0).count(), EXIT_RING);
        assert_eq!(exits.from(0).next().unwrap().seq, 3);
        let newest: Vec<i32> = exits.from(EXIT_RING as u64 + 1).map(|exit| exit.pid).collect();
        assert_eq!(newest, [EXIT_RING as i32 + 1, EXIT_RING as i32 + 2]);
        assert_eq!(exits.from(u64::MAX).count(), 0);
    }
}
