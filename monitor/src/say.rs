//! The monitor's lines for the console, on its standard output, which PID 1
//! reads. A reader that does not keep up, a stopped terminal perhaps, never
//! stops the monitor: lines are then dropped, and their number is told later.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{Write, stdout};
use std::os::fd::AsFd;

/// Longest line: what a pipe takes in one piece once it polls writable.
const LONGEST: usize = 4096;

/// The way to the console.
#[derive(Debug, Default)]
pub struct Console {
    dropped: u64,
}

impl Console {
    /// Prints one line, cut to [`LONGEST`] bytes; line breaks become spaces.
    pub fn say(&mut self, line: &str) {
        if !takes_a_line() {
            self.dropped += 1;
            return;
        }
        if self.dropped > 0 {
            let count = std::mem::take(&mut self.dropped);
            print(&format!("monitor: lines dropped because nobody read them: {count}"));
            return self.say(line);
        }
        print(line);
    }
}

fn print(line: &str) {
    let mut bytes: Vec<u8> = line.replace('\n', " ").into_bytes();
    bytes.truncate(LONGEST - 1);
    bytes.push(b'\n');
    let mut out = stdout();
    let _ = out.write_all(&bytes).and_then(|()| out.flush());
}

fn takes_a_line() -> bool {
    let out = stdout();
    let mut polled = [PollFd::new(out.as_fd(), PollFlags::POLLOUT)];
    let ready = poll(&mut polled, PollTimeout::ZERO);
    ready.is_ok_and(|count| count > 0)
}
