//! What a store has.

use super::{Bad, Store, check};
use crate::digest::Digest;
use crate::error::{Error, Result, io_error};
use crate::oci::{
    self, CONFIG_MAX, Config, ConfigFile, Document, History, MANIFEST_MAX, Manifest, Platform, Reference,
};
use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// An image, ready to be run.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its name in full.
    pub name: Reference,
    /// Digest of its manifest.
    pub digest: Digest,
    /// The digest of the index that the registry has by its name, where it is one of several images of it.
    pub index: Option<Digest>,
    /// How its containers are run.
    pub config: Config,
    /// What it is for.
    pub platform: Platform,
    /// The lowest first.
    pub layers: Vec<Layer>,
}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Layer {
    /// Digest of its unpacked archive.
    pub diff_id: Digest,
    /// Its erofs image.
    pub path: PathBuf,
}

/// A line of a list of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name in full.
    pub name: Reference,
    /// Digest of its manifest.
    pub digest: Digest,
    /// The digest of the index that the registry has by its name, where it is one of several images of it.
    pub index: Option<Digest>,
    /// It comes with the node and cannot be removed.
    pub read_only: bool,
}

/// What a file in `names/` says.
pub(super) struct Name {
    pub media_type: String,
    pub digest: Digest,
    size: u64,
    /// The digest of the index that the registry has by this name, where the manifest is the one of it for this machine.
    pub index: Option<Digest>,
    /// The name itself, where it is too long to be the file's.
    long: Option<String>,
}

impl Name {
    /// What a name leads to.
    pub fn new(media_type: &str, digest: &Digest, size: u64) -> Self {
        Self { media_type: media_type.to_owned(), digest: digest.clone(), size, index: None, long: None }
    }

    /// What a new name of the same image leads to: an index is known in its own repository alone.
    pub fn called(self, new_name: &Reference, name: &Reference) -> Self {
        let index = self.index.filter(|_| new_name.same_repository(name));
        Self { index, ..self }
    }

    /// As the file of this name says it.
    pub fn text(&self, name: &Reference) -> String {
        let index = self.index.as_ref().map(|index| format!(" {index}")).unwrap_or_default();
        let line = format!("{} {} {}{index}\n", self.media_type, self.digest, self.size);
        if escaped(name).len() > FILE_NAME_MAX { format!("{line}{name}\n") } else { line }
    }
}

/// An image's documents, without where its layers lie.
pub(crate) struct Documents {
    pub name: Reference,
    pub digest: Digest,
    pub config_digest: Digest,
    pub config: Config,
    pub diff_ids: Vec<Digest>,
    /// The layers as they came, in the same order: digest and length.
    pub blobs: Vec<(Digest, u64)>,
    /// When the image was made, as it says.
    pub created: Option<String>,
    /// Its manifest's media type.
    pub media_type: String,
    /// What it is for.
    pub platform: Platform,
    /// The digest of the index that the registry has by the name.
    pub index: Option<Digest>,
    /// The steps by which the image was made.
    pub history: Vec<History>,
}

