//! Images from the store to a registry: what it lacks of them, and their manifest last.

use super::parallel::each;
use super::read::{Documents, parse};
use super::{Store, session::Session};
use crate::digest::Digest;
use crate::error::{Error, Result, io_error};
use crate::oci::{MANIFEST_MAX, Reference};
use crate::progress::{Progress, State, Update};
use crate::registry::{Client, Registries, Stop, Upload};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::ErrorKind;

/// What a push brought.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The name that the image has there.
    pub name: Reference,
    /// Digest of its manifest, the same there as here.
    pub digest: Digest,
    /// Blobs that were sent, its configuration among them.
    pub sent: usize,
    /// Blobs that the registry had in another repository.
    pub mounted: usize,
}

/// A blob to be pushed; the configuration is no layer and has no place.
struct Job<'j> {
    place: Option<usize>,
    digest: &'j Digest,
    size: u64,
}

/// How a blob came to be there.
#[derive(PartialEq)]
enum How {
    There,
    Mounted,
    Sent,
}

impl Store {
    /// Pushes an image of this store, which may be read-only, to the registry and repository that `to` names.
    /// Manifest and layers arrive byte for byte as they once came.
    ///
    /// # Errors
    /// The image is not here, or its layers were not kept as they came; the registry does not take it.
    pub fn push(
        &self,
        registries: &Registries,
        name: &str,
        to: &str,
        progress: &dyn Progress,
    ) -> Result<Pushed> {
        let (name, to) = (parse(name)?, parse(to)?);
        // Nobody collects what cannot be written.
        let session = self.writable.then(|| self.session(&name)).transpose()?;
        let image = match &session {
            Some(session) => self.leased(session, || Ok(vec![self.named(&name)?]))?.remove(0),
            None => self.documents(&name)?.ok_or_else(|| Error::NoImage(name.to_string()))?,
        };
        let whole = if name == to { format!("image {name}") } else { format!("image {name} to {to}") };
        let within = |why: String| Error::wrong(&whole, why);
        if to.digest.as_ref().is_some_and(|digest| *digest != image.digest) {
            return Err(within(format!("its manifest is {}", image.digest)));
        }
        let manifest = self.blob(&image.digest, MANIFEST_MAX)?;
        let elsewhere = self.elsewhere(&to, &image)?;
        let (stop, from): (_, BTreeSet<&String>) = (Stop::default(), elsewhere.values().collect());
        let from: Vec<String> = from.into_iter().cloned().collect();
        let client = registries.target(&to, &from, &stop).map_err(within)?;
        let blobs = each(&jobs(&image, self)?, &stop, |job| {
            let from = elsewhere.get(job.digest).map(String::as_str);
            self.push_blob(&client, job, from, progress).map_err(|error| error.within(&whole))
        })?;
        let put = client.put_manifest(&to, &image.media_type, &manifest, &image.digest);
        put.map_err(|why| within(format!("manifest: {why}")))?;
        let count = |how| blobs.iter().filter(|&blob| *blob == how).count();
        Ok(Pushed { name: to, digest: image.digest, sent: count(How::Sent), mounted: count(How::Mounted) })
    }

    /// Images that no collection takes until the session ends.
    pub(super) fn leased(
        &self,
        session: &Session,
        find: impl Fn() -> Result<Vec<Documents>>,
    ) -> Result<Vec<Documents>> {
        let mut needed = BTreeSet::new();
        for image in find()? {
            let own = [&image.digest, &image.config_digest].into_iter();
            let blobs = image.blobs.iter().map(|(digest, _)| digest);
            needed.extend(self.paths(&image.diff_ids, own.chain(blobs)));
        }
        session.need(&needed)?;
        // One may have been removed and collected before the lease.
        find()
    }

    /// What an image of this name has.
    pub(super) fn named(&self, name: &Reference) -> Result<Documents> {
        self.documents(name)?.ok_or_else(|| Error::NoImage(name.to_string()))
    }

    /// Other repositories of the same registry that have blobs of this image, as far as this store knows.
    fn elsewhere(&self, to: &Reference, image: &Documents) -> Result<BTreeMap<Digest, String>> {
        let mut found = BTreeMap::new();
        for listed in self.list()? {
            if listed.name.registry != to.registry || listed.name.repository == to.repository {
                continue;
            }
            let Ok(Some(other)) = self.documents(&listed.name) else {
                continue;
            };
            let shared = other.blobs.into_iter().filter(|blob| image.blobs.contains(blob));
            found.extend(shared.map(|(digest, _)| (digest, listed.name.repository.clone())));
        }
        Ok(found)
    }

    fn push_blob(
        &self,
        client: &Client<'_>,
        job: &Job<'_>,
        from: Option<&str>,
        progress: &dyn Progress,
    ) -> Result<How> {
        let Job { place, digest, size } = *job;
        let what =
            if place.is_some() { format!("layer {digest}") } else { format!("configuration {digest}") };
        let wrong = |why: String| Error::wrong(&what, why);
        let say = |done, state: State<'_>| {
            if let Some(layer) = place {
                progress.layer(&Update { layer, digest, total: size, done, state });
            }
        };
        if client.has_blob(digest).map_err(wrong)? {
            say(size, State::Present);
            return Ok(How::There);
        }
        let file = self.packed(digest)?;
        let sent = |done| say(done, State::Moving);
        let trouble = |words: &str| say(0, State::Retrying(words));
        let upload = Upload { digest, file: &file, size, sent: &sent, trouble: &trouble };
        let mounted = client.upload(&upload, from).map_err(wrong)?;
        say(size, if mounted { State::Mounted } else { State::Done });
        Ok(if mounted { How::Mounted } else { How::Sent })
    }

    /// A blob's file.
    pub(super) fn packed(&self, digest: &Digest) -> Result<File> {
        let path = self.blob_path(digest);
        File::open(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::wrong(
                format!("layer {digest}"),
                "was not kept as it came; pull the image again, with layers kept",
            ),
            _ => io_error("open", &path)(error),
        })
    }
}

/// An image's blobs, each once.
fn jobs<'i>(image: &'i Documents, store: &Store) -> Result<Vec<Job<'i>>> {
    let path = store.blob_path(&image.config_digest);
    let size = std::fs::metadata(&path).map_err(io_error("read", &path))?.len();
    let mut jobs = vec![Job { place: None, digest: &image.config_digest, size }];
    let mut known = BTreeSet::new();
    for (place, (digest, size)) in image.blobs.iter().enumerate() {
        if known.insert(digest) {
            jobs.push(Job { place: Some(place), digest, size: *size });
        }
    }
    Ok(jobs)
}
