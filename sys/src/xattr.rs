//! Extended attributes.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The value of an attribute of at most 256 bytes, or none (getxattr(2)).
///
/// # Errors
/// `ERANGE` when the value is longer; what the path's lookup says.
pub fn get(path: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    let (path, name) = (CString::new(path.as_os_str().as_bytes())?, CString::new(name)?);
    let mut value = vec![0_u8; 256];
    // SAFETY: both strings end in a zero byte; the kernel writes at most `value.len()` bytes into it.
    let length =
        unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    match usize::try_from(length) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(_) => match io::Error::last_os_error() {
            error if matches!(error.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP)) => Ok(None),
            error => Err(error),
        },
    }
}

/// As long as a value or the list of all names can be (xattr(7), Filesystem differences).
const LONGEST: usize = 65_536;

/// The names of all attributes of an open file; none where the file system has no
/// attributes (flistxattr(2)).
///
/// # Errors
/// Those of the file system.
pub fn names(file: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut list = vec![0_u8; LONGEST];
    // SAFETY: the kernel writes at most `list.len()` bytes into it.
    let length = unsafe { libc::flistxattr(file.as_raw_fd(), list.as_mut_ptr().cast(), list.len()) };
    match usize::try_from(length) {
        Ok(length) => {
            let names = list[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty());
            Ok(names.map(CString::new).collect::<Result<_, _>>()?)
        }
        Err(_) => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(Vec::new()),
            error => Err(error),
        },
    }
}

/// The value of an attribute of an open file (fgetxattr(2)).
///
/// # Errors
/// `ENODATA` when it has none of this name.
pub fn value(file: BorrowedFd<'_>, name: &CStr) -> io::Result<Vec<u8>> {
    let mut value = vec![0_u8; LONGEST];
    // SAFETY: the name ends in a zero byte; the kernel writes at most `value.len()` bytes.
    let length =
        unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    value.truncate(length);
    Ok(value)
}

/// Sets an attribute of an open file (fsetxattr(2)).
///
/// # Errors
/// `EOPNOTSUPP` where the file system does not have such attributes, `EPERM`, `ENOSPC`.
pub fn set(file: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> io::Result<()> {
    // SAFETY: the name ends in a zero byte; the kernel reads `value.len()` bytes of the value.
    let result =
        unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
