//! One store on disk.
//!
//! ```text
//! STORE/
//! ├── layers/ALGORITHM/DIFFID.erofs  a layer, complete or not there
//! ├── layers/ALGORITHM/DIFFID.verity the fs-verity digest of that file: "sha256:HEX\n"
//! ├── blobs/ALGORITHM/DIGEST         manifests, image configurations, layers as they came: byte for byte
//! ├── names/NAME                     NAME with '/' as '%2F': "MEDIATYPE DIGEST SIZE[ INDEX]\n" of its manifest, and the digest of the
//! │                                 index of which a pull chose it (names/=SHA256 where that is longer than 255 bytes, and NAME on
//! │                                 a second line)
//! ├── downloads/ALGORITHM/DIGEST     the first bytes of a blob; locked by who downloads it
//! └── tmp/                           work in progress, a locked folder for each who works
//! ```
//!
//! A file is written in `tmp/` or `downloads/`, brought to disk (`fsync`), renamed into its
//! place, and the place's folder brought to disk. An image's layers go first, then its
//! documents, its name last. So after SIGKILL, a power cut or a full disk at any
//! point there is the old state or the new one, and at most files that no
//! name needs: [`Store::collect_but`] takes them. `session` says how those who write
//! keep out of each other's way. Readers need no lock.
//!
//! What is in the store is for its owner alone (mode 0700): images may be private, and their files have set-user-ID
//! bits; and whoever can open a file can hold its lock.

mod adopt;
mod check;
mod collect;
mod download;
mod export;
mod fetch_layer;
mod import;
mod intake;
mod mend;
mod nameless;
mod names;
mod parallel;
pub(crate) mod publish;
mod pull;
mod push;
mod read;
mod session;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod pull_tests;
#[cfg(test)]
mod push_tests;
#[cfg(test)]
mod tests;

pub use check::{Bad, Checked};
pub use collect::{Collected, Held, Room};
pub use export::Form;
pub use import::Imported;
pub use mend::Outcome;
pub use names::Details;
pub(crate) use names::{details_by_digest_in, details_in};
pub use pull::Pulled;
pub use push::Pushed;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use read::file_name;
pub use read::{Image, Layer, Listed};
pub(crate) use read::{resolve_digest_in, resolve_in};

use crate::error::{Result, io_error};
use crate::oci::Platform;
use std::path::{Path, PathBuf};

/// A store, opened.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    writable: bool,
    platform: Platform,
    keeps_packed: bool,
}

impl Store {
    /// Opens a store to read and write, and makes it where it is missing. What is in it is for its owner alone, also of
    /// one that was open to others; a folder of something else that it is made in stays as it is.
    ///
    /// # Errors
    /// A folder cannot be made, or made private.
    pub fn open(root: &Path) -> Result<Self> {
        if !root.exists() {
            sys::file::make_private(root, None).map_err(io_error("make", root))?;
        }
        // Who can open `tmp` can lock it.
        for folder in ["layers", "blobs", "names", "tmp"] {
            let path = root.join(folder);
            sys::file::make_private(&path, None).map_err(io_error("make", &path))?;
        }
        Ok(Self { writable: true, ..Self::at(root) })
    }

    /// Opens a store that is only read. It may be missing: then it is empty.
    pub fn open_read_only(root: &Path) -> Self {
        Self::at(root)
    }

    fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), writable: false, platform: Platform::host(), keeps_packed: true }
    }

    /// Chooses for another platform than this program's own when an image has several variants.
    #[must_use]
    pub fn for_platform(self, platform: Platform) -> Self {
        Self { platform, ..self }
    }

    /// Keeps no layer as it came, only its erofs file: images that come from now on take less
    /// space, and cannot be pushed or exported from here.
    #[must_use]
    pub fn without_packed_layers(self) -> Self {
        Self { keeps_packed: false, ..self }
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }
}
