//! When PID 1 itself is wrong: say why in the kernel log and on the console,
//! save the disks, start again.

use nix::sys::reboot::{RebootMode, reboot};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long the disks may take to be saved: one that does not answer holds up sync(2) for ever.
const SYNC: Duration = Duration::from_secs(10);

/// From here on, a panic restarts the machine instead of leaving it without PID 1.
/// (A fault that is no panic, such as a segmentation fault, is a panic of the
/// kernel, whose `panic=` says what follows.)
pub fn install_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(|at| format!(" at {}:{}", at.file(), at.line())).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("unknown");
        let line = format!("skerry: PID 1 panicked{at}: {message}; the machine restarts\n");
        // A level that the console shows under `quiet` too.
        for (path, line) in [("/dev/kmsg", format!("<0>{line}")), ("/dev/console", line)] {
            // A console that somebody has stopped is not waited for.
            let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
            if let Ok(mut file) = OpenOptions::new().write(true).custom_flags(flags).open(path) {
                let _ = file.write_all(line.as_bytes());
            }
        }
        within(SYNC, nix::unistd::sync);
        let _ = reboot(RebootMode::RB_AUTOBOOT);
    }));
}

/// Does something, for so long at most: it may be under way still when this returns.
fn within(limit: Duration, work: impl FnOnce() + Send + 'static) {
    let (done, over) = mpsc::channel();
    let begun = thread::Builder::new().spawn(move || {
        work();
        let _ = done.send(());
    });
    if begun.is_ok() {
        let _ = over.recv_timeout(limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn what_ends_is_awaited_and_what_does_not_is_left_alone() {
        let (told, heard) = mpsc::channel();
        within(Duration::from_secs(60), move || told.send(1).unwrap());
        assert_eq!(heard.try_recv(), Ok(1));
        let begun = Instant::now();
        within(Duration::from_millis(10), || {
            loop {
                thread::park();
            }
        });
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
