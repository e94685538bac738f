//! Images from a registry into the store.
//!
//! The manifest and the configuration first, for they tell what is missing; then
//! the layers, some at a time, each unpacked and converted while it arrives; the
//! image's documents and its name last.

use super::Store;
use super::fetch_layer::{Job, Layers};
use super::import::Documented;
use super::read::parse;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::layer::Limits;
use crate::oci::{self, ConfigFile, Descriptor, Platform, Reference, Wanted};
use crate::progress::Progress;
use crate::registry::{Failure, Origins, Registries, Stop};
use std::collections::{BTreeMap, BTreeSet};

/// What a pull brought.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The name that the image has.
    pub name: Reference,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Length of its layers in the registry, in bytes.
    pub size: u64,
    /// The store had this very image under this name.
    pub up_to_date: bool,
    /// Layers written; those that were there already do not count.
    pub new_layers: usize,
    /// What was left out of layers, and which mirrors could not be used: a sentence each.
    pub notes: Vec<String>,
}

/// An image as its registry describes it.
struct Described {
    /// Of what was asked for: a manifest, or an index.
    top: Digest,
    digest: Digest,
    media_type: &'static str,
    manifest: Vec<u8>,
    config: Vec<u8>,
    config_digest: Digest,
    diff_ids: Vec<Digest>,
    layers: Vec<Descriptor>,
}

impl Store {
    /// Pulls an image: from the mirrors of its registry, in their order, or the registry itself.
    /// What was downloaded before a failure or a crash is gone on with by the
    /// next pull; a layer that another program is downloading is waited for.
    ///
    /// # Errors
    /// The registry does not give the image, or something in it is wrong: the message
    /// names it, down to the layer. The store shows no part of the image then.
    pub fn pull(&self, registries: &Registries, name: &str, progress: &dyn Progress) -> Result<Pulled> {
        let name = parse(name)?;
        let whole = format!("image {name}");
        let within = |why: String| Error::wrong(&whole, why);
        if !self.writable {
            return Err(within("the store is read-only".into()));
        }
        let stop = Stop::default();
        let mut origins = registries.origins(&name, &stop).map_err(within)?;
        let digest = origins.digest(&name);
        let digest = digest.map_err(|failure| within(origins.words(failure.of("manifest"))))?;
        // The digest of a tag has come from the registry; one in the name has come from nobody.
        let told = name.digest.is_none() || !registries.confirms();
        if told && let Some(pulled) = self.unchanged(&name, digest.as_ref())? {
            return Ok(Pulled { notes: origins.notes, ..pulled });
        }
        let image = self.describe(&mut origins, &name, digest).map_err(|failure| {
            let (name, registry) = (name.to_string(), name.registry.clone());
            match &failure {
                Failure::Missing(_) => Error::NotFound { name, registry, why: origins.words(failure) },
                Failure::Denied(_) => Error::Denied { name, registry, why: origins.words(failure) },
                _ => within(origins.words(failure)),
            }
        })?;
        if let Some(pulled) = self.unchanged(&name, Some(&image.top))? {
            return Ok(Pulled { notes: origins.notes, ..pulled });
        }
        // An index that is another one may have the same image: what is new is what the name is told to mean.
        let up_to_date = self.unchanged(&name, Some(&image.digest))?.is_some();
        let taken = self.take_image(&image, &name, true, &origins, &stop, progress);
        Ok(Pulled { up_to_date, ..taken.map_err(|error| error.within(&whole))? })
    }

    /// Fetches what is missing of an image that is here, whatever its name means at the registry by now. `named`:
    /// the name is to lead to it.
    pub(super) fn pull_again(
        &self,
        registries: &Registries,
        name: &Reference,
        digest: &Digest,
        named: bool,
        progress: &dyn Progress,
    ) -> Result<Pulled> {
        let whole = format!("image {name}");
        let within = |why: String| Error::wrong(&whole, why);
        let stop = Stop::default();
        let mut origins = registries.origins(name, &stop).map_err(within)?;
        let image = self.describe(&mut origins, name, Some(digest.clone()));
        let image = image.map_err(|failure| within(origins.words(failure)))?;
        self.take_image(&image, name, named, &origins, &stop, progress).map_err(|error| error.within(&whole))
    }

    /// The image that the name has here, when it is this one, or that of this index, and whole.
    fn unchanged(&self, name: &Reference, digest: Option<&Digest>) -> Result<Option<Pulled>> {
        // One that is damaged is to be pulled again.
        let Ok(Some(known)) = self.documents(name) else {
            return Ok(None);
        };
        let mut layers = known.diff_ids.iter().zip(&known.blobs);
        // The name itself: another one of the same digest may be gone tomorrow.
        if !self.name_path(name).exists() {
            return Ok(None);
        }
        // An index has an image for each machine: the one that is here is this machine's.
        let is_ours = self.platform == Platform::host() && self.platform.distance(&known.platform).is_some();
        let index = known.index.as_ref().filter(|_| is_ours);
        let is_this = digest.is_some() && [Some(&known.digest), index].contains(&digest);
        if !is_this || !layers.all(|(diff_id, (blob, _))| self.has(diff_id, blob)) {
            return Ok(None);
        }
        let size = known.blobs.iter().map(|(_, size)| size).sum();
        Ok(Some(Pulled { size, up_to_date: true, ..Pulled::empty(name, &known.digest) }))
    }

