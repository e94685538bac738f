//! Images from a folder or an archive into the store.

use super::publish::Lock;
use super::read::{file_name, parse};
use super::{Store, read};
use crate::compression;
use crate::digest::{Digest, Hashed};
use crate::error::{Error, Result, io_error};
use crate::layer;
use crate::oci::{ConfigFile, Reference};
use crate::source::{Candidate, LayerFile, Picked, Source};
use std::io::{self, BufReader, Read};
use std::path::Path;

/// What an import brought.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The name that the image now has.
    pub name: Reference,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Layers written; those that were there already do not count.
    pub new_layers: usize,
    /// What was left out of layers, a sentence each.
    pub notes: Vec<String>,
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
        let name = parse(name)?;
        let lock = self.lock(&name)?;
        let opened = Source::open(source, || lock.scratch())?;
        let image = opened.choose(&name).map_err(|why| Error::wrong(source.display(), why))?;
        self.take(&lock, &opened, image, &name)
    }

    /// Takes every image that has a name in the source, under its own names.
    ///
    /// # Errors
    /// As [`Self::import`]; no image has a name. Images before a wrong one stay.
    pub fn import_all(&self, source: &Path) -> Result<Vec<Imported>> {
        let lock = self.lock(&source.display())?;
        let opened = Source::open(source, || lock.scratch())?;
        let mut imported = Vec::new();
        for image in &opened.images {
            for name in &image.names {
                imported.push(self.take(&lock, &opened, image, name)?);
            }
        }
        if imported.is_empty() {
            return Err(Error::wrong(source.display(), "no image in it has a name"));
        }
        Ok(imported)
    }

    fn lock(&self, what: &impl std::fmt::Display) -> Result<Lock> {
        if self.writable { Lock::take(&self.root) } else { Err(Error::wrong(what, "the store is read-only")) }
    }

    fn take(&self, lock: &Lock, source: &Source, image: &Candidate, name: &Reference) -> Result<Imported> {
        let whole = format!("image {name}");
        let picked = source.pick(image, &self.platform).map_err(|why| Error::wrong(&whole, why))?;
        let file = self.check(&picked, name).map_err(|why| Error::wrong(&whole, why))?;
        let (mut new_layers, mut notes) = (0, Vec::new());
        for (layer, diff_id) in picked.layers.iter().zip(&file.rootfs.diff_ids) {
            if self.layer(diff_id).is_some() {
                continue;
            }
            let report =
                self.take_layer(lock, source, layer, diff_id).map_err(|error| error.within(&whole))?;
            new_layers += 1;
            notes.extend(report.notes);
        }
        let digest = self.publish(lock, &picked, name)?;
        Ok(Imported { name: name.clone(), digest, new_layers, notes })
    }

    /// Checks an image's documents against each other and against what was asked for.
    fn check(&self, picked: &Picked, name: &Reference) -> std::result::Result<ConfigFile, String> {
        let file: ConfigFile =
            serde_json::from_slice(&picked.config).map_err(|error| format!("its configuration: {error}"))?;
        let (layers, ids) = (picked.layers.len(), file.rootfs.diff_ids.len());
        if layers != ids {
            return Err(format!("its manifest lists {layers} layers, its configuration {ids}"));
        }
        if self.platform.distance(&file.platform).is_none() {
            return Err(format!("is for {}, not for {}", file.platform, self.platform));
        }
        match &name.digest {
            Some(digest) if !digest.matches(&picked.manifest) => Err(format!("its manifest is not {digest}")),
            _ => Ok(file),
        }
    }

    /// Converts a layer while both its digests are computed; publishes it only when both are right.
    fn take_layer(
        &self,
        lock: &Lock,
        source: &Source,
        file: &LayerFile,
        diff_id: &Digest,
    ) -> Result<layer::Report> {
        let what = format!("layer {diff_id}");
        let wrong = |why: String| Error::wrong(&what, why);
        let draft = lock.draft(&format!("{}.erofs", diff_id.hex()))?;
        let output = draft.file.try_clone().map_err(io_error("write", &self.root))?;
        let stored = source.layer(file).map_err(|error| wrong(format!("open {}: {error}", file.name)))?;
        let expected = file.blob.as_ref().map_or(diff_id, |(digest, _)| digest);
        let mut packed = Hashed::new(stored, expected);
        let converted = unpack_and_convert(&mut packed, output, diff_id, &self.limits);
        let report = match converted {
            Ok((found, _)) if found != *diff_id => Err(format!("its unpacked content is {found}")),
            Ok((_, report)) => Ok(report),
            Err(why) => Err(why),
        };
        // A wrong or cut file explains every other fault, so it is named first.
        check_blob(packed, file).map_err(wrong)?;
        let report = report.map_err(wrong)?;
        draft.publish(&self.layer_path(diff_id))?;
        Ok(report)
    }

    fn publish(&self, lock: &Lock, picked: &Picked, name: &Reference) -> Result<Digest> {
        let digest = name.digest.clone().unwrap_or_else(|| Digest::sha256(&picked.manifest));
        let config = read::config_digest(&picked.manifest).map_err(|why| Error::wrong(name, why))?;
        lock.write("config", &picked.config, &self.blob_path(&config))?;
        lock.write("manifest", &picked.manifest, &self.blob_path(&digest))?;
        let line = format!("{} {digest} {}\n", picked.media_type, picked.manifest.len());
        lock.write("name", line.as_bytes(), &self.root.join("names").join(file_name(name)))?;
        Ok(digest)
    }
}

/// Gives the digest of the unpacked archive and what became of it; both errors in words.
fn unpack_and_convert(
    packed: &mut impl Read,
    output: std::fs::File,
    diff_id: &Digest,
    limits: &layer::Limits,
) -> std::result::Result<(Digest, layer::Report), String> {
    let input = BufReader::with_capacity(1 << 16, packed);
    let unpacked = compression::unpack(input).map_err(|error| error.to_string())?;
    let mut archive = Hashed::new(unpacked, diff_id);
    let (_, report) =
        layer::convert(BufReader::with_capacity(1 << 16, &mut archive), output, diff_id.prefix(), limits)
            .map_err(|error| error.to_string())?;
    Ok((archive.finish().map_err(|error| error.to_string())?, report))
}

/// Reads a layer's file to its end and compares it with what the manifest says.
fn check_blob<R: Read>(mut packed: Hashed<R>, file: &LayerFile) -> std::result::Result<(), String> {
    let Some((digest, size)) = &file.blob else {
        return Ok(());
    };
    let limit = size.saturating_add(1).saturating_sub(packed.length);
    io::copy(&mut (&mut packed).take(limit), &mut io::sink())
        .map_err(|error| format!("read {}: {error}", file.name))?;
    if packed.length != *size {
        let length = if packed.length > *size { "more".into() } else { packed.length.to_string() };
        return Err(format!("{}: {length} bytes instead of {size}", file.name));
    }
    let found = packed.finish().map_err(|error| format!("read {}: {error}", file.name))?;
    if found == *digest { Ok(()) } else { Err(format!("{}: its content is {found}", file.name)) }
}
