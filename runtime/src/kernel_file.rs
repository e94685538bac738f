//! Files that the kernel makes up while they are read: they say that their length is 0, so
//! that the standard library reads them in pieces of 32 bytes.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A page, as much as the kernel makes up at once.
const LENGTH: usize = 4096;

/// Reads one that is not longer than a page, or its beginning.
///
/// # Errors
/// Those of open(2) and read(2).
pub fn read(path: impl AsRef<Path>) -> io::Result<String> {
    read_open(&mut File::open(path)?)
}

/// The same of one that is open.
///
/// # Errors
/// Those of read(2).
pub fn read_open(file: &mut File) -> io::Result<String> {
    let mut buffer = [0; LENGTH];
    let length = file.read(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}
