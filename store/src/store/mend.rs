//! What a check found to be bad, brought back: a layer from its packed form where that is
//! here and good, everything else from the image's registry.

use super::check::{Bad, Checked};
use super::fetch_layer::{Job, Layers};
use super::read::Listed;
use super::{Store, check, read};
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

impl Store {
    /// Brings back what [`Store::check`] found to be bad and removed: the outcome of each, in the order of
    /// `checked.bad`. Every image keeps its digest, whatever its tag means by now.
    ///
    /// # Errors
    /// The store cannot be listed or written.
    pub fn mend(
        &self,
        registries: &Registries,
        checked: &Checked,
        progress: &dyn Progress,
    ) -> Result<Vec<Outcome>> {
        let lost: BTreeSet<&PathBuf> = checked.bad.iter().filter_map(|bad| bad.file.as_ref()).collect();
        let mut failures = BTreeMap::new();
        for listed in self.list()? {
            if self.is_whole(&listed, &lost) {
                continue;
            }
            if let Err(error) = self.bring_back(registries, &listed, progress) {
                failures.insert(listed.name.to_string(), error.to_string());
            }
        }
        Ok(checked.bad.iter().map(|bad| self.outcome(bad, &failures)).collect())
    }

    /// True when the image can be run and none of its files was bad.
    fn is_whole(&self, listed: &Listed, lost: &BTreeSet<&PathBuf>) -> bool {
        let name = &listed.name;
        let Ok(Some(documents)) = self.documents(name) else {
            return false;
        };
        let has = |path: &PathBuf| !lost.contains(path) || path.exists();
        self.resolve(&name.to_string()).is_ok() && self.files_of(&documents).iter().all(has)
    }

    fn bring_back(&self, registries: &Registries, listed: &Listed, progress: &dyn Progress) -> Result<()> {
        match self.unpack_again(&listed.name, progress) {
            Ok(true) => Ok(()),
            // The disk, whoever sends the bytes.
            Err(error @ Error::Io { .. }) => Err(error),
            _ => self.pull_again(registries, &listed.name, &listed.digest, progress).map(drop),
        }
    }

    /// Makes the image's missing layers of their packed forms. False: not all of those are here.
    fn unpack_again(&self, name: &Reference, progress: &dyn Progress) -> Result<bool> {
        let documents = self.documents(name)?.ok_or_else(|| Error::NoImage(name.to_string()))?;
        let session = self.session(name)?;
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

    fn outcome(&self, bad: &Bad, failures: &BTreeMap<String, String>) -> Outcome {
        let Some(path) = &bad.file else {
            return match self.resolve(&bad.name) {
                Ok(_) => Outcome::Mended,
                Err(error) => Outcome::Lost(failures.get(&bad.name).cloned().unwrap_or(error.to_string())),
            };
        };
        if path.exists() {
            return match check::is_good(path) {
                true => Outcome::Mended,
                false => Outcome::Lost("a pull or an import under way relies on it".into()),
            };
        }
        let failed = failures.iter().find(|(name, _)| self.may_need(name, path));
        failed.map_or(Outcome::Unneeded, |(_, why)| Outcome::Lost(why.clone()))
    }

    /// True when an image needs this file, or cannot be read to tell.
    fn may_need(&self, name: &str, path: &PathBuf) -> bool {
        match read::parse(name).and_then(|name| self.documents(&name)) {
            Ok(Some(documents)) => self.files_of(&documents).contains(path),
            _ => true,
        }
    }
}
