//! Sockets that are taken over from the kernel as owned descriptors.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// Takes a connection from a listening socket, close-on-exec and non-blocking
/// (`accept4(2)`).
///
/// # Errors
/// `EAGAIN` when there is none, `EMFILE`, `ENFILE`.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: null for the address is allowed: the peer's is not asked for.
    let fd = unsafe { libc::accept4(listener.as_raw_fd(), ptr::null_mut(), ptr::null_mut(), flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// How many bytes wait to be read in a pipe, a terminal or a socket (`FIONREAD` of `ioctl(2)`).
///
/// # Errors
/// `ENOTTY` for what has no such number.
pub fn pending(source: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: the kernel writes one int through the pointer.
    if unsafe { libc::ioctl(source.as_raw_fd(), libc::FIONREAD, &raw mut count) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(count).unwrap_or(0))
}