    /// Fetches manifest and configuration, and checks them.
    fn describe(
        &self,
        origins: &mut Origins<'_>,
        name: &Reference,
        digest: Option<Digest>,
    ) -> std::result::Result<Described, Failure> {
        let reference = match &digest {
            Some(digest) => digest.to_string(),
            None => name.tag.clone().unwrap_or_else(|| "latest".into()),
        };
        let top = origins.manifest(&reference, digest.as_ref()).map_err(|failure| failure.of("manifest"))?;
        let digest = digest.unwrap_or_else(|| Digest::sha256(&top.bytes));
        let entry = Descriptor::new(&top.media_type, digest.clone(), top.bytes.len() as u64);
        let mut top = Some(top.bytes);
        let (found, manifest, parsed) =
            oci::follow(&entry, &self.platform, |wanted| match (wanted, top.take()) {
                (Wanted::Manifest(_), Some(bytes)) => Ok(bytes),
                (Wanted::Manifest(listed), None) => {
                    fetch_listed(origins, listed).map_err(|why| format!("{}: {why}", listed.digest))
                }
                (Wanted::Config(config), _) => {
                    origins.config(config).map_err(|why| format!("{}: {why}", config.digest))
                }
            })?;
        let config = origins.config(&parsed.config);
        let config = config.map_err(|why| format!("configuration {}: {why}", parsed.config.digest))?;
        let ConfigFile { rootfs, .. } = self.check_config(&config, parsed.layers.len())?;
        check_contents(&parsed.layers, &rootfs.diff_ids)?;
        let limit = Limits::default().bytes;
        if let Some(layer) = parsed.layers.iter().find(|layer| layer.size > limit) {
            return Err(format!("layer {}: {} bytes, more than {limit}", layer.digest, layer.size).into());
        }
        let media_type = oci::media_type(&found.media_type, &parsed);
        Ok(Described {
            top: digest,
            digest: found.digest,
            media_type,
            manifest,
            config,
            config_digest: parsed.config.digest,
            diff_ids: rootfs.diff_ids,
            layers: parsed.layers,
        })
    }

    fn take_image(
        &self,
        image: &Described,
        name: &Reference,
        named: bool,
        origins: &Origins<'_>,
        stop: &Stop,
        progress: &dyn Progress,
    ) -> Result<Pulled> {
        let session = self.session(name)?;
        let own = [&image.digest, &image.config_digest].into_iter();
        let blobs = image.layers.iter().map(|layer| &layer.digest);
        session.need(&self.paths(&image.diff_ids, own.chain(blobs)))?;
        let layers = Layers { store: self, session: &session, clients: &origins.clients, stop, progress };
        let (new_layers, notes) = layers.take(&image.jobs())?;
        let Described { top, media_type, manifest, digest, config, config_digest, .. } = image;
        let index = (top != digest && self.platform == Platform::host()).then_some(top);
        let documented = Documented { media_type, manifest, digest, config, config_digest, index };
        match named {
            true => self.publish(&session, &documented, name)?,
            false => self.publish_documents(&session, &documented)?,
        }
        let size = image.layers.iter().map(|layer| layer.size).sum();
        let notes = origins.notes.iter().cloned().chain(notes).collect();
        Ok(Pulled { size, new_layers, notes, ..Pulled::empty(name, digest) })
    }
}

impl Described {
    /// The layers, each once.
    fn jobs(&self) -> Vec<Job<'_>> {
        let mut known = BTreeSet::new();
        let layers = self.layers.iter().zip(&self.diff_ids).enumerate();
        layers
            .filter(|(_, (layer, _))| known.insert(&layer.digest))
            .map(|(place, (layer, diff_id))| Job { place, diff_id, digest: &layer.digest, size: layer.size })
            .collect()
    }
}

impl Pulled {
    fn empty(name: &Reference, digest: &Digest) -> Self {
        let (name, digest) = (name.clone(), digest.clone());
        Self { name, digest, size: 0, up_to_date: false, new_layers: 0, notes: Vec::new() }
    }
}

/// A layer that is there twice has one content: it is fetched, and checked, once.
fn check_contents(layers: &[Descriptor], diff_ids: &[Digest]) -> std::result::Result<(), String> {
    let mut known = BTreeMap::new();
    for (Descriptor { digest, .. }, diff_id) in layers.iter().zip(diff_ids) {
        let first = known.insert(digest, diff_id).unwrap_or(diff_id);
        if first != diff_id {
            return Err(format!("layer {digest}: is to have two contents, {first} and {diff_id}"));
        }
    }
    Ok(())
}

/// Fetches a manifest that an index lists.
fn fetch_listed(origins: &mut Origins<'_>, wanted: &Descriptor) -> std::result::Result<Vec<u8>, String> {
    let fetched =
        origins.manifest(&wanted.digest.to_string(), Some(&wanted.digest)).map_err(Failure::words)?;
    if fetched.bytes.len() as u64 == wanted.size {
        Ok(fetched.bytes)
    } else {
        Err(format!("{} bytes instead of {}", fetched.bytes.len(), wanted.size))
    }
}
