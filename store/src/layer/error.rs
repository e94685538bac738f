//! Why a layer could not be stored.

use crate::{erofs, tar};
use std::fmt;

/// Why a layer could not be stored.
#[derive(Debug)]
pub enum Error {
    /// The archive could not be read.
    Archive(tar::Error),
    /// The image could not be written, or cannot hold an entry.
    Image(erofs::Error),
    /// An entry is refused.
    Entry {
        /// Its path as the archive has it.
        path: Vec<u8>,
        /// Why.
        why: String,
    },
    /// The layer is beyond a limit.
    TooMuch(String),
}

impl Error {
    pub(super) fn entry(path: &[u8], why: impl Into<String>) -> Self {
        Self::Entry { path: path.to_vec(), why: why.into() }
    }
}

/// Most bytes of a path that a message shows.
const SHOWN_MAX: usize = 255;

/// A path for a message; of a long one the beginning.
pub(super) fn shown(path: &[u8]) -> String {
    let (begin, rest) = path.split_at(path.len().min(SHOWN_MAX));
    format!("{}{}", begin.escape_ascii(), if rest.is_empty() { "" } else { "…" })
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive(error) => write!(out, "{error}"),
            Self::Image(error) => write!(out, "{error}"),
            Self::Entry { path, why } => write!(out, "entry \"{}\": {why}", shown(path)),
            Self::TooMuch(what) => write!(out, "more than {what}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<tar::Error> for Error {
    fn from(error: tar::Error) -> Self {
        Self::Archive(error)
    }
}

impl From<erofs::Error> for Error {
    fn from(error: erofs::Error) -> Self {
        Self::Image(error)
    }
}
