//! Images from a folder or an archive into the store.

use super::intake::Incoming;
use super::read::{Name, parse};
use super::session::Session;
use super::{Store, read};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::layer;
use crate::oci::{ConfigFile, Platform, Reference};
use crate::progress::{Progress, State, Told};
use crate::source::{Candidate, LayerFile, Picked, Root, Source};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use sys::cause::cause;

/// What an import brought.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The name that the image now has; an image that has none in the source has none here either.
    pub name: Option<Reference>,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Layers written; those that were there already do not count.
    pub new_layers: usize,
    /// What was left out of layers, a sentence each.
    pub notes: Vec<String>,
}

impl Imported {
    /// What it is called: by its name, or by its digest.
    pub fn called(&self) -> String {
        self.name.as_ref().map_or_else(|| self.digest.to_string(), Reference::to_string)
    }
}

impl Store {
    /// Takes one image from an OCI layout folder, an oci-archive or a
    /// docker-archive and gives it a name: the image that has this name there,
    /// or the only one. An archive may be compressed, or a pipe such as `/dev/stdin`.
    ///
    /// # Errors
    /// The source or the image is wrong: the message names it, down to the
    /// layer and the entry. The store is unchanged then.
    pub fn import(&self, source: &Path, name: &str) -> Result<Imported> {
        self.import_as(source, name, &())
    }

    /// As [`Self::import`], and tells how far it is.
    ///
    /// # Errors
    /// As [`Self::import`].
    pub fn import_as(&self, source: &Path, name: &str, progress: &dyn Progress) -> Result<Imported> {
        let name = parse(name)?;
        let session = self.session(&name)?;
        let opened = Source::open(source, || session.scratch())?;
        self.take_named(&session, source, &opened, &name, progress)
    }

    /// Makes an image of an archive with the files of a root, as `docker export` writes it.
    ///
    /// # Errors
    /// As [`Self::import`]; images are in it.
    pub fn import_root(
        &self,
        source: &Path,
        name: &str,
        root: &Root,
        progress: &dyn Progress,
    ) -> Result<Imported> {
        let name = parse(name)?;
        let session = self.session(&name)?;
        let opened = Source::of_root(source, root, &self.platform, || session.scratch())?;
        self.take_named(&session, source, &opened, &name, progress)
    }

    fn take_named(
        &self,
        session: &Session,
        source: &Path,
        opened: &Source,
        name: &Reference,
        progress: &dyn Progress,
    ) -> Result<Imported> {
        let image = opened.choose(name).map_err(|why| Error::wrong(source.display(), why))?;
        self.take(session, opened, image, Some(name), progress)
    }

    /// Takes every image of the source under its own names, and one that has none under its digest, as [`Self::nameless`]
    /// has it; one that has a tag alone is passed over. So are those for other platforms alone, with a note to the last one
    /// taken.
    ///
    /// # Errors
    /// As [`Self::import`]; no image in it runs here, or has more than a tag. Images before a wrong one stay.
    pub fn import_all(&self, source: &Path, progress: &dyn Progress) -> Result<Vec<Imported>> {
        let session = self.session(&source.display())?;
        let opened = Source::open(source, || session.scratch())?;
        let (mut imported, mut passed) = (Vec::new(), Vec::new());
        for image in &opened.images {
            for name in image.wanted() {
                match Source::is_foreign(image, &self.platform) {
                    Some(why) => passed.push(format!("{}: {why}", whole(name))),
                    None => imported.push(self.take(&session, &opened, image, name, progress)?),
                }
            }
        }
        match imported.last_mut() {
            Some(Imported { notes, .. }) => notes.extend(passed),
            None if passed.is_empty() => {
                return Err(Error::wrong(source.display(), opened.none()));
            }
            None => return Err(Error::wrong(source.display(), passed.join("; "))),
        }
        Ok(imported)
    }

    pub(super) fn session(&self, what: &impl std::fmt::Display) -> Result<Session> {
        if self.writable {
            Session::begin(&self.root)
        } else {
            Err(Error::wrong(what, "the store is read-only"))
        }
    }

