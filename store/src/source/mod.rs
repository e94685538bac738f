//! Where images come from: an OCI layout folder, the same as an archive, what `docker save` writes, or the
//! files of a root alone.
//!
//! ```text
//! oci-layout  index.json  blobs/ALGORITHM/HEX     OCI (image-spec, image-layout.md)
//! manifest.json  CONFIG.json  …/layer.tar         docker-archive
//! ```
//!
//! An archive that has both, as Docker writes since version 25, is read as OCI.

mod docker;
mod files;
mod layout;
mod root;

pub use root::Root;

pub(crate) use files::Files;

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::oci::{self, Descriptor, Platform, Reference};
use std::path::Path;

/// A place with images, opened.
pub(crate) struct Source {
    files: Files,
    pub images: Vec<Candidate>,
}

/// An image of a source, not yet read.
pub(crate) struct Candidate {
    /// Its own names, in full form.
    pub names: Vec<Reference>,
    /// Tags that are its own without a repository.
    tags: Vec<String>,
    kind: Kind,
}

impl Candidate {
    /// Under which names it is taken when all images are: it may be without one, but for its digest.
    pub fn wanted(&self) -> impl Iterator<Item = Option<&Reference>> {
        let nameless = self.names.is_empty() && self.tags.is_empty();
        self.names.iter().map(Some).chain(nameless.then_some(None))
    }

    fn words(&self) -> impl Iterator<Item = String> + '_ {
        self.names.iter().map(Reference::to_string).chain(self.tags.iter().map(|tag| format!("tag {tag}")))
    }
}

enum Kind {
    /// One for each platform, as an index would have them.
    Oci(Vec<Descriptor>),
    Docker(docker::Item),
    /// Made of a root's files.
    Root(Box<Picked>),
}

/// An image's documents, verified, and where its layers are.
#[derive(Clone)]
pub(crate) struct Picked {
    pub media_type: String,
    /// Of the index that the manifest was chosen from.
    pub index: Option<Digest>,
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
    pub layers: Vec<LayerFile>,
}

/// Where a layer lies in its source.
#[derive(Clone)]
pub(crate) struct LayerFile {
    pub name: String,
    /// Digest and length of the file as it lies there.
    pub blob: (Digest, u64),
}

impl Source {
    /// Opens a folder or an archive. An archive that is compressed or cannot be
    /// read twice is unpacked into a file that `scratch` makes.
    pub fn open(path: &Path, scratch: impl FnOnce() -> Result<std::fs::File>) -> Result<Self> {
        let files = Files::open(path, usize::MAX, scratch)?;
        let images = if files.has("index.json") {
            layout::candidates(&files)
        } else if files.has("manifest.json") {
            docker::candidates(&files)
        } else {
            Err("neither an OCI layout (index.json) nor a docker-archive (manifest.json)".into())
        };
        let images = images.map_err(|why| Error::wrong(path.display(), why))?;
        Ok(Self { files, images })
    }

    /// The same with an archive of a root's files, of which an image for this platform is made.
    pub fn of_root(
        path: &Path,
        root: &Root,
        platform: &Platform,
        scratch: impl FnOnce() -> Result<std::fs::File>,
    ) -> Result<Self> {
        let mut files = Files::open(path, 1, scratch)?;
        let image = root::candidate(&mut files, root, platform);
        let image = image.map_err(|why| Error::wrong(path.display(), why))?;
        Ok(Self { files, images: vec![image] })
    }

    /// The one image that `name` means: the one with this name, else the one with its tag, or the only one.
    pub fn choose(&self, name: &Reference) -> std::result::Result<&Candidate, String> {
        if let Some(named) = self.images.iter().find(|image| image.names.contains(name)) {
            return Ok(named);
        }
        let has_tag = |image: &&Candidate| image.tags.iter().any(|tag| name.tag.as_ref() == Some(tag));
        if let Some(tagged) = self.images.iter().find(has_tag) {
            return Ok(tagged);
        }
        match &self.images[..] {
            [] => Err("holds no image".into()),
            [only] => Ok(only),
            several => {
                let names = several.iter().flat_map(Candidate::words).collect::<Vec<_>>().join(", ");
                Err(format!("holds {} images, none named {name}: {names}", several.len()))
            }
        }
    }

    /// Why no image can be had unless somebody names it.
    pub fn none(&self) -> String {
        match self.images.iter().flat_map(Candidate::words).collect::<Vec<_>>() {
            words if words.is_empty() => "holds no image".into(),
            tags => format!("no image in it has a name, only {}", tags.join(", ")),
        }
    }

    /// Reads an image's documents, for a platform where there are several.
    pub fn pick(&self, image: &Candidate, platform: &Platform) -> std::result::Result<Picked, String> {
        match &image.kind {
            Kind::Oci(entries) => layout::pick(&self.files, entries, platform),
            Kind::Docker(item) => docker::pick(&self.files, item),
            Kind::Root(picked) => Ok((**picked).clone()),
        }
    }

    /// Why an image is none for a platform, as far as the source says it without a look at the image.
    pub fn is_foreign(image: &Candidate, platform: &Platform) -> Option<String> {
        match &image.kind {
            Kind::Oci(entries) => oci::choose(entries, platform).err(),
            Kind::Docker(_) | Kind::Root(_) => None,
        }
    }

    /// How long a layer is as it lies in the source, in bytes; 0 for one that is not there.
    pub fn length(&self, file: &LayerFile) -> u64 {
        self.files.length(&file.name).unwrap_or(0)
    }

    /// Opens a layer's bytes as they lie in the source.
    pub fn layer(&self, file: &LayerFile) -> std::io::Result<Box<dyn std::io::Read + '_>> {
        self.files.open_file(&file.name)
    }
}
