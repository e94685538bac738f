//! OCI image layouts.

use super::{Candidate, Files, Kind, LayerFile, Picked};
use crate::digest::Digest;
use crate::oci::{
    self, CONFIG_MAX, Descriptor, Document, MANIFEST_MAX, Manifest, Platform, Reference, media,
};
use std::collections::BTreeMap;

/// How deep indexes may lie in one another.
const DEPTH_MAX: usize = 4;

/// The images that `index.json` lists; entries of one digest are one image.
pub(super) fn candidates(files: &Files) -> Result<Vec<Candidate>, String> {
    let index = files.read("index.json", MANIFEST_MAX)?;
    let Document::Index(entries) = oci::read(&index).map_err(|why| format!("index.json: {why}"))? else {
        return Err("index.json: a manifest, not an index".into());
    };
    let mut images: Vec<Candidate> = Vec::new();
    let mut known = BTreeMap::<Digest, usize>::new();
    for entry in entries {
        let name = name(&entry);
        let at = *known.entry(entry.digest.clone()).or_insert_with(|| {
            images.push(Candidate { names: Vec::new(), kind: Kind::Oci(entry) });
            images.len() - 1
        });
        images[at].names.extend(name);
    }
    Ok(images)
}

/// An entry's name: containerd and Docker give it in full; others give the
/// image-spec's `ref.name`, a tag alone or a whole name.
fn name(entry: &Descriptor) -> Option<Reference> {
    let full = entry.annotation("io.containerd.image.name");
    let name = full.or_else(|| entry.annotation("org.opencontainers.image.ref.name"))?;
    name.parse().ok()
}

/// Follows an entry to the manifest that fits the platform, and reads it.
pub(super) fn pick(files: &Files, entry: &Descriptor, platform: &Platform) -> Result<Picked, String> {
    let mut descriptor = entry.clone();
    for _ in 0..DEPTH_MAX {
        let bytes = document(files, &descriptor, MANIFEST_MAX).map_err(|why| format!("manifest {why}"))?;
        let what = |why: String| format!("manifest {}: {why}", descriptor.digest);
        match oci::read(&bytes).map_err(what)? {
            Document::Manifest(manifest) => return read(files, &descriptor, bytes, manifest),
            Document::Index(entries) => {
                descriptor = fitting(&entries, platform).ok_or_else(|| missing(&entries, platform))?.clone();
            }
        }
    }
    Err(format!("manifest {}: indexes within indexes, more than {DEPTH_MAX} deep", entry.digest))
}

/// The entry whose platform fits best; of equals, the first. An entry without a
/// platform is an index within, or an image that does not say.
fn fitting<'e>(entries: &'e [Descriptor], platform: &Platform) -> Option<&'e Descriptor> {
    let distance = |entry: &&Descriptor| match &entry.platform {
        Some(offered) => platform.distance(offered),
        None => Some(u32::MAX),
    };
    entries.iter().filter(|entry| distance(entry).is_some()).min_by_key(distance)
}

fn missing(entries: &[Descriptor], platform: &Platform) -> String {
    let offered: Vec<_> =
        entries.iter().filter_map(|entry| entry.platform.as_ref()).map(Platform::to_string).collect();
    format!("has no variant for {platform}, only for {}", offered.join(", "))
}

fn read(
    files: &Files,
    descriptor: &Descriptor,
    bytes: Vec<u8>,
    manifest: Manifest,
) -> Result<Picked, String> {
    let config =
        document(files, &manifest.config, CONFIG_MAX).map_err(|why| format!("configuration {why}"))?;
    let layers = manifest.layers.into_iter();
    let media_type = if manifest.config.media_type == media::DOCKER_CONFIG && descriptor.media_type.is_empty()
    {
        media::DOCKER_MANIFEST.to_owned()
    } else if descriptor.media_type.is_empty() {
        media::MANIFEST.to_owned()
    } else {
        descriptor.media_type.clone()
    };
    let layers =
        layers.map(|layer| LayerFile { name: path(&layer.digest), blob: Some((layer.digest, layer.size)) });
    Ok(Picked { media_type, manifest: bytes, config, layers: layers.collect() })
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
