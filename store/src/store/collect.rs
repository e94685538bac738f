//! Taking away what nothing needs.

use super::Store;
use super::publish::Lock;
use crate::digest::Digest;
use crate::error::{Error, Result, io_error};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What a collection took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Layers and blobs.
    pub files: usize,
    /// The space that they took on disk.
    pub bytes: u64,
}

impl Store {
    /// Removes the layers and blobs that neither a name of this store nor
    /// `in_use` needs. `in_use` are the layers of containers, running or about
    /// to: an image that is being started must be in it before its name is looked up.
    ///
    /// # Errors
    /// An image cannot be read: then nothing is removed, for nobody knows what
    /// it needs. A file cannot be removed.
    pub fn collect(&self, in_use: &BTreeSet<Digest>) -> Result<Collected> {
        if !self.writable {
            return Err(Error::wrong(self.root.display(), "the store is read-only"));
        }
        let _lock = Lock::take(&self.root)?;
        let mut needed: BTreeSet<PathBuf> = in_use.iter().map(|diff_id| self.layer_path(diff_id)).collect();
        for listed in self.list()? {
            let documents = self.documents(&listed.name)?.ok_or(Error::NoImage(listed.name.to_string()))?;
            needed.extend(documents.diff_ids.iter().map(|diff_id| self.layer_path(diff_id)));
            needed.extend([&documents.digest, &documents.config_digest].map(|digest| self.blob_path(digest)));
        }
        let mut collected = Collected::default();
        for folder in ["layers", "blobs"] {
            sweep(&self.root.join(folder), &needed, &mut collected)?;
        }
        Ok(collected)
    }
}

/// Removes the files in the folders of `folder` that are not needed.
fn sweep(folder: &Path, needed: &BTreeSet<PathBuf>, collected: &mut Collected) -> Result<()> {
    for path in paths(folder)? {
        for path in paths(&path)?.into_iter().filter(|path| !needed.contains(path)) {
            let metadata = fs::symlink_metadata(&path).map_err(io_error("read", &path))?;
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
            collected.files += 1;
            collected.bytes += std::os::unix::fs::MetadataExt::blocks(&metadata) * 512;
        }
    }
    Ok(())
}

fn paths(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(io_error("list", folder))?;
    entries.map(|entry| Ok(entry.map_err(io_error("list", folder))?.path())).collect()
}
