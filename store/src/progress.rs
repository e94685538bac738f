//! What a caller hears while an image is pulled, pushed, imported or exported.

use crate::digest::Digest;
use std::io::{self, Read};

/// Listens to the progress of each layer. It is called from several threads, often, and must be quick.
pub trait Progress: Sync {
    /// One layer has come further.
    fn layer(&self, update: &Update<'_>);
}

/// How far one layer is.
#[derive(Clone, Copy, Debug)]
pub struct Update<'u> {
    /// Its place in the image, the lowest layer 0. Of two equal layers only the first is told of.
    pub layer: usize,
    /// Digest of the blob.
    pub digest: &'u Digest,
    /// Length of the blob in bytes.
    pub total: u64,
    /// Bytes that are done.
    pub done: u64,
    /// What is being done with it.
    pub state: State<'u>,
}

/// What is being done with a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State<'u> {
    /// Another program downloads it.
    Waiting,
    /// Its bytes come, or go.
    Moving,
    /// Something went wrong, in words, and is tried again.
    Retrying(&'u str),
    /// It was there already.
    Present,
    /// The registry took it over from another of its repositories.
    Mounted,
    /// It is there.
    Done,
}

impl Progress for () {
    /// Nobody listens.
    fn layer(&self, _: &Update<'_>) {}
}

impl<F: Fn(&Update<'_>) + Sync> Progress for F {
    fn layer(&self, update: &Update<'_>) {
        self(update);
    }
}

/// Who hears of one layer.
pub(crate) struct Told<'t> {
    /// Its place in the image, the lowest layer 0.
    pub layer: usize,
    /// What it is known by.
    pub digest: &'t Digest,
    /// Its length in bytes.
    pub total: u64,
    pub progress: &'t dyn Progress,
}

impl Told<'_> {
    /// So many bytes are done.
    pub fn say(&self, done: u64, state: State<'_>) {
        let Self { layer, digest, total, progress } = *self;
        progress.layer(&Update { layer, digest, total, done, state });
    }

    /// Tells when the work is done, too.
    pub fn through<T, E>(&self, work: impl FnOnce(&Self) -> Result<T, E>) -> Result<T, E> {
        let done = work(self)?;
        self.say(self.total, State::Done);
        Ok(done)
    }

    /// Tells how far the reading is.
    pub fn counting<R>(&self, from: R) -> Counted<'_, R> {
        Counted { from, done: 0, told: self }
    }
}

/// A reading that is told of.
pub(crate) struct Counted<'t, R> {
    from: R,
    done: u64,
    told: &'t Told<'t>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.done += count as u64;
        self.told.say(self.done, State::Moving);
        Ok(count)
    }
}