impl Store {
    /// Its images, sorted by name. One whose name's file is damaged is left out: [`Self::damaged_names`] and
    /// [`Self::check`] tell of it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>> {
        Ok(self.names()?.into_iter().flatten().collect())
    }

    /// Names whose files do not say what they mean, though [`Self::remove`] removes them and a pull or import writes
    /// them anew.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn damaged_names(&self) -> Result<Vec<Bad>> {
        Ok(self.names()?.into_iter().filter_map(|name| name.err()).collect())
    }

    /// The files in `names/`, sorted.
    pub(super) fn names(&self) -> Result<Vec<std::result::Result<Listed, Bad>>> {
        let folder = self.root.join("names");
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(io_error("list", &folder))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let path = entry.map_err(io_error("list", &folder))?.path();
            names.extend(self.listed(&path));
        }
        names.sort_by_key(|name| match name {
            Ok(listed) => listed.name.to_string(),
            Err(bad) => bad.name.clone(),
        });
        Ok(names)
    }

    /// What a file in `names/` says; none: it is gone by now.
    pub(super) fn listed(&self, path: &Path) -> Option<std::result::Result<Listed, Bad>> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().replace("%2F", "/");
        let bad = |why| Bad { kind: "image", name: name.clone(), why, file: None };
        let found = match read_name(path) {
            Err(Error::Io { error, .. }) if error.kind() == ErrorKind::NotFound => return None,
            found => found.map_err(|error| bad(error.to_string())),
        };
        Some(found.and_then(|Name { digest, index, long, .. }| {
            let name = long.as_ref().unwrap_or(&name).parse().map_err(bad)?;
            Ok(Listed { name, digest, index, read_only: !self.writable })
        }))
    }

    /// Finds an image by name: `nginx`, `nginx:1.27`, `docker.io/library/nginx`,
    /// `nginx@sha256:…`.
    ///
    /// # Errors
    /// [`Error::NoImage`]; or the image is damaged or a layer of it missing.
    pub fn resolve(&self, name: &str) -> Result<Image> {
        resolve_in(std::slice::from_ref(self), name)
    }

    /// Where a layer is stored, if it is.
    pub fn layer(&self, diff_id: &Digest) -> Option<PathBuf> {
        Some(self.layer_path(diff_id)).filter(|path| path.is_file())
    }

    pub(super) fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("layers").join(diff_id.algorithm()).join(format!("{}.erofs", diff_id.hex()))
    }

    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm()).join(digest.hex())
    }

    pub(super) fn name_path(&self, name: &Reference) -> PathBuf {
        self.root.join("names").join(file_name(name))
    }

    /// True when all that is kept of a layer is here.
    pub(super) fn has(&self, diff_id: &Digest, blob: &Digest) -> bool {
        self.layer(diff_id).is_some() && (!self.keeps_packed || self.blob_path(blob).is_file())
    }

    /// Where an image's files are, or will be.
    pub(super) fn paths<'d>(
        &self,
        diff_ids: &[Digest],
        blobs: impl Iterator<Item = &'d Digest>,
    ) -> BTreeSet<PathBuf> {
        let layers = diff_ids.iter().map(|diff_id| self.layer_path(diff_id));
        let layers = layers.flat_map(|path| [check::seal_path(&path), path]);
        layers.chain(blobs.map(|digest| self.blob_path(digest))).collect()
    }

    /// The name's file; a digest without a tag means any name of the repository
    /// that has it, or whose image was chosen from the index of this digest for this machine.
    pub(super) fn find(&self, name: &Reference) -> Result<Option<Name>> {
        let path = self.name_path(name);
        // A store that somebody may not look into does not lack the image.
        if path.try_exists().map_err(io_error("read", &path))? {
            return read_name(&path).map(Some);
        }
        Ok(self.find_by_digest(name)?.map(|(_, found)| found))
    }

    /// A name of the repository that has the digest, and what its file says.
    pub(super) fn find_by_digest(&self, name: &Reference) -> Result<Option<(Reference, Name)>> {
        let Some(digest) = &name.digest else {
            return Ok(None);
        };
        // From an index another machine's image would be another one.
        let is_host = self.platform == Platform::host();
        for Listed { name: other, .. } in self.list()? {
            let tag = name.tag.is_none() || name.tag == other.tag;
            if other.same_repository(name) && tag {
                // It may be gone since.
                let Ok(found) = read_name(&self.name_path(&other)) else { continue };
                if found.digest == *digest || (is_host && found.index.as_ref() == Some(digest)) {
                    return Ok(Some((other, found)));
                }
            }
        }
        Ok(None)
    }

    /// Reads an image's documents and checks each against its digest.
    pub(crate) fn documents(&self, name: &Reference) -> Result<Option<Documents>> {
        let Some(found) = self.find(name)? else {
            return Ok(None);
        };
        let whole = format!("image {name}");
        let manifest = self.blob(&found.digest, MANIFEST_MAX).map_err(|error| error.within(&whole))?;
        if manifest.len() as u64 != found.size {
            return Err(Error::wrong(
                whole,
                format!("its manifest is {} bytes, not {}", manifest.len(), found.size),
            ));
        }
        self.described(&whole, name, found, &manifest).map(Some)
    }

    /// The same by the digest of its manifest, whatever its name leads to; `name` is what it is called.
    pub(super) fn documents_by_digest(&self, name: &Reference, digest: &Digest) -> Result<Documents> {
        let whole = format!("image {name}");
        let manifest = self.blob(digest, MANIFEST_MAX).map_err(|error| error.within(&whole))?;
        let found = Name::new("", digest, manifest.len() as u64);
        self.described(&whole, name, found, &manifest)
    }

    fn described(&self, whole: &str, name: &Reference, found: Name, manifest: &[u8]) -> Result<Documents> {
        let (manifest, file) = self.read_manifest(whole, manifest)?;
        let media_type = oci::media_type(&found.media_type, &manifest).to_owned();
        Ok(Documents {
            name: name.clone(),
            digest: found.digest,
            config_digest: manifest.config.digest,
            config: file.config,
            diff_ids: file.rootfs.diff_ids,
            blobs: manifest.layers.into_iter().map(|layer| (layer.digest, layer.size)).collect(),
            created: file.created,
            media_type,
            platform: file.platform,
            index: found.index,
            history: file.history,
        })
    }

    /// Reads a manifest, and the configuration that it names.
    fn read_manifest(&self, whole: &str, manifest: &[u8]) -> Result<(Manifest, ConfigFile)> {
        let Document::Manifest(manifest) = oci::read(manifest).map_err(|why| Error::wrong(whole, why))?
        else {
            return Err(Error::wrong(whole, "its manifest is an index"));
        };
        let config = self.blob(&manifest.config.digest, CONFIG_MAX).map_err(|error| error.within(whole))?;
        let file = serde_json::from_slice(&config)
            .map_err(|error| Error::wrong(whole, format!("its configuration: {error}")))?;
        Ok((manifest, file))
    }

    /// Where an image's files are.
    pub(super) fn files_of(&self, documents: &Documents) -> BTreeSet<PathBuf> {
        let own = [&documents.digest, &documents.config_digest].into_iter();
        let blobs = documents.blobs.iter().map(|(digest, _)| digest);
        self.paths(&documents.diff_ids, own.chain(blobs))
    }

    /// The same by the digest of its manifest, whether it has a name or not; none where that is not here.
    pub(super) fn files_by_digest(&self, digest: &Digest) -> Result<BTreeSet<PathBuf>> {
        if !self.blob_path(digest).is_file() {
            return Ok(BTreeSet::new());
        }
        let whole = format!("image {digest}");
        let manifest = self.blob(digest, MANIFEST_MAX).map_err(|error| error.within(&whole))?;
        let (manifest, file) = self.read_manifest(&whole, &manifest)?;
        let own = [digest, &manifest.config.digest].into_iter();
        let blobs = manifest.layers.iter().map(|layer| &layer.digest);
        Ok(self.paths(&file.rootfs.diff_ids, own.chain(blobs)))
    }

    pub(super) fn blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let path = self.blob_path(digest);
        let mut bytes = Vec::new();
        fs::File::open(&path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(io_error("read", &path))?;
        if digest.matches(&bytes) {
            Ok(bytes)
        } else {
            Err(Error::wrong(format!("blob {digest}"), "damaged on disk"))
        }
    }
}

