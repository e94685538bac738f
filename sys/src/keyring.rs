//! The session keyring, keyrings(7).

use std::ffi::CStr;
use std::io;

/// Joins the session keyring of this name, or a new one (`keyctl(2)` with
/// `KEYCTL_JOIN_SESSION_KEYRING`).
///
/// # Errors
/// `ENOSYS` in a kernel without keys, `EDQUOT`, `EPERM`.
pub fn join_session(name: &CStr) -> io::Result<()> {
    // SAFETY: the kernel copies the string, which ends in a zero byte.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
