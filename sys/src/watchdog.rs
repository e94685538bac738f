//! The hardware watchdog (Documentation/watchdog/watchdog-api.rst).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `_IOWR('W', 6, int)`
const WDIOC_SETTIMEOUT: libc::Ioctl = 0xc004_5706;

/// Sets the time after which the machine resets, and returns the one that the
/// driver rounded it to, in seconds (`WDIOC_SETTIMEOUT`).
///
/// # Errors
/// `EOPNOTSUPP` when the driver's time is fixed, `EINVAL` out of its range.
pub fn set_timeout(device: BorrowedFd<'_>, seconds: u32) -> io::Result<u32> {
    let mut seconds = seconds as libc::c_int;
    // SAFETY: the kernel reads and writes one int through the pointer.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), WDIOC_SETTIMEOUT, &raw mut seconds) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(seconds as u32) }
}
