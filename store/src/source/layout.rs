//! OCI image layouts.

use super::{Candidate, Files, Kind, LayerFile, Picked};
use crate::digest::Digest;
use crate::oci::{self, CONFIG_MAX, Descriptor, Document, MANIFEST_MAX, Manifest, Platform, Wanted, media};
use std::collections::BTreeMap;

/// The images that `index.json` lists: entries of one digest are one image, and so are those of one name, which are for
/// several platforms. Entries that are no manifest are passed over (image-layout.md, "index.json file").
pub(super) fn candidates(files: &Files) -> Result<Vec<Candidate>, String> {
    let index = files.read("index.json", MANIFEST_MAX)?;
    let Document::Index(entries) = oci::read(&index).map_err(|why| format!("index.json: {why}"))? else {
        return Err("index.json: a manifest, not an index".into());
    };
    let mut images: Vec<Candidate> = Vec::new();
    let mut by_digest = BTreeMap::<Digest, usize>::new();
    let mut by_name = BTreeMap::<String, usize>::new();
    for entry in entries.into_iter().filter(is_image) {
        let name = name(&entry).map(str::to_owned);
        let known = by_digest.get(&entry.digest).or_else(|| by_name.get(name.as_ref()?)).copied();
        let at = known.unwrap_or(images.len());
        if known.is_none() {
            images.push(Candidate { names: Vec::new(), tags: Vec::new(), kind: Kind::Oci(Vec::new()) });
        }
        by_digest.insert(entry.digest.clone(), at);
        if let Some(name) = name {
            images[at].call(&name);
            by_name.entry(name).or_insert(at);
        }
        if let Kind::Oci(entries) = &mut images[at].kind {
            entries.push(entry);
        }
    }
    Ok(images)
}

/// True of a manifest or an index; one that does not say is looked at.
fn is_image(entry: &Descriptor) -> bool {
    let known = [media::MANIFEST, media::INDEX, media::DOCKER_MANIFEST, media::DOCKER_LIST];
    entry.media_type.is_empty() || known.contains(&entry.media_type.as_str())
}

/// An entry's name: containerd and Docker give it in full; others give the
/// image-spec's `ref.name`, a tag alone or a whole name.
fn name(entry: &Descriptor) -> Option<&str> {
    let full = entry.annotation("io.containerd.image.name");
    full.or_else(|| entry.annotation("org.opencontainers.image.ref.name"))
}

impl Candidate {
    /// Gives it a name, or what is a tag alone.
    fn call(&mut self, name: &str) {
        if !name.contains(['/', ':', '@']) {
            self.tags.push(name.to_owned());
        } else if let Ok(name) = name.parse()
            && !self.names.contains(&name)
        {
            self.names.push(name);
        }
    }
}

/// Follows the entries to the manifest that fits the platform, and reads it.
pub(super) fn pick(files: &Files, entries: &[Descriptor], platform: &Platform) -> Result<Picked, String> {
    let (entry, (descriptor, bytes, manifest)) = oci::among(entries, platform, |wanted| match wanted {
        Wanted::Manifest(descriptor) => document(files, descriptor, MANIFEST_MAX),
        Wanted::Config(descriptor) => document(files, descriptor, CONFIG_MAX),
    })?;
    let index = Some(&entry.digest).filter(|digest| **digest != descriptor.digest).cloned();
    Ok(Picked { index, ..read(files, &descriptor, bytes, manifest)? })
}

fn read(
    files: &Files,
    descriptor: &Descriptor,
    bytes: Vec<u8>,
    manifest: Manifest,
) -> Result<Picked, String> {
    let config =
        document(files, &manifest.config, CONFIG_MAX).map_err(|why| format!("configuration {why}"))?;
    let media_type = oci::media_type(&descriptor.media_type, &manifest).to_owned();
    let layers = manifest.layers.into_iter();
    let layers =
        layers.map(|layer| LayerFile { name: path(&layer.digest), blob: (layer.digest, layer.size) });
    Ok(Picked { media_type, index: None, manifest: bytes, config, layers: layers.collect() })
}

/// Reads a small blob and checks it against its descriptor.
fn document(files: &Files, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, String> {
    let Descriptor { digest, size, .. } = descriptor;
    if *size > limit {
        return Err(format!("{digest}: {size} bytes, more than {} MiB", limit >> 20));
    }
    let bytes = files.read(&path(digest), limit)?;
    if bytes.len() as u64 != *size || !digest.matches(&bytes) {
        return Err(format!("{digest}: the content is another one ({} of {size} bytes)", bytes.len()));
    }
    Ok(bytes)
}

fn path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}
