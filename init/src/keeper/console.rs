//! What the keeper tells people: lines on its standard output, in place of PID 1's console.

use nix::time::{ClockId, clock_gettime};
use std::io::{Write, stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Time since the machine started.
pub fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}

/// Where the process that writes logs says what it has to say.
pub fn descriptor() -> Option<OwnedFd> {
    stdout().as_fd().try_clone_to_owned().ok()
}

/// It is there.
pub fn open() {}

/// Nothing waits.
pub fn flush() {}

/// Says a line that people must see.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => { $crate::console::output("", &format!($($words)*)) };
}

/// Says how things go.
#[macro_export]
macro_rules! status {
    ($($words:tt)*) => { $crate::console::output("", &format!($($words)*)) };
}

/// Prints one line of a service, named unless `name` is empty. Nobody has to read it.
pub fn output(name: &str, line: &str) {
    let colon = if name.is_empty() { "" } else { ": " };
    let _ = stdout().write_all(format!("{name}{colon}{line}\n").as_bytes());
}
