//! What a caller hears while an image is pulled or pushed.

use crate::digest::Digest;

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
