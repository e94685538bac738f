//! Whether all that a store has is what it was.

use super::session::{self, Gate};
use super::{Store, read};
use crate::digest::{Digest, Hashed};
use crate::error::{Error, Result};
use crate::verity;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use sys::cause::cause;

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Names that lead to an image with all its layers.
    pub images: usize,
    /// Layers and blobs that are what they were.
    pub files: usize,
    /// Layers of which no digest is recorded, by an earlier version: nothing can be said of them.
    pub unknown: usize,
    /// What is not as it should be.
    pub bad: Vec<Bad>,
}

/// Something that is damaged or missing. It is shown as a sentence: `layer sha256:…: damaged on disk`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// `layer`, `blob` or `image`.
    pub kind: &'static str,
    /// A digest, or an image's name.
    pub name: String,
    /// Why it is bad.
    pub why: String,
    /// The file that is damaged or missing.
    pub file: Option<PathBuf>,
}

impl fmt::Display for Bad {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}: {}", self.kind, self.name, self.why)
    }
}

impl Store {
    /// Reads every layer and every blob and compares them with their digests, and looks
    /// whether each name leads to a whole image, with all its layers as they came if it has some of them so. With `remove`,
    /// names whose files say nothing are taken away, and damaged files are removed, but for those that a pull or import under way relies on: the next pull
    /// of an image fetches again what it lacks, and so does [`Store::mend`]. A container that has a
    /// layer mounted keeps it.
    ///
    /// # Errors
    /// The store cannot be listed, or a damaged file not removed.
    pub fn check(&self, remove: bool) -> Result<Checked> {
        let mut checked = self.read_all()?;
        if remove {
            self.remove_bad(&checked)?;
        }
        for listed in self.names()? {
            let name = match listed {
                Ok(listed) => listed.name.to_string(),
                Err(bad) => {
                    if remove {
                        self.remove_name(&bad.name)?;
                    }
                    checked.bad.push(bad);
                    continue;
                }
            };
            match self.resolve(&name) {
                Ok(_) => {
                    checked.images += 1;
                    checked.missing(self.missing_packed(&name)?);
                }
                Err(error) => {
                    let words = error.to_string();
                    let why = words.strip_prefix(&format!("image {name}: ")).unwrap_or(&words).to_owned();
                    checked.bad.push(Bad { kind: "image", name, why, file: None });
                }
            }
        }
        Ok(checked)
    }

    /// Takes away a name whose file does not say what it means, for as long as it is there nothing can be collected.
    fn remove_name(&self, name: &str) -> Result<()> {
        let path = self.root.join("names").join(name.replace('/', "%2F"));
        let _gate = Gate::shut(&self.root)?;
        match self.listed(&path) {
            Some(Err(_)) if fs::read(&path).is_ok() => session::remove(fs::remove_file(&path), &path),
            // It was written anew, or the disk does not give it.
            _ => Ok(()),
        }
    }

    /// Packed layers of an image that are not here, though others of it were kept. Of one that was taken over from the node's own
    /// none was: those that are here are other images'.
    fn missing_packed(&self, name: &str) -> Result<Vec<PathBuf>> {
        let Some(documents) = self.documents(&read::parse(name)?)? else { return Ok(Vec::new()) };
        let others = self.packed_of_others(&documents.digest)?;
        let is_here = |digest: &Digest| self.blob_path(digest).is_file();
        let mut blobs = documents.blobs.iter().map(|(digest, _)| digest);
        let missing: Vec<_> = blobs.clone().filter(|digest| !is_here(digest)).collect();
        let was_kept = blobs.any(|digest| is_here(digest) && !others.contains(digest));
        Ok(missing.into_iter().filter(|_| was_kept).map(|digest| self.blob_path(digest)).collect())
    }

    /// Packed layers of images but this one. One whose documents cannot be read is told of by itself.
    fn packed_of_others(&self, digest: &Digest) -> Result<BTreeSet<Digest>> {
        let others = self.list()?.into_iter().filter(|image| image.digest != *digest);
        let documents = others.filter_map(|image| self.documents(&image.name).ok().flatten());
        Ok(documents.flat_map(|image| image.blobs).map(|(digest, _)| digest).collect())
    }

