//! An image of a store that is only read, taken over into one that is written.
//!
//! All that the other has of it is copied, each file compared with its digest: what has a name in a store is whole
//! there, also when the node comes with other images after an update.

use super::names::may_be_called;
use super::session::Session;
use super::{Store, check};
use crate::digest::{Digest, Hashed};
use crate::error::{Error, Result, io_error};
use crate::oci::Reference;
use std::fs::{self, File};
use std::io;
use std::path::Path;

impl Store {
    /// Gives an image of another store a name of this one.
    ///
    /// # Errors
    /// The other has no such image, or it is damaged; this store is read-only.
    pub(crate) fn adopt(&self, other: &Self, name: &Reference, new_name: &Reference) -> Result<()> {
        let session = self.session(new_name)?;
        let missing = || Error::NoImage(name.to_string());
        let (found, image) =
            (other.find(name)?.ok_or_else(missing)?, other.documents(name)?.ok_or_else(missing)?);
        may_be_called(new_name, &name.to_string(), &image.digest)?;
        session.need(&self.files_of(&image))?;
        for diff_id in image.diff_ids.iter().filter(|diff_id| self.layer(diff_id).is_none()) {
            self.adopt_layer(&session, other, diff_id)?;
        }
        let packed = image.blobs.iter().map(|(digest, _)| digest).filter(|_| self.keeps_packed);
        let packed = packed.filter(|digest| other.blob_path(digest).is_file());
        for digest in packed.chain([&image.config_digest, &image.digest]) {
            if !self.blob_path(digest).is_file() {
                self.adopt_blob(&session, other, digest)?;
            }
        }
        let found = found.called(new_name, name);
        session.write(found.text(new_name).as_bytes(), &self.name_path(new_name))
    }

    fn adopt_layer(&self, session: &Session, other: &Self, diff_id: &Digest) -> Result<()> {
        let (from, to) = (other.layer_path(diff_id), self.layer_path(diff_id));
        let seal = check::seal_path(&from);
        let recorded = fs::read_to_string(&seal).map_err(io_error("read", &seal))?;
        let mut draft = session.draft()?;
        copy(open(&from)?, &draft.file, &to)?;
        let sealed = draft.seal(&to)?.to_string();
        if sealed != recorded.trim_end() {
            return Err(Error::wrong(format!("layer {diff_id}"), "damaged on disk"));
        }
        session.write(format!("{sealed}\n").as_bytes(), &check::seal_path(&to))?;
        draft.publish(&to)
    }

    fn adopt_blob(&self, session: &Session, other: &Self, digest: &Digest) -> Result<()> {
        let (from, to) = (other.blob_path(digest), self.blob_path(digest));
        let draft = session.draft()?;
        let mut content = Hashed::new(open(&from)?, digest);
        copy(&mut content, &draft.file, &to)?;
        if content.finish().map_err(io_error("read", &from))? != *digest {
            return Err(Error::wrong(format!("blob {digest}"), "damaged on disk"));
        }
        draft.publish(&to)
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(io_error("open", path))
}

fn copy(mut from: impl io::Read, mut to: &File, path: &Path) -> Result<()> {
    io::copy(&mut from, &mut to).map(drop).map_err(io_error("write", path))
}
