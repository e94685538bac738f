//! When PID 1 itself is wrong: say why in the kernel log and on the console,
//! save the disks, start again.

use nix::sys::reboot::{RebootMode, reboot};
use std::fs::OpenOptions;
use std::io::Write;

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
            if let Ok(mut file) = OpenOptions::new().write(true).open(path) {
                let _ = file.write_all(line.as_bytes());
            }
        }
        nix::unistd::sync();
        let _ = reboot(RebootMode::RB_AUTOBOOT);
    }));
}
