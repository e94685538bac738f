//! Images that have lost their names: another image has been given it since, or a container keeps what has none.

use super::names::may_be_called;
use super::read::{self, Name};
use super::session::Gate;
use super::{Store, check, collect};
use crate::digest::Digest;
use crate::error::{Error, Result, io_error};
use crate::oci::MANIFEST_MAX;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

impl Store {
    /// The digests of their manifests, in order. What a collection that was cut off has left of one is none.
    ///
    /// # Errors
    /// The store cannot be listed.
    pub fn nameless(&self) -> Result<Vec<Digest>> {
        let named: BTreeSet<Digest> = self.list()?.into_iter().map(|image| image.digest).collect();
        let blobs = collect::files(&self.root.join("blobs"))?;
        let documents = blobs.iter().filter(|path| is_document(path));
        let mut found: Vec<Digest> = documents.filter_map(|path| check::named(path)).collect();
        found.retain(|digest| !named.contains(digest) && self.has_whole(digest));
        found.sort();
        Ok(found)
    }

    /// It is a manifest, and all of its image is here.
    fn has_whole(&self, digest: &Digest) -> bool {
        let documents =
            read::parse(&format!("none@{digest}")).and_then(|name| self.documents_by_digest(&name, digest));
        let layers = documents.map(|documents| documents.diff_ids);
        layers.is_ok_and(|layers| layers.iter().all(|diff_id| self.layer(diff_id).is_some()))
    }

    /// Gives an image of this store a name by the digest of its manifest, in place of what had it.
    ///
    /// # Errors
    /// There is no such image; the store is read-only.
    pub fn tag_digest(&self, digest: &Digest, new_name: &str) -> Result<()> {
        let new_name = read::parse(new_name)?;
        may_be_called(&new_name, &digest.to_string(), digest)?;
        let session = self.session(&new_name)?;
        // No collection may come between.
        let _gate = Gate::shut(&self.root)?;
        if !self.has_manifest(digest) {
            return Err(Error::NoImage(digest.to_string()));
        }
        let image = self.documents_by_digest(&new_name, digest)?;
        let path = self.blob_path(digest);
        let size = fs::metadata(&path).map_err(io_error("read", &path))?.len();
        let found = Name::new(&image.media_type, digest, size);
        session.write(found.text(&new_name).as_bytes(), &self.name_path(&new_name))
    }
}

/// It is small, and begins as an object of JSON: no layer does.
fn is_document(path: &Path) -> bool {
    let mut first = [0];
    let read = File::open(path).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.read_exact(&mut first).map(|()| length)
    });
    read.is_ok_and(|length| length <= MANIFEST_MAX) && first == [b'{']
}
