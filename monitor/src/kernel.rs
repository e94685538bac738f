//! What the kernel tells of processes and cgroups, and the clock.

use crate::life::{Process, Time};
use nix::time::{ClockId, clock_gettime};
use spec::paths;
use spec::proc_stat::Stat;
use spec::seccomp::Kernel;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time since boot.
pub fn now() -> Time {
    // CLOCK_BOOTTIME is always there since Linux 2.6.39.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Time::ZERO, Duration::from)
}

/// Nanoseconds since 1970.
pub fn nanoseconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Seconds since 1970.
pub fn seconds() -> u64 {
    nanoseconds() / 1_000_000_000
}

/// A time since boot as seconds since 1970, as the clock is now.
pub fn wall(time: Time) -> u64 {
    let ago = now().saturating_sub(time);
    u64::try_from(ago.as_nanos()).map_or(0, |ago| nanoseconds().saturating_sub(ago)) / 1_000_000_000
}

/// When this boot began, nanoseconds since 1970.
pub fn booted() -> u64 {
    u64::try_from(now().as_nanos()).map_or(0, |ago| nanoseconds().saturating_sub(ago))
}

/// The running kernel's version (proc_sys_kernel(5), osrelease); the first of all where it has another form.
pub fn version() -> Kernel {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Kernel::of_release(&release).unwrap_or_default()
}

/// The process that has this number now, a zombie too.
pub fn process(pid: i32) -> Option<Process> {
    // The name in it is any bytes: a program gives itself one, and the kernel cuts it anywhere.
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    Some(Process { pid, start_time: Stat::parse(&String::from_utf8_lossy(&stat))?.start_time })
}

/// Opens a process, if it is still the one that is meant.
pub fn open(process: Process) -> Option<OwnedFd> {
    let pidfd = sys::pidfd::open(process.pid).ok()?;
    // Only now is the number held: what it means cannot change any more.
    (self::process(process.pid) == Some(process)).then_some(pidfd)
}

/// Sends a signal to a process, if it is still the one that is meant.
pub fn signal(process: Process, signal: i32) -> io::Result<()> {
    match open(process) {
        Some(pidfd) => sys::pidfd::signal(pidfd.as_fd(), signal),
        None => Err(io::Error::from_raw_os_error(nix::libc::ESRCH)),
    }
}

/// Kills every process in a container's cgroup (`cgroup.kill`).
pub fn kill_all(cgroup: &Path) -> io::Result<()> {
    fs::write(cgroup.join("cgroup.kill"), "1")
}

/// Freezes every process in a container's cgroup, or lets them go on.
pub fn freeze(cgroup: &Path, frozen: bool) -> io::Result<()> {
    fs::write(cgroup.join("cgroup.freeze"), if frozen { "1" } else { "0" })
}

/// A container's processes are frozen.
pub fn is_frozen(cgroup: &Path) -> bool {
    fs::read(cgroup.join("cgroup.freeze")).is_ok_and(|text| text.starts_with(b"1"))
}

/// The processes in a container's cgroup.
pub fn members(cgroup: &Path) -> Vec<i32> {
    let list = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    list.lines().filter_map(|pid| pid.parse().ok()).collect()
}

/// The kernel has killed a process of the container because its memory limit
/// was reached.
pub fn was_out_of_memory(cgroup: &Path) -> bool {
    fs::read_to_string(cgroup.join("memory.events")).is_ok_and(|events| oom_kills(&events) > 0)
}

fn oom_kills(events: &str) -> u64 {
    let line = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// Ends what a killed monitor has left of its own: verbs of the runtime that
/// were under way. PID 1 has done so already; this makes sure. Only the cgroup
/// that PID 1 made for the monitor is looked at, never a user's session.
pub fn end_leftovers() {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let expected = format!("0::/{}/monitor", paths::SYSTEM_CGROUP);
    if !own.lines().any(|line| line == expected) {
        return;
    }
    let members: PathBuf = [paths::CGROUP, paths::SYSTEM_CGROUP, "monitor", "cgroup.procs"].iter().collect();
    let me = std::process::id().to_string();
    let others = || -> Vec<i32> {
        let list = fs::read_to_string(&members).unwrap_or_default();
        list.lines().filter(|pid| *pid != me).filter_map(|pid| pid.parse().ok()).collect()
    };
    for pid in others() {
        end(pid);
    }
}

/// Kills a process and waits until it has ended, a second at most.
fn end(pid: i32) {
    use nix::poll::{PollFd, PollFlags, poll};
    let Ok(process) = sys::pidfd::open(pid) else {
        return;
    };
    if sys::pidfd::signal(process.as_fd(), nix::libc::SIGKILL).is_ok() {
        let _ = poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], 1000_u16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_and_none_is_not() {
        let own = process(std::process::id().cast_signed()).unwrap();
        assert!(own.start_time > 0);
        assert_eq!(process(i32::MAX), None);
    }

    #[test]
    fn a_process_is_found_whatever_its_name() {
        nix::sys::prctl::set_name(c"h\xff").unwrap();
        // A thread is found by its number as a process is.
        assert!(process(nix::unistd::gettid().as_raw()).unwrap().start_time > 0);
    }

    #[test]
    fn kills_for_lack_of_memory_are_counted() {
        assert_eq!(oom_kills("low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n"), 1);
        assert_eq!(oom_kills("oom_kill 0\noom_group_kill 3\n"), 0);
        assert_eq!(oom_kills(""), 0);
    }
}
