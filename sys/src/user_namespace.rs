//! A user namespace by its descriptor, which says how mounts show owners (mount_setattr(2), ID-mapped mounts).

use crate::process::reap;
use crate::{pause, pidfd};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;

/// A new one with these maps (`uid_map` and `gid_map` of user_namespaces(7)), which nobody is in.
///
/// # Errors
/// `EPERM`, `ENOSPC` for too many of them; `EINVAL` for what is no map.
pub fn with_maps(uid_map: &str, gid_map: &str) -> io::Result<File> {
    let pid = pause::start(libc::CLONE_NEWUSER, None, c"0")?;
    let process = pidfd::open(pid);
    let made = fs::write(format!("/proc/{pid}/uid_map"), uid_map)
        .and_then(|()| fs::write(format!("/proc/{pid}/gid_map"), gid_map))
        .and_then(|()| File::open(format!("/proc/{pid}/ns/user")));
    let ended = process.and_then(|process| pidfd::signal(process.as_fd(), libc::SIGKILL));
    ended.map(|()| reap(pid)).and(made)
}
