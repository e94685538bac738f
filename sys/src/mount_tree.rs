//! Mounts by descriptor: what is mounted cannot be changed under one's feet by
//! a symbolic link.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// A detached copy of the mount at `path`, with everything mounted below it when
/// `recursive` (`open_tree(2)` with `OPEN_TREE_CLONE`). An empty path means the
/// descriptor itself.
///
/// # Errors
/// `ENOENT`, `EPERM`, `EINVAL` for a mount that may not be copied.
pub fn copy(at: BorrowedFd<'_>, path: &CStr, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH as u32;
    if recursive {
        flags |= libc::AT_RECURSIVE as u32;
    }
    // SAFETY: `path` is a C string that lives through the call.
    let result = unsafe { libc::syscall(libc::SYS_open_tree, at.as_raw_fd(), path.as_ptr(), flags) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor, for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(result as i32) })
}

/// Attaches a detached mount at the file or folder `target` (`move_mount(2)`).
///
/// # Errors
/// `EINVAL`, `ENOTDIR` for a folder on a file or the reverse, `EPERM`.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    let (from, to) = (mount.as_raw_fd(), target.as_raw_fd());
    // SAFETY: both paths are the static empty string.
    let result = unsafe { libc::syscall(libc::SYS_move_mount, from, c"".as_ptr(), to, c"".as_ptr(), flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets and clears `MOUNT_ATTR_*` of a mount, and of those below it when
/// `recursive`; `propagation` is `MS_PRIVATE` and the like, or 0
/// (`mount_setattr(2)`).
///
/// # Errors
/// `EPERM` for a flag that is locked, `EINVAL`.
pub fn set_attributes(
    mount: BorrowedFd<'_>,
    recursive: bool,
    set: u64,
    clear: u64,
    propagation: u64,
) -> io::Result<()> {
    set_attr(mount, recursive, &MountAttr { set, clear, propagation, userns: 0 })
}

/// `MOUNT_ATTR_IDMAP`
const IDMAP: u64 = 0x10_0000;

/// Shows the owners of a detached mount's files, and of those below it when `recursive`, as a
/// user namespace maps them (`mount_setattr(2)`).
///
/// # Errors
/// `EINVAL` for a file system that cannot, `EPERM` for one of another user namespace, or for a
/// mount that is mapped already.
pub fn map_ids(mount: BorrowedFd<'_>, recursive: bool, users: BorrowedFd<'_>) -> io::Result<()> {
    let userns = users.as_raw_fd() as u64;
    set_attr(mount, recursive, &MountAttr { set: IDMAP, userns, ..MountAttr::default() })
}

fn set_attr(mount: BorrowedFd<'_>, recursive: bool, attr: &MountAttr) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `attr` has the size that is told and lives through the call, as does the
    // descriptor that it names.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
