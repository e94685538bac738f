//! A process that goes on with this program's own code: fork, into namespaces
//! and a cgroup. Only a program without threads may do so.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

/// `struct clone_args` of clone(2).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// `CLONE_INTO_CGROUP` of clone(2), which does not fit the type that `libc` gives it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Forks into the new namespaces of `namespaces` (`CLONE_NEW*`) and into a cgroup v2
/// folder (`clone3(2)`). Returns the child's ID to the parent, `None` to the child.
///
/// # Errors
/// Those of clone3: `EPERM`, `ENOSPC` for too many namespaces, `EBUSY` or
/// `EOPNOTSUPP` for a cgroup that takes no process. `EDEADLK` when this process
/// has a second thread: its locks would be held for ever in the child.
pub fn fork(namespaces: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Option<i32>> {
    if threads()? != 1 {
        return Err(io::Error::from_raw_os_error(libc::EDEADLK));
    }
    clone(namespaces, libc::SIGCHLD as u64, cgroup)
}

/// As [`fork`], but the child is a child of this process's parent, which reaps it
/// (`CLONE_PARENT` of clone(2)); its end is told by the same signal as this process's. For one that was
/// forked itself: whether it has threads is not asked, as its `/proc` may be of another PID namespace.
///
/// # Errors
/// Those of clone3; `EINVAL` for the first process of a PID namespace.
pub fn fork_sibling(namespaces: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Option<i32>> {
    clone(namespaces | libc::CLONE_PARENT as u64, 0, cgroup)
}

fn clone(flags: u64, exit_signal: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Option<i32>> {
    let mut args = CloneArgs { flags, exit_signal, ..CloneArgs::default() };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM the child has memory of its own and, there being
    // one thread, finds it as the parent left it; no stack is given, so it
    // returns here on a copy of this one.
    match unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) } {
        0 => Ok(None),
        pid if pid > 0 => Ok(Some(pid as i32)),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENOSYS) && cgroup.is_none() => {
                clone_of_old(flags, exit_signal)
            }
            error => Err(error),
        },
    }
}

/// clone(2), where a filter of system calls cannot look into clone3's arguments and so says that there
/// is none, as Docker's does. Its flags have no room for a time namespace.
fn clone_of_old(flags: u64, exit_signal: u64) -> io::Result<Option<i32>> {
    if flags & 0xff != 0 {
        return Err(io::Error::from_raw_os_error(libc::ENOSYS));
    }
    // SAFETY: as above: no CLONE_VM, one thread, no stack of its own.
    match unsafe { libc::syscall(libc::SYS_clone, flags | exit_signal, 0, 0, 0, 0) } {
        0 => Ok(None),
        pid if pid > 0 => Ok(Some(pid as i32)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A folder has a link in the one above, one in itself, and one in each folder that it has.
fn threads() -> io::Result<u64> {
    Ok(std::fs::metadata("/proc/self/task")?.nlink().saturating_sub(2))
}

/// Ends this process at once, without running what `std` would at exit (`_exit(2)`).
pub fn exit_now(status: i32) -> ! {
    // SAFETY: the call does not return.
    unsafe { libc::_exit(status) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn a_thread_is_seen() {
        let (before, barrier) = (threads().unwrap(), Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| barrier.wait());
            assert!(threads().unwrap() > before.min(1));
            barrier.wait();
        });
        let refused = std::thread::spawn(|| fork(0, None).unwrap_err()).join().unwrap();
        assert_eq!(refused.raw_os_error(), Some(libc::EDEADLK));
    }
}
