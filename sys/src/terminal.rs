//! Terminals: both sides of a new one, its size, who controls it
//! (`ioctl_tty(2)`).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `TIOCGPTPEER`
const GET_PEER: libc::c_ulong = 0x5441;

/// The terminal side of an open `ptmx`, unlocked, close-on-exec; found by the
/// descriptor, so no path can lead elsewhere (`TIOCSPTLCK`, `TIOCGPTPEER`).
///
/// # Errors
/// `ENOTTY` for what is no `ptmx`.
pub fn peer(master: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let unlocked: libc::c_int = 0;
    // SAFETY: the kernel reads one int through the pointer.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) })?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the call takes integers alone.
    let peer = check(unsafe { libc::ioctl(master.as_raw_fd(), GET_PEER, flags) })?;
    // SAFETY: the kernel has just made this descriptor, for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(peer) })
}

/// The number of a terminal below its `devpts` (`TIOCGPTN`).
///
/// # Errors
/// `ENOTTY` for what is no `ptmx`.
pub fn number(master: BorrowedFd<'_>) -> io::Result<u32> {
    let mut number: libc::c_uint = 0;
    // SAFETY: the kernel writes one unsigned int through the pointer.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number) })?;
    Ok(number)
}

/// Makes it this session's controlling terminal (`TIOCSCTTY`).
///
/// # Errors
/// `EPERM` unless this process leads a session that has none.
pub fn control(terminal: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the call takes integers alone.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) }).map(drop)
}

/// Sets rows and columns (`TIOCSWINSZ`).
///
/// # Errors
/// `ENOTTY`
pub fn set_size(terminal: BorrowedFd<'_>, rows: u16, columns: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel reads one winsize through the pointer.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }).map(drop)
}

/// Rows and columns (`TIOCGWINSZ`).
///
/// # Errors
/// `ENOTTY`
pub fn size(terminal: BorrowedFd<'_>) -> io::Result<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel writes one winsize through the pointer.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) })?;
    Ok((size.ws_row, size.ws_col))
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
