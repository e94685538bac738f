//! Taking away what nothing needs.

use super::Store;
use super::session::{self, Gate, Session, lock_if_free};
use crate::digest::Digest;
use crate::error::{Error, Result, io_error};
use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long a download waits to be gone on with.
const DOWNLOAD_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// What a collection took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Layers, blobs and downloads.
    pub files: usize,
    /// The space that they took on disk.
    pub bytes: u64,
}

/// The space that a store takes on disk, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Layers and blobs.
    pub taken: u64,
    /// Those of them that no image in use needs.
    pub unneeded: u64,
}

/// An image that no collection takes as long as this lives.
pub struct Held {
    _session: Session,
}

impl Store {
    /// Removes the layers and blobs that neither a name of this store nor an import or pull
    /// under way nor `in_use` needs, and downloads that nobody went on with for a
    /// day. `in_use` gives the manifests of containers' images, whether these still have a name or not:
    /// manifest, configuration and layers of each stay, for the next start. One that is not here, but came with the
    /// node, needs nothing of this store. It is asked once nobody can hold one more image ([`Self::hold`]), and those
    /// who do are known: who holds an image until its container is among those in use does not lose it in between.
    ///
    /// # Errors
    /// An image cannot be read: then nothing is removed, for nobody knows what
    /// it needs. A file cannot be removed. That of `in_use`.
    pub fn collect_but<E: From<Error>>(
        &self,
        in_use: impl FnOnce() -> std::result::Result<BTreeSet<Digest>, E>,
    ) -> std::result::Result<Collected, E> {
        if !self.writable {
            return Err(Error::wrong(self.root.display(), "the store is read-only").into());
        }
        let gate = Gate::shut(&self.root)?;
        // In this order: a lease that has ended meanwhile is of a container that is told of.
        let leased = gate.leases()?;
        let in_use = in_use()?;
        Ok(self.take_all_but(leased, &in_use)?)
    }

    /// The same, of what is in use all the time.
    #[cfg(test)]
    pub(crate) fn collect(&self, in_use: &BTreeSet<Digest>) -> Result<Collected> {
        self.collect_but(|| Ok(in_use.clone()))
    }

    /// The space that layers and blobs take, and how much of it would be free if no image were here but those in use, by
    /// the digests of their manifests.
    ///
    /// # Errors
    /// The store, or an image in use, cannot be read.
    pub fn room(&self, in_use: &BTreeSet<Digest>) -> Result<Room> {
        let mut needed = BTreeSet::new();
        for digest in in_use {
            needed.extend(self.files_by_digest(digest)?);
        }
        let mut room = Room::default();
        for path in [files(&self.root.join("layers"))?, files(&self.root.join("blobs"))?].concat() {
            let bytes = metadata(&path)?.map_or(0, |metadata| metadata.blocks() * 512);
            room.taken += bytes;
            room.unneeded += if needed.contains(&path) { 0 } else { bytes };
        }
        Ok(room)
    }

    /// Holds an image, by the digest of its manifest: no collection takes its files as long as what this gives lives.
    /// One may have taken them just before. None: this store has no such image, or cannot be written.
    ///
    /// # Errors
    /// The image cannot be read; the lease cannot be written.
    pub fn hold(&self, digest: &Digest) -> Result<Option<Held>> {
        if !self.writable || !self.has_manifest(digest) {
            return Ok(None);
        }
        let session = Session::begin(&self.root)?;
        match self.files_by_digest(digest) {
            Ok(files) => session.need(&files)?,
            // A collection has taken it while it was read.
            Err(_) if !self.has_manifest(digest) => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(Some(Held { _session: session }))
    }

    /// An image's manifest is here, whether it has a name or not.
    pub fn has_manifest(&self, digest: &Digest) -> bool {
        self.blob_path(digest).is_file()
    }

    /// With the gate shut.
    fn take_all_but(&self, leased: BTreeSet<PathBuf>, in_use: &BTreeSet<Digest>) -> Result<Collected> {
        let mut needed = leased;
        for digest in in_use {
            needed.extend(self.files_by_digest(digest)?);
        }
        for listed in self.names()? {
            let listed = listed.map_err(|bad| Error::wrong(format!("{} {}", bad.kind, bad.name), bad.why))?;
            let documents = self.documents(&listed.name)?.ok_or(Error::NoImage(listed.name.to_string()))?;
            needed.extend(self.files_of(&documents));
        }
        let mut collected = Collected::default();
        for path in ["layers", "blobs"].map(|folder| self.root.join(folder)) {
            let mut unneeded = files(&path)?;
            unneeded.retain(|path| !needed.contains(path));
            // A layer goes before its seal: who is killed in between must not leave one that nobody can compare.
            unneeded.sort_by_key(|path| path.extension().is_some_and(|end| end == "verity"));
            for path in unneeded {
                collected.remove(&path)?;
            }
        }
        collected.old_downloads(&self.root.join("downloads"))?;
        Ok(collected)
    }
}

impl Collected {
    fn remove(&mut self, path: &Path) -> Result<()> {
        // A check of the store or the end of a download may have taken it.
        let Some(metadata) = metadata(path)? else { return Ok(()) };
        session::remove(fs::remove_file(path), path)?;
        self.files += 1;
        self.bytes += metadata.blocks() * 512;
        Ok(())
    }

    /// Removes the downloads that are old and not at work.
    fn old_downloads(&mut self, folder: &Path) -> Result<()> {
        for path in files(folder)? {
            let Some(metadata) = metadata(&path)? else { continue };
            if is_old(&metadata, SystemTime::now()) && lock_if_free(&path)?.is_some() {
                self.remove(&path)?;
            }
        }
        Ok(())
    }
}

/// None: it is gone.
fn metadata(path: &Path) -> Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        metadata => metadata.map(Some).map_err(io_error("read", path)),
    }
}

fn is_old(metadata: &Metadata, now: SystemTime) -> bool {
    let age = metadata.modified().ok().and_then(|modified| now.duration_since(modified).ok());
    age.is_some_and(|age| age > DOWNLOAD_TIME)
}

/// The files in the folders of `folder`, which may be missing.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let folders = match fs::metadata(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        _ => paths(folder)?,
    };
    let files = folders.iter().map(|folder| paths(folder)).collect::<Result<Vec<_>>>()?;
    Ok(files.concat())
}

fn paths(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(io_error("list", folder))?;
    entries.map(|entry| Ok(entry.map_err(io_error("list", folder))?.path())).collect()
}
