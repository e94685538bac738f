//! A user namespace by its descriptor: it says how mounts show owners (mount_setattr(2), ID-mapped mounts), and other
//! namespaces belong to it (user_namespaces(7), Interaction of user namespaces and other types of namespaces).

use crate::process::reap;
use crate::{pause, pidfd};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A new one with these maps (`uid_map` and `gid_map` of user_namespaces(7)), which nobody is in.
///
/// # Errors
/// `EPERM`, `ENOSPC` for too many of them; `EINVAL` for what is no map.
pub fn with_maps(uid_map: &str, gid_map: &str) -> io::Result<File> {
    let pid = pause::start(None, libc::CLONE_NEWUSER, None, c"0")?;
    of(pid, |_| {
        fs::write(format!("/proc/{pid}/uid_map"), uid_map)?;
        fs::write(format!("/proc/{pid}/gid_map"), gid_map)?;
        File::open(format!("/proc/{pid}/ns/user"))
    })
}

/// Gives this thread new namespaces (`CLONE_NEW*`) that belong to `users`, which it does not join: a thread beside others
/// could not. Not one of processes, which is nothing without its first.
///
/// # Errors
/// As clone3(2) and setns(2) have them, `EPERM` and `ENOSPC` among them.
pub fn unshare(users: BorrowedFd<'_>, namespaces: libc::c_int) -> io::Result<()> {
    let pid = pause::start(Some(users), namespaces, None, c"0")?;
    of(pid, |process| {
        // SAFETY: the descriptor is open as long as `process` is.
        match unsafe { libc::setns(process.as_raw_fd(), namespaces) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    })
}

/// What is made of the namespaces of a process that only waits, and ends then.
fn of<T>(pid: i32, make: impl FnOnce(&OwnedFd) -> io::Result<T>) -> io::Result<T> {
    let process = pidfd::open(pid)?;
    let made = make(&process);
    pidfd::signal(process.as_fd(), libc::SIGKILL)?;
    reap(pid);
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    #[ignore = "needs root"]
    fn new_namespaces_belong_to_it() {
        let map = "0 65536 65536";
        let users = with_maps(map, map).unwrap();
        let of = |name: &str| fs::metadata(format!("/proc/thread-self/ns/{name}")).unwrap().ino();
        let before = ["user", "net", "uts", "ipc"].map(of);
        unshare(users.as_fd(), libc::CLONE_NEWNET | libc::CLONE_NEWUTS).unwrap();
        let after = ["user", "net", "uts", "ipc"].map(of);
        let same = [0, 1, 2, 3].map(|index| before[index] == after[index]);
        assert_eq!(same, [true, false, false, true]);
        for name in ["net", "uts"] {
            let own = File::open(format!("/proc/thread-self/ns/{name}")).unwrap();
            // SAFETY: NS_GET_USERNS (ioctl_nsfs(2)) takes nothing and gives a descriptor, which is this test's own.
            let owner = unsafe { libc::ioctl(own.as_raw_fd(), 0xb701) };
            let owner = fs::metadata(format!("/proc/thread-self/fd/{owner}")).unwrap();
            assert_eq!(owner.ino(), users.metadata().unwrap().ino(), "{name}");
        }
    }
}
