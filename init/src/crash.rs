//! When PID 1 itself is wrong: say why in the kernel log and on the console,
//! save the disks, start again.

use crate::error::{Context, Result};
use nix::sys::reboot::{RebootMode, reboot};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long the disks may take to be saved.
const SYNC: Duration = Duration::from_secs(10);

/// From here on, a panic restarts the machine instead of leaving it without PID 1.
/// (A fault that is no panic, such as a segmentation fault, is a panic of the
/// kernel; see [`restart_kernel`].)
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
        save_disks();
        let _ = reboot(RebootMode::RB_AUTOBOOT);
    }));
}

/// After how many seconds a kernel that panics restarts the machine.
const PANIC: &str = "/proc/sys/kernel/panic";
/// How long the console shows why, in seconds, where `panic=` does not say.
const SHOWN: &str = "10";

/// From here on, a kernel that is wrong restarts the machine, too: half a kernel is no node, and nobody stands beside
/// it (Documentation/admin-guide/sysctl/kernel.rst). Whoever starts the machine may say otherwise by `panic=`.
pub fn restart_kernel(panic_is_given: bool) -> Result<()> {
    fs::write("/proc/sys/kernel/panic_on_oops", "1").context(|| "write panic_on_oops")?;
    let never = fs::read(PANIC).is_ok_and(|seconds| seconds == b"0\n");
    if panic_is_given || !never {
        return Ok(());
    }
    fs::write(PANIC, SHOWN).context(|| format!("write {PANIC}"))
}

/// A disk that does not answer holds up sync(2) for ever, so another process calls it.
fn save_disks() {
    match sys::fork::fork(0, None) {
        Ok(None) => {
            nix::unistd::sync();
            sys::fork::exit_now(0);
        }
        Ok(Some(pid)) => {
            // Descriptors may be what PID 1 has run out of.
            let begun = Instant::now();
            while matches!(sys::process::reap_if_ended(pid), Ok(None)) && begun.elapsed() < SYNC {
                sleep(Duration::from_millis(10));
            }
        }
        Err(_) => nix::unistd::sync(),
    }
}
