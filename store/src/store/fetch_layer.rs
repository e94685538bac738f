//! The layers of an image that is pulled: some at a time, each by one program at a time.

use super::Store;
use super::download::{Claim, Failed, is_at};
use super::intake::{Incoming, check_blob};
use super::parallel::each;
use super::session::Session;
use crate::digest::{Digest, Hashed};
use crate::error::{Error, Result, io_error};
use crate::progress::{Progress, State, Told};
use crate::registry::{Client, Download, Stop};
use std::fs::{self, File};
use std::io::{ErrorKind, Seek};

/// A layer to be fetched.
pub(super) struct Job<'j> {
    pub place: usize,
    pub diff_id: &'j Digest,
    pub digest: &'j Digest,
    pub size: u64,
}

/// How an image's layers are fetched.
pub(super) struct Layers<'l> {
    pub store: &'l Store,
    pub session: &'l Session,
    pub clients: &'l [Client<'l>],
    pub stop: &'l Stop,
    pub progress: &'l dyn Progress,
}

/// How a try went.
struct Attempt {
    /// Not all of it came.
    failed: Option<Failed>,
    /// How many of the servers were not asked: the last ones.
    unasked: usize,
    result: Result<Vec<String>>,
}

impl Layers<'_> {
    /// Fetches them all: how many were new, and what was left out of them.
    pub fn take(&self, jobs: &[Job<'_>]) -> Result<(usize, Vec<String>)> {
        let taken: Vec<_> = each(jobs, self.stop, |job| self.one(job))?.into_iter().flatten().collect();
        Ok((taken.len(), taken.concat()))
    }

    /// Fetches one layer. None: it was there already.
    fn one(&self, job: &Job<'_>) -> Result<Option<Vec<String>>> {
        let (store, told) = (self.store, self.told(job));
        if store.has(job.diff_id, job.digest) {
            told.say(job.size, State::Present);
            return Ok(None);
        }
        let claim = store.claim(job.digest, || told.say(0, State::Waiting))?;
        // Another program may have brought it while this one waited.
        let notes = if store.has(job.diff_id, job.digest) {
            claim.remove()?;
            None
        } else {
            match self.convert_blob(job) {
                Ok(None) => Some(self.download(job, claim, &told)?),
                // The blob is here: nothing of it is to be downloaded.
                converted => {
                    claim.remove()?;
                    converted?
                }
            }
        };
        told.say(job.size, if notes.is_some() { State::Done } else { State::Present });
        Ok(notes)
    }

    fn told<'t>(&'t self, job: &Job<'t>) -> Told<'t> {
        Told { layer: job.place, digest: job.digest, total: job.size, progress: self.progress }
    }

    /// Makes a layer of a blob that is here. None: it is not, or was damaged, and is removed. A full disk is no
    /// reason to remove it: nothing else may have what is in it.
    fn convert_blob(&self, job: &Job<'_>) -> Result<Option<Vec<String>>> {
        let path = self.store.blob_path(job.digest);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.map_err(io_error("open", &path))?,
        };
        let error = match self.store.take_layer(self.session, &job.incoming("blob"), &file) {
            Ok(report) => return Ok(Some(report.notes)),
            Err(error) => error,
        };
        let found = file.rewind().and_then(|()| Hashed::new(&file, job.digest).finish());
        if found.is_ok_and(|found| found == *job.digest) {
            return Err(error);
        }
        if is_at(&file, &path) {
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
        Ok(None)
    }

    fn download(&self, job: &Job<'_>, claim: Claim, told: &Told<'_>) -> Result<Vec<String>> {
        let mut begun = claim.length()?.min(job.size);
        claim.cut(begun)?;
        let mut clients = self.clients;
        let (failed, result) = loop {
            let Attempt { failed, unasked, result } = self.attempt(job, &claim, clients, begun, told);
            let refused = failed.is_none() && matches!(result, Err(Error::Wrong { .. }));
            if !refused || self.stop.is_set() || claim.is(job.digest) {
                break (failed, result);
            }
            let words = match unasked {
                // What an earlier pull left may be what is wrong (a power cut): once more from the beginning.
                _ if begun > 0 => "what was downloaded before is damaged",
                0 => break (failed, result),
                _ => {
                    clients = &clients[clients.len() - unasked..];
                    "what came is damaged: the next server is asked"
                }
            };
            told.say(0, State::Retrying(words));
            claim.cut(0)?;
            begun = 0;
        };
        match result {
            Ok(notes) if self.store.keeps_packed => {
                claim.publish(&self.store.blob_path(job.digest))?;
                Ok(notes)
            }
            Ok(notes) => {
                claim.remove()?;
                Ok(notes)
            }
            // What has come so far is gone on with by the next pull.
            Err(error) if failed == Some(Failed::Coming) && claim.length()? > 0 => Err(error),
            Err(error) => {
                claim.remove()?;
                Err(error)
            }
        }
    }

    /// One try, which begins with the first `begun` bytes of the claim.
    fn attempt(
        &self,
        job: &Job<'_>,
        claim: &Claim,
        clients: &[Client<'_>],
        begun: u64,
        told: &Told<'_>,
    ) -> Attempt {
        let trouble = |words: &str| told.say(begun, State::Retrying(words));
        let rest = Download::new(clients, job.digest, job.size, begun, &trouble);
        let mut growing = claim.growing(begun, rest);
        let counted = told.counting(&mut growing);
        let name = format!("blob {}", job.digest);
        let layer = job.incoming(&name);
        let result = if self.store.layer(job.diff_id).is_some() {
            let checked = check_blob(Hashed::new(counted, job.digest), &layer);
            checked.map(|()| Vec::new()).map_err(|why| Error::wrong(format!("layer {}", job.diff_id), why))
        } else {
            self.store.take_layer(self.session, &layer, counted).map(|report| report.notes)
        };
        let unasked = growing.rest.unasked();
        Attempt { failed: growing.failed.map(|(failed, _)| failed), unasked, result }
    }
}

impl<'j> Job<'j> {
    fn incoming(&self, name: &'j str) -> Incoming<'j> {
        Incoming { diff_id: self.diff_id, blob: (self.digest, self.size), name }
    }
}
