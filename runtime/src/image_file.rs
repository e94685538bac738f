//! Files that an image has under well-known names: it may have a FIFO there, which would
//! be waited for, or a device that never ends.

use nix::errno::Errno;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a file for reading if it is one; says what is known of it, too.
///
/// # Errors
/// Those of open(2); `EACCES` for what is no file.
pub fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let about = file.metadata()?;
    if about.is_file() { Ok((file, about)) } else { Err(Errno::EACCES.into()) }
}
