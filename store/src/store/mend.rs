//! What a check found to be bad, brought back: a layer from its packed form where that is
//! here and good, everything else from the image's registry.

use super::check::{Bad, Checked};
use super::fetch_layer::{Job, Layers};
use super::read::{Documents, Listed, resolve_digest_in};
use super::{Store, check, read};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::oci::Reference;
use crate::progress::Progress;
use crate::registry::{Registries, Stop};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What became of something bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is here again, and good.
    Mended,
    /// It was removed, and no image needs it.
    Unneeded,
    /// It cannot be had: why.
    Lost(String),
}

/// An image that is to be whole.
struct Wanted {
    name: Reference,
    digest: Digest,
    /// The name leads to it. A container is made of it otherwise.
    named: bool,
}

impl Store {
    /// Brings back what [`Store::check`] found to be bad and removed: the outcome of each, in the order of
    /// `checked.bad`. Every image keeps its digest, whatever its tag means by now. `in_use` are the manifests of
    /// containers' images, and what each is called: those are brought back, too, whether the name still leads there or not.
    ///
    /// # Errors
    /// The store cannot be listed or written.
    pub fn mend(
        &self,
        registries: &Registries,
        checked: &Checked,
        in_use: &BTreeMap<Digest, String>,
        progress: &dyn Progress,
    ) -> Result<Vec<Outcome>> {
        let lost: BTreeSet<&PathBuf> = checked.bad.iter().filter_map(|bad| bad.file.as_ref()).collect();
        let mut failures = Vec::new();
        for image in self.wanted(in_use, &lost)? {
            if self.is_whole(&image, &lost) {
                continue;
            }
            if let Err(error) = self.bring_back(registries, &image, progress) {
                failures.push((image, error.to_string()));
            }
        }
        Ok(checked.bad.iter().map(|bad| self.outcome(bad, &failures)).collect())
    }

    /// The images of all names, and those of containers that no name leads to.
    fn wanted(&self, in_use: &BTreeMap<Digest, String>, lost: &BTreeSet<&PathBuf>) -> Result<Vec<Wanted>> {
        let named = |Listed { name, digest, .. }| Wanted { name, digest, named: true };
        let mut wanted: Vec<Wanted> = self.list()?.into_iter().map(named).collect();
        for (digest, name) in in_use {
            let manifest = self.blob_path(digest);
            // One that came with the node needs nothing of this store.
            let is_own = manifest.is_file() || lost.contains(&manifest);
            if is_own && wanted.iter().all(|known| known.digest != *digest) {
                wanted.push(Wanted { name: read::parse(name)?, digest: digest.clone(), named: false });
            }
        }
        Ok(wanted)
    }

    /// True when the image can be run and none of its files was bad.
    fn is_whole(&self, image: &Wanted, lost: &BTreeSet<&PathBuf>) -> bool {
        let Ok(documents) = self.documents_wanted(image) else {
            return false;
        };
        let has = |path: &PathBuf| !lost.contains(path) || path.exists();
        let found = resolve_digest_in(std::slice::from_ref(self), &image.name.to_string(), &image.digest);
        found.is_ok() && self.files_of(&documents).iter().all(has)
    }

    fn documents_wanted(&self, image: &Wanted) -> Result<Documents> {
        let Wanted { name, digest, named } = image;
        match named {
            true => self.documents(name)?.ok_or_else(|| Error::NoImage(name.to_string())),
            false => self.documents_by_digest(name, digest),
        }
    }

    fn bring_back(&self, registries: &Registries, image: &Wanted, progress: &dyn Progress) -> Result<()> {
        match self.unpack_again(image, progress) {
            Ok(true) => Ok(()),
            // The disk, whoever sends the bytes.
            Err(error @ Error::Io { .. }) => Err(error),
            _ => {
                let Wanted { name, digest, named } = image;
                self.pull_again(registries, name, digest, *named, progress).map(drop)
            }
        }
    }

    /// Makes the image's missing layers of their packed forms. False: not all of those are here.
    fn unpack_again(&self, image: &Wanted, progress: &dyn Progress) -> Result<bool> {
        let documents = self.documents_wanted(image)?;
        let session = self.session(&image.name)?;
        session.need(&self.files_of(&documents))?;
        if !documents.blobs.iter().all(|(digest, _)| self.blob_path(digest).is_file()) {
            return Ok(false);
        }
        let jobs = documents.blobs.iter().zip(&documents.diff_ids).enumerate();
        let jobs: Vec<_> = jobs
            .map(|(place, ((digest, size), diff_id))| Job { place, diff_id, digest, size: *size })
            .collect();
        // Without servers to ask, what has no good packed form is an error.
        let layers =
            Layers { store: self, session: &session, clients: &[], stop: &Stop::default(), progress };
        layers.take(&jobs)?;
        Ok(true)
    }

    fn outcome(&self, bad: &Bad, failures: &[(Wanted, String)]) -> Outcome {
        let Some(path) = &bad.file else {
            let why = |error: Error| {
                let failed =
                    failures.iter().find(|(image, _)| image.named && image.name.to_string() == bad.name);
                failed.map_or_else(|| error.to_string(), |(_, why)| why.clone())
            };
            return match self.resolve(&bad.name) {
                Ok(_) => Outcome::Mended,
                Err(error) => Outcome::Lost(why(error)),
            };
        };
        if path.exists() {
            return match check::is_good(path) {
                true => Outcome::Mended,
                false => Outcome::Lost("a pull or an import under way relies on it".into()),
            };
        }
        let failed = failures.iter().find(|(image, _)| self.may_need(image, path));
        failed.map_or(Outcome::Unneeded, |(_, why)| Outcome::Lost(why.clone()))
    }

    /// True when an image needs this file, or cannot be read to tell.
    fn may_need(&self, image: &Wanted, path: &PathBuf) -> bool {
        self.documents_wanted(image).map_or(true, |documents| self.files_of(&documents).contains(path))
    }
}
