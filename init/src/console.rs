//! What PID 1 tells people: lines `[seconds] text` on the console and in the
//! kernel log.
//!
//! Lines queue here and [`flush`] hands them over, so that a boot with nothing to
//! wait for does not stop for a serial line. Whoever may wait flushes first. The
//! console is written without ever blocking: what does not fit is dropped, and
//! said so. In the kernel log the lines have level 7, so that the kernel does not
//! print them on the console a second time.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::time::{ClockId, clock_gettime};
use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a serial line of 115,200 baud takes for what a terminal that calls
/// itself writable may still hold, 256 bytes.
const LAST_BYTES: Duration = Duration::from_millis(25);

/// Most bytes that wait for the console.
const QUEUE: usize = 64 * 1024;

static CONSOLE: Mutex<Console> = Mutex::new(Console {
    waiting: String::new(),
    for_kmsg: String::new(),
    device: None,
    kmsg: None,
    dropped: 0,
    status: true,
});

struct Console {
    waiting: String,
    for_kmsg: String,
    device: Option<File>,
    kmsg: Option<File>,
    dropped: usize,
    status: bool,
}

/// Time since the kernel started, as the kernel log counts it.
pub fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}

fn lock() -> MutexGuard<'static, Console> {
    CONSOLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says a line that people must see.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => { $crate::console::line(format_args!($($words)*), false) };
}

/// Says how things go; `console.status = false` keeps it off the console.
#[macro_export]
macro_rules! status {
    ($($words:tt)*) => { $crate::console::line(format_args!($($words)*), true) };
}

/// Queues one line; see [`say`] and [`status`].
pub fn line(words: fmt::Arguments<'_>, is_status: bool) {
    let time = now();
    let mut console = lock();
    let shown = console.status || !is_status;
    let start = console.for_kmsg.len();
    let _ = write!(console.for_kmsg, "[{:5}.{:06}] ", time.as_secs(), time.subsec_micros());
    let _ = console.for_kmsg.write_fmt(words);
    console.for_kmsg.push('\n');
    if shown {
        let Console { waiting, for_kmsg, dropped, .. } = &mut *console;
        enqueue(waiting, dropped, &for_kmsg[start..]);
    }
    if console.for_kmsg.len() > QUEUE {
        console.flush();
    }
}

/// Queues a line of a service, named unless `name` is empty. It is not for the
/// kernel log.
pub fn output(name: &str, line: &str) {
    let (time, colon) = (now(), if name.is_empty() { "" } else { ": " });
    let line = format!("[{:5}.{:06}] {name}{colon}{line}\n", time.as_secs(), time.subsec_micros());
    let mut console = lock();
    let Console { waiting, dropped, .. } = &mut *console;
    enqueue(waiting, dropped, &line);
}

fn enqueue(waiting: &mut String, dropped: &mut usize, text: &str) {
    if *dropped > 0 && waiting.len() + text.len() + 64 <= QUEUE {
        let _ = writeln!(waiting, "console: {dropped} lines dropped: it was too slow");
        *dropped = 0;
    }
    if *dropped == 0 && waiting.len() + text.len() <= QUEUE {
        waiting.push_str(text);
    } else {
        *dropped += usize::from(text.ends_with('\n'));
    }
}

impl Console {
    fn flush(&mut self) {
        if let Some(kmsg) = &mut self.kmsg {
            for line in std::mem::take(&mut self.for_kmsg).lines() {
                // The kernel writes the time itself; a full log drops its oldest.
                let text = line.split_once("] ").map_or(line, |(_, text)| text);
                let _ = kmsg.write_all(format!("<7>skerry: {text}\n").as_bytes());
            }
        } else if self.for_kmsg.len() > QUEUE {
            self.for_kmsg.clear();
        }
        while let Some(device) = self.device.as_mut().filter(|_| !self.waiting.is_empty()) {
            match device.write(self.waiting.as_bytes()) {
                Ok(length) => drop(self.waiting.drain(..self.waiting.floor_char_boundary(length))),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.device = None,
            }
        }
        if self.device.is_none() {
            self.waiting.clear();
        }
    }
}

/// Opens the console and the kernel log, once `/dev` is there. A machine without
/// a console still has the log.
pub fn open() {
    let open = |path: &str| {
        let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
        OpenOptions::new().write(true).custom_flags(flags).open(path).ok()
    };
    let mut console = lock();
    console.device = open("/dev/console");
    console.kmsg = open("/dev/kmsg");
    // The kernel lets a program write ten lines in five seconds otherwise.
    let _ = std::fs::write("/proc/sys/kernel/printk_devkmsg", "on");
}

/// What a process that PID 1 starts says there: it opens the console itself.
pub fn descriptor() -> Option<OwnedFd> {
    None
}

/// Whether status lines are shown.
pub fn show_status(shown: bool) {
    lock().status = shown;
}

/// Hands over what waits, as far as the console takes it.
pub fn flush() {
    lock().flush();
}

/// Hands over everything and lets the line transmit it, for at most `limit`:
/// what the machine says last must be seen.
pub fn drain(limit: Duration) {
    let end = now() + limit;
    loop {
        flush();
        let left = end.saturating_sub(now());
        // Writable means that little is left in the terminal's own buffer.
        let ready = with_device(|device| {
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            poll(&mut [PollFd::new(device, PollFlags::POLLOUT)], timeout).unwrap_or(0) > 0
        });
        if left.is_zero() || !wants_to_write() && ready != Some(false) {
            break;
        }
    }
    std::thread::sleep(LAST_BYTES);
}

/// Whether lines wait for the console to take more.
pub fn wants_to_write() -> bool {
    let console = lock();
    console.device.is_some() && !console.waiting.is_empty()
}

/// Runs `with` on the console's descriptor.
pub fn with_device<T>(with: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
    lock().device.as_ref().map(|device| with(device.as_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_drops_lines_and_says_how_many() {
        let (mut waiting, mut dropped) = (String::new(), 0);
        let line = format!("{}\n", "x".repeat(1023));
        for _ in 0..70 {
            enqueue(&mut waiting, &mut dropped, &line);
        }
        assert_eq!((waiting.len(), dropped), (QUEUE, 6));
        waiting.clear();
        enqueue(&mut waiting, &mut dropped, "more\n");
        assert_eq!(waiting, "console: 6 lines dropped: it was too slow\nmore\n");
        assert_eq!(dropped, 0);
    }
}