/// Finds an image in the first store that has its name, and each of its layers
/// in the first store that has it.
pub(crate) fn resolve_in(stores: &[Store], name: &str) -> Result<Image> {
    let name = parse(name)?;
    for store in stores {
        let Some(documents) = store.documents(&name)? else {
            continue;
        };
        return with_layers(stores, documents);
    }
    Err(Error::NoImage(name.to_string()))
}

/// Finds an image by the digest of its manifest, whatever its name leads to by now; `name` is
/// what it is called in messages and in what is returned.
pub(crate) fn resolve_digest_in(stores: &[Store], name: &str, digest: &Digest) -> Result<Image> {
    let name = parse(name)?;
    let has_it = |store: &&Store| store.blob_path(digest).is_file();
    let store = stores.iter().find(has_it);
    let store = store.ok_or_else(|| Error::NoImage(format!("{name} of the digest {digest}")))?;
    with_layers(stores, store.documents_by_digest(&name, digest)?)
}

fn with_layers(stores: &[Store], documents: Documents) -> Result<Image> {
    let Documents { name, digest, index, config, platform, diff_ids, .. } = documents;
    let find = |diff_id: &Digest| stores.iter().find_map(|store| store.layer(diff_id));
    let layers = diff_ids.into_iter().map(|diff_id| match find(&diff_id) {
        Some(path) => Ok(Layer { diff_id, path }),
        None => Err(no_layer(&name, &diff_id)),
    });
    let layers = layers.collect::<Result<_>>()?;
    Ok(Image { name, digest, index, config, platform, layers })
}

pub(super) fn no_layer(name: &Reference, diff_id: &Digest) -> Error {
    Error::wrong(format!("image {name}: layer {diff_id}"), "is not in the store")
}

pub(super) fn parse(name: &str) -> Result<Reference> {
    name.parse().map_err(|why: String| Error::wrong("image", why))
}

/// Longest name of a file (`NAME_MAX`).
const FILE_NAME_MAX: usize = 255;

/// A name as a file name: one that is too long is its digest there, and the file has it in full.
pub(crate) fn file_name(name: &Reference) -> String {
    let escaped = escaped(name);
    if escaped.len() > FILE_NAME_MAX {
        // No name of an image has a '='.
        return format!("={}", Digest::sha256(name.to_string().as_bytes()).hex());
    }
    escaped
}

fn escaped(name: &Reference) -> String {
    name.to_string().replace('/', "%2F")
}

fn read_name(path: &Path) -> Result<Name> {
    let text = fs::read_to_string(path).map_err(io_error("read", path))?;
    let (line, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let words: Vec<&str> = line.split(' ').collect();
    let [media_type, digest, size, index @ ..] = &words[..] else {
        return Err(Error::wrong(path.display(), "not a media type, a digest and a size"));
    };
    let read = |digest: &str| digest.parse().map_err(|why: String| Error::wrong(path.display(), why));
    let (digest, index) = (read(digest)?, index.first().copied().map(read).transpose()?);
    let size: u64 =
        size.parse().map_err(|_| Error::wrong(path.display(), format!("{size:?} is not a size")))?;
    let long = Some(rest.trim_end().to_owned()).filter(|long| !long.is_empty());
    Ok(Name { media_type: (*media_type).to_owned(), digest, size, index, long })
}

/// The digest of the configuration that a manifest names.
pub(super) fn config_digest(manifest: &[u8]) -> std::result::Result<Digest, String> {
    match oci::read(manifest)? {
        Document::Manifest(manifest) => Ok(manifest.config.digest),
        Document::Index(_) => Err("an index in place of a manifest".into()),
    }
}
