//! Why the store could not do what it was asked.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use sys::cause::cause;

/// Why the store could not do what it was asked.
#[derive(Debug)]
pub enum Error {
    /// No store has an image of this name.
    NoImage(String),
    /// Its registry has no image of this name.
    NotFound {
        /// The image, in full form.
        name: String,
        /// The registry.
        registry: String,
        /// What it said.
        why: String,
    },
    /// Its registry does not let us in, which many say of a name that they have nothing of, too.
    Denied {
        /// The image, in full form.
        name: String,
        /// The registry.
        registry: String,
        /// What it said.
        why: String,
    },
    /// The image belongs to a store that cannot be written.
    ReadOnly(String),
    /// What was given, or what the store holds, is wrong: the object and why.
    Wrong {
        /// An image, layer, blob or file.
        what: String,
        /// Why it is refused.
        why: String,
    },
    /// The operating system refused.
    Io {
        /// What was done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        error: io::Error,
    },
}

/// The result of what a store does.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn wrong(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self::Wrong { what: what.to_string(), why: why.to_string() }
    }

    /// Puts a name before what is wrong: `image x: layer y: …`.
    pub(crate) fn within(self, whole: impl fmt::Display) -> Self {
        match self {
            Self::Wrong { what, why } => Self::Wrong { what: format!("{whole}: {what}"), why },
            Self::Io { .. } => Self::wrong(whole, self),
            other => other,
        }
    }
}

/// Says what was done to which path when the operating system refuses.
pub(crate) fn io_error<'p>(
    action: &'static str,
    path: &'p Path,
) -> impl FnOnce(io::Error) -> Error + use<'p> {
    move |error| Error::Io { action, path: path.to_owned(), error }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoImage(name) => write!(out, "image {name}: not in any store of this node"),
            Self::ReadOnly(name) => write!(out, "image {name}: comes with the node and cannot be removed"),
            Self::NotFound { name, why, .. } | Self::Denied { name, why, .. } => {
                write!(out, "image {name}: {why}")
            }
            Self::Wrong { what, why } => write!(out, "{what}: {why}"),
            Self::Io { action, path, error } => write!(out, "{action} {}: {}", path.display(), cause(error)),
        }
    }
}

impl std::error::Error for Error {}
