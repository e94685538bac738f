//! Why an image could not be written.

use std::fmt;
use std::io;
use sys::cause::cause;

/// Why an entry was refused or the image could not be written.
#[derive(Debug)]
pub enum Error {
    /// The format, or this writer, cannot hold this entry.
    Entry {
        /// Its path in the image.
        path: Vec<u8>,
        /// What is wrong with it.
        why: String,
    },
    /// An entry's bytes could not be read.
    Read {
        /// Its path in the image.
        path: Vec<u8>,
        /// The reader's own error.
        error: io::Error,
    },
    /// The image could not be written.
    Write(io::Error),
    /// The image as a whole is beyond the format.
    Image(String),
}

impl Error {
    pub(super) fn entry(path: &[u8], why: impl Into<String>) -> Self {
        Self::Entry { path: path.to_vec(), why: why.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry { path, why } => write!(out, "\"{}\": {why}", path.escape_ascii()),
            Self::Read { path, error } => write!(out, "read \"{}\": {}", path.escape_ascii(), cause(error)),
            Self::Write(error) => write!(out, "write the erofs image: {}", cause(error)),
            Self::Image(why) => write!(out, "erofs image: {why}"),
        }
    }
}

impl std::error::Error for Error {}
