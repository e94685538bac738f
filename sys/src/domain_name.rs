//! The NIS domain name of this process's UTS namespace.

use std::io;

/// Sets it (`setdomainname(2)`).
///
/// # Errors
/// `EPERM`; `EINVAL` for one of more than 64 bytes.
pub fn set(name: &str) -> io::Result<()> {
    // SAFETY: the kernel reads as many bytes as are told and keeps no pointer.
    let result = unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