    /// Compares every layer and every blob with its digest, which may take long.
    pub(super) fn read_all(&self) -> Result<Checked> {
        let mut checked = Checked::default();
        for path in self.files("layers")? {
            if path.extension().is_some_and(|extension| extension == "erofs") {
                checked.layer(&path);
            }
        }
        for path in self.files("blobs")? {
            checked.blob(&path);
        }
        Ok(checked)
    }

    /// The layer whose file has this inode number, by which the kernel speaks of it.
    pub fn layer_of_inode(&self, inode: u64) -> Option<Digest> {
        let has = |path: &PathBuf| fs::metadata(path).is_ok_and(|metadata| metadata.ino() == inode);
        let layers = self.files("layers").ok()?.into_iter();
        layers
            .filter(|path| path.extension().is_some_and(|extension| extension == "erofs"))
            .find(has)
            .as_deref()
            .and_then(named)
    }

    fn files(&self, folder: &str) -> Result<Vec<PathBuf>> {
        let mut files = super::collect::files(&self.root.join(folder))?;
        files.sort();
        Ok(files)
    }

    /// Removes what is bad still: another check may have had a good one brought since it was read.
    pub(super) fn remove_bad(&self, checked: &Checked) -> Result<()> {
        if !self.writable {
            return Err(Error::wrong(self.root.display(), "the store is read-only"));
        }
        let gate = Gate::shut(&self.root)?;
        let leased = gate.leases()?;
        for path in checked.bad.iter().filter_map(|bad| bad.file.as_ref()) {
            if !leased.contains(path) && path.exists() && !is_good(path) {
                session::remove(fs::remove_file(path), path)?;
            }
        }
        Ok(())
    }
}

impl Checked {
    fn layer(&mut self, path: &Path) {
        let recorded = fs::read_to_string(seal_path(path)).ok().and_then(|text| text.trim_end().parse().ok());
        let Some(recorded) = recorded else {
            self.unknown += 1;
            return;
        };
        let found = File::open(path).and_then(verity::digest);
        self.compare("layer", path, &recorded, found);
    }

    fn blob(&mut self, path: &Path) {
        let Some(digest) = named(path) else {
            let name = path.display().to_string();
            self.bad.push(Bad { kind: "blob", name, why: "is no digest".into(), file: None });
            return;
        };
        let found = File::open(path).and_then(|file| Hashed::new(file, &digest).finish());
        self.compare("blob", path, &digest, found);
    }

    /// Blobs that are not there; one that was damaged is told of already.
    fn missing(&mut self, paths: Vec<PathBuf>) {
        for path in paths {
            if self.bad.iter().all(|bad| bad.file.as_ref() != Some(&path)) {
                self.bad.push(Bad {
                    kind: "blob",
                    name: shown(&path),
                    why: "missing".into(),
                    file: Some(path),
                });
            }
        }
    }

    fn compare(&mut self, kind: &'static str, path: &Path, expected: &Digest, found: io::Result<Digest>) {
        let why = match found {
            Ok(found) if found == *expected => {
                self.files += 1;
                return;
            }
            // A collection has taken it since the folder was listed.
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Ok(_) => "damaged on disk".to_owned(),
            Err(error) => format!("read: {}", cause(&error)),
        };
        self.bad.push(Bad { kind, name: shown(path), why, file: Some(path.to_owned()) });
    }
}

/// True when this layer or blob is what its digest says.
pub(super) fn is_good(path: &Path) -> bool {
    let mut checked = Checked::default();
    match path.extension() {
        Some(_) => checked.layer(path),
        None => checked.blob(path),
    }
    checked.files == 1
}

/// Where the digest of a layer's file is recorded.
pub(super) fn seal_path(layer: &Path) -> PathBuf {
    layer.with_extension("verity")
}

fn shown(path: &Path) -> String {
    named(path).map_or_else(|| path.display().to_string(), |digest| digest.to_string())
}

/// The digest that `ALGORITHM/HEX` or `ALGORITHM/HEX.erofs` names.
pub(super) fn named(path: &Path) -> Option<Digest> {
    let algorithm = path.parent()?.file_name()?.to_str()?;
    format!("{algorithm}:{}", path.file_stem()?.to_str()?).parse().ok()
}
