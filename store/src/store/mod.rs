//! One store on disk.
//!
//! ```text
//! STORE/
//! ├── layers/ALGORITHM/DIFFID.erofs  a layer, complete or not there
//! ├── blobs/ALGORITHM/DIGEST         manifests and image configurations, byte for byte
//! ├── names/NAME                     NAME with '/' as '%2F': "MEDIATYPE DIGEST SIZE\n" of its manifest
//! └── tmp/                           work in progress; whoever locks the folder empties it
//! ```
//!
//! A file is written in `tmp/`, brought to disk (`fsync`), renamed into its
//! place, and the place's folder brought to disk. An image's layers go first, then its
//! blobs, its name last. So after SIGKILL, a power cut or a full disk at any
//! point there is the old state or the new one, and at most files that no
//! name needs: [`Store::collect`] takes them.
//!
//! Those who write hold an exclusive lock on `tmp/` (flock(2)), which the kernel
//! takes back when they die; two who import the same image do it one
//! after the other, and the second finds the layers there. Readers need no lock.

mod collect;
mod import;
mod publish;
mod read;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub use collect::Collected;
pub use import::Imported;
pub(crate) use read::resolve_in;
pub use read::{Image, Layer, Listed};

use crate::error::{Error, Result, io_error};
use crate::layer::Limits;
use crate::oci::Platform;
use publish::Lock;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A store, opened.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    writable: bool,
    platform: Platform,
    limits: Limits,
}

impl Store {
    /// Opens a store to read and write, and makes it where it is missing.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn open(root: &Path) -> Result<Self> {
        for folder in ["layers", "blobs", "names", "tmp"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(io_error("make", &path))?;
        }
        Ok(Self { writable: true, ..Self::at(root) })
    }

    /// Opens a store that is only read. It may be missing: then it is empty.
    pub fn open_read_only(root: &Path) -> Self {
        Self::at(root)
    }

    fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), writable: false, platform: Platform::host(), limits: Limits::default() }
    }

    /// Chooses for another platform than this program's own when an image has several variants.
    #[must_use]
    pub fn for_platform(self, platform: Platform) -> Self {
        Self { platform, ..self }
    }

    /// Changes what a layer may hold.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Takes `name` away from its image, whose layers stay until [`Self::collect`].
    ///
    /// # Errors
    /// There is no such image; the store is read-only.
    pub fn remove(&self, name: &str) -> Result<()> {
        let name = read::parse(name)?;
        if !self.writable {
            return Err(Error::ReadOnly(name.to_string()));
        }
        let _lock = Lock::take(&self.root)?;
        let path = self.root.join("names").join(read::file_name(&name));
        match fs::remove_file(&path) {
            Ok(()) => publish::sync_folder_of(&path),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::NoImage(name.to_string())),
            Err(error) => Err(io_error("remove", &path)(error)),
        }
    }
}
