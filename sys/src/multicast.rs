//! Netlink multicast groups (netlink(7)).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Joins a netlink socket to a multicast group by its number
/// (`NETLINK_ADD_MEMBERSHIP`).
///
/// # Errors
/// `EINVAL` for a group that the family does not have, `EPERM`.
pub fn join(socket: BorrowedFd<'_>, group: u32) -> io::Result<()> {
    // SAFETY: the kernel reads one u32 through the pointer and keeps it not.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            libc::NETLINK_ADD_MEMBERSHIP,
            (&raw const group).cast(),
            size_of::<u32>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
