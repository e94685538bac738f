//! A network interface's flags (netdevice(7)).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Switches the loopback interface on (`SIOCSIFFLAGS`), through any socket of an
/// Internet family.
///
/// # Errors
/// `ENODEV` in a kernel without one, `EPERM`.
pub fn loopback_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: an ifreq of zeros is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[..2].copy_from_slice(&[b'l' as libc::c_char, b'o' as libc::c_char]);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the kernel reads one ifreq through the pointer and keeps it not.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