    fn take(
        &self,
        session: &Session,
        source: &Source,
        image: &Candidate,
        name: Option<&Reference>,
        progress: &dyn Progress,
    ) -> Result<Imported> {
        let whole = whole(name);
        let within = |why: String| Error::wrong(&whole, why);
        let picked = source.pick(image, &self.platform).map_err(within)?;
        let file = self.check_documents(&picked, name).map_err(within)?;
        let own =
            name.and_then(|name| name.digest.clone()).filter(|digest| picked.index.as_ref() != Some(digest));
        let digest = own.unwrap_or_else(|| Digest::sha256(&picked.manifest));
        let config_digest = read::config_digest(&picked.manifest).map_err(within)?;
        let layers = picked.layers.iter().zip(&file.rootfs.diff_ids);
        let blobs = picked.layers.iter().map(|layer| &layer.blob.0);
        let own = [&digest, &config_digest].into_iter();
        session.need(&self.paths(&file.rootfs.diff_ids, own.chain(blobs)))?;
        let (mut new_layers, mut notes) = (0, Vec::new());
        for (place, (layer, diff_id)) in layers.enumerate() {
            let blob = &layer.blob.0;
            let told = Told { layer: place, digest: blob, total: source.length(layer), progress };
            if self.has(diff_id, blob) {
                told.say(told.total, State::Present);
                continue;
            }
            let report = self
                .take_file(session, source, layer, diff_id, &told)
                .map_err(|error| error.within(&whole))?;
            told.say(told.total, State::Done);
            new_layers += 1;
            notes.extend(report.notes);
        }
        let Picked { media_type, manifest, config, .. } = &picked;
        let (own, config_digest) = (&digest, &config_digest);
        let index = picked.index.as_ref().filter(|_| self.platform == Platform::host());
        let documented = Documented { media_type, manifest, digest: own, config, config_digest, index };
        match name {
            Some(name) => self.publish(session, &documented, name)?,
            None => self.publish_documents(session, &documented)?,
        }
        Ok(Imported { name: name.cloned(), digest, new_layers, notes })
    }

    /// Checks an image's documents against each other and against what was asked for.
    fn check_documents(
        &self,
        picked: &Picked,
        name: Option<&Reference>,
    ) -> std::result::Result<ConfigFile, String> {
        let file = self.check_config(&picked.config, picked.layers.len())?;
        match name.and_then(|name| name.digest.as_ref()) {
            Some(digest) if picked.index.as_ref() != Some(digest) && !digest.matches(&picked.manifest) => {
                Err(format!("its manifest is not {digest}"))
            }
            _ => Ok(file),
        }
    }

    /// Checks a configuration against its manifest and this store's platform.
    pub(super) fn check_config(
        &self,
        config: &[u8],
        layers: usize,
    ) -> std::result::Result<ConfigFile, String> {
        let file: ConfigFile =
            serde_json::from_slice(config).map_err(|error| format!("its configuration: {error}"))?;
        let ids = file.rootfs.diff_ids.len();
        if layers != ids {
            return Err(format!("its manifest lists {layers} layers, its configuration {ids}"));
        }
        if !self.platform.takes(&file.platform) {
            return Err(format!("is for {}, not for {}", file.platform, self.platform));
        }
        Ok(file)
    }

    /// Takes a layer, and its stored form too where that is kept.
    fn take_file(
        &self,
        session: &Session,
        source: &Source,
        file: &LayerFile,
        diff_id: &Digest,
        told: &Told<'_>,
    ) -> Result<layer::Report> {
        let opening = |why| Error::wrong(format!("layer {diff_id}"), format!("open {}: {why}", file.name));
        let stored = told.counting(source.layer(file).map_err(|error| opening(cause(&error)))?);
        let (digest, size) = &file.blob;
        let layer = Incoming { diff_id, blob: (digest, *size), name: &file.name };
        if !self.keeps_packed {
            return self.take_layer(session, &layer, stored);
        }
        let copy = session.draft()?;
        let report = self.take_layer(session, &layer, Copied { from: stored, to: &copy.file })?;
        copy.publish(&self.blob_path(digest))?;
        Ok(report)
    }

    /// Publishes an image's documents and its name, which makes it visible.
    pub(super) fn publish(&self, session: &Session, picked: &Documented<'_>, name: &Reference) -> Result<()> {
        self.publish_documents(session, picked)?;
        let mut found = Name::new(picked.media_type, picked.digest, picked.manifest.len() as u64);
        found.index = picked.index.cloned();
        session.write(found.text(name).as_bytes(), &self.name_path(name))
    }

    /// Publishes the documents of an image that has no name of its own, or has it already.
    pub(super) fn publish_documents(&self, session: &Session, picked: &Documented<'_>) -> Result<()> {
        session.write(picked.config, &self.blob_path(picked.config_digest))?;
        session.write(picked.manifest, &self.blob_path(picked.digest))
    }
}

fn whole(name: Option<&Reference>) -> String {
    name.map_or_else(|| "the image without a name".to_owned(), |name| format!("image {name}"))
}

/// An image's documents as they are published.
pub(super) struct Documented<'d> {
    pub media_type: &'d str,
    pub manifest: &'d [u8],
    pub digest: &'d Digest,
    pub config: &'d [u8],
    pub config_digest: &'d Digest,
    /// The digest of the index that the registry has by the image's name.
    pub index: Option<&'d Digest>,
}

/// Writes what is read to a file, too.
struct Copied<'f, R> {
    from: R,
    to: &'f File,
}

impl<R: Read> Read for Copied<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        let written = self.to.write_all(&buffer[..count]);
        written.map_err(|error| io::Error::other(format!("keep a copy: {}", cause(&error))))?;
        Ok(count)
    }
}
