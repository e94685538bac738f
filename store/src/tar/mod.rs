//! A reader of tar archives as image layers come in them.
//!
//! One pass, bounded memory: an entry's header is read, then its content, then
//! the next header. Read are ustar, PAX (paths, sizes, owners, times,
//! `SCHILY.xattr.`), GNU long names, sparse files in all four forms (old GNU, PAX 0.0, 0.1
//! and 1.0) and Unix V7 headers. The archive ends with two zero blocks, or with
//! its input; what follows the end is not looked at.
//!
//! Refused by name rather than guessed at: multi-volume and dump-directory entries, unknown
//! types, global headers that change entries, headers beyond [`HEADER_MAX`].
//!
//! Sources: pax(1) of POSIX.1-2017, tar(5) of libarchive, GNU tar's manual ("Basic Tar Format",
//! "Storing Sparse Files").

mod header;
mod pax;
mod reader;
mod sparse;
pub(crate) mod write;

#[cfg(test)]
pub(crate) mod build;
#[cfg(test)]
mod tests;

pub use reader::{Content, Reader};

use crate::erofs::{Device, Time};
use std::fmt;
use std::io;

/// Size of a block in bytes.
pub const BLOCK: usize = 512;

/// Most bytes of extended headers (PAX, GNU long names) for one entry.
pub const HEADER_MAX: u64 = 1 << 20;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; its target is [`Entry::link`].
    Symlink,
    /// Another name of the entry at [`Entry::link`].
    HardLink,
    /// A device node or named pipe.
    Device(Device),
}

/// An entry's header, all its forms brought into one.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its path as the archive has it.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Target of a link.
    pub link: Vec<u8>,
    /// Length of its content, holes among it.
    pub size: u64,
    /// Permission bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last modification.
    pub mtime: Time,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Why an archive could not be read.
#[derive(Debug)]
pub enum Error {
    /// The input failed.
    Read(io::Error),
    /// The input ended within an entry.
    Truncated {
        /// Path of the entry, empty when its header was cut.
        path: Vec<u8>,
    },
    /// The archive says something wrong or unsupported.
    Invalid {
        /// Path of the entry, or of the last one whose header was good.
        path: Vec<u8>,
        /// What is wrong.
        why: String,
    },
}

impl Error {
    fn invalid(path: &[u8], why: impl Into<String>) -> Self {
        Self::Invalid { path: path.to_vec(), why: why.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => out.write_str(&sys::cause::cause(error)),
            Self::Truncated { path } if path.is_empty() => {
                out.write_str("the archive is cut within a header")
            }
            Self::Truncated { path } => {
                write!(out, "the archive is cut within entry \"{}\"", path.escape_ascii())
            }
            Self::Invalid { path, why } => write!(out, "entry \"{}\": {why}", path.escape_ascii()),
        }
    }
}

impl std::error::Error for Error {}
