//! Names of images: given, taken away, told of.

use super::read::Documents;
use super::session::Gate;
use super::{Store, publish, read};
use crate::digest::Digest;
use crate::error::{Error, Result, io_error};
use crate::oci::{History, Platform, Reference};
use std::fs;
use std::io::ErrorKind;

/// What a list of images shows beside names and digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// When the image was made, as it says (RFC 3339).
    pub created: Option<String>,
    /// How many layers it has.
    pub layers: usize,
    /// Bytes of its layers' erofs files; other images may have some of them, too.
    pub size: u64,
    /// What it is for.
    pub platform: Platform,
    /// The digest of the index that the registry has by its name, where it is one of several images of it.
    pub index: Option<Digest>,
    /// The steps by which it was made, the first one first; none where it tells none.
    pub history: Vec<History>,
}

impl Store {
    /// Takes `name` away from its image, whose layers stay until [`Self::collect_but`].
    ///
    /// # Errors
    /// There is no such image; the store is read-only.
    pub fn remove(&self, name: &str) -> Result<()> {
        let name = read::parse(name)?;
        if !self.writable {
            return Err(Error::ReadOnly(name.to_string()));
        }
        let _gate = Gate::shut(&self.root)?;
        let path = self.name_path(&name);
        match fs::remove_file(&path) {
            Ok(()) => publish::sync_folder_of(&path),
            Err(error) if error.kind() == ErrorKind::NotFound => match self.find_by_digest(&name)? {
                Some((other, _)) => Err(Error::wrong(
                    format!("image {name}"),
                    format!("has the name {other} here; remove that"),
                )),
                None => Err(Error::NoImage(name.to_string())),
            },
            Err(error) => Err(io_error("remove", &path)(error)),
        }
    }

    /// Gives an image of this store one more name, in place of what had it.
    ///
    /// # Errors
    /// There is no such image; the store is read-only.
    pub fn tag(&self, name: &str, new_name: &str) -> Result<()> {
        let (name, new_name) = (read::parse(name)?, read::parse(new_name)?);
        let session = self.session(&name)?;
        // No collection may come between reading the one name and writing the other.
        let _gate = Gate::shut(&self.root)?;
        let found = self.find(&name)?.ok_or_else(|| Error::NoImage(name.to_string()))?;
        let found = found.called(&new_name, &name);
        may_be_called(&new_name, &name.to_string(), &found.digest)?;
        session.write(found.text(&new_name).as_bytes(), &self.name_path(&new_name))
    }

    /// See [`crate::Stores::digest`].
    pub(crate) fn digest(&self, name: &str) -> Result<Option<Digest>> {
        Ok(self.find(&read::parse(name)?)?.map(|found| found.digest))
    }

    /// Tells more of an image of this store.
    ///
    /// # Errors
    /// There is no such image, or it is damaged.
    pub fn details(&self, name: &Reference) -> Result<Details> {
        details_in(std::slice::from_ref(self), name)
    }
}

/// A name with a digest is that image's alone.
pub(super) fn may_be_called(new_name: &Reference, name: &str, digest: &Digest) -> Result<()> {
    match &new_name.digest {
        Some(other) if other != digest => {
            Err(Error::wrong(format!("image {new_name}"), format!("{name} is {digest}")))
        }
        _ => Ok(()),
    }
}

/// Tells more of an image in the first store that has its name; each of its layers is in the first that has it.
pub(crate) fn details_in(stores: &[Store], name: &Reference) -> Result<Details> {
    let documents = stores.iter().find_map(|store| store.documents(name).transpose());
    details_of(stores, documents.ok_or_else(|| Error::NoImage(name.to_string()))??)
}

/// The same by the digest of its manifest.
pub(crate) fn details_by_digest_in(stores: &[Store], digest: &Digest) -> Result<Details> {
    let store = stores.iter().find(|store| store.has_manifest(digest));
    let store = store.ok_or_else(|| Error::NoImage(digest.to_string()))?;
    details_of(stores, store.documents_by_digest(&read::parse(&format!("none@{digest}"))?, digest)?)
}

fn details_of(stores: &[Store], documents: Documents) -> Result<Details> {
    let mut size = 0;
    for diff_id in &documents.diff_ids {
        let path = stores.iter().find_map(|store| store.layer(diff_id));
        let path = path.ok_or_else(|| read::no_layer(&documents.name, diff_id))?;
        size += fs::metadata(&path).map_err(io_error("read", &path))?.len();
    }
    Ok(Details {
        created: documents.created,
        layers: documents.diff_ids.len(),
        size,
        platform: documents.platform,
        index: documents.index,
        history: documents.history,
    })
}
