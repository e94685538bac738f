//! A blob that comes from a registry: by one program at a time, and gone on with after a
//! crash.
//!
//! `downloads/ALGORITHM/DIGEST` has the blob's first bytes. Who holds its lock
//! (flock(2)) downloads it; others wait, and take over when the holder dies. When it is whole
//! and verified, it is renamed away under the lock; so who gets the lock of a
//! file that has no name any more finds the work done.

use super::Store;
use super::publish::publish;
use crate::digest::{Digest, Hashed};
use crate::error::{Result, io_error};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use sys::cause::cause;

/// A download that nobody else works on.
pub(super) struct Claim {
    file: Flock<File>,
    path: PathBuf,
}

impl Store {
    /// Waits until nobody else downloads this blob; `waiting` is called when that is not at once.
    pub(super) fn claim(&self, digest: &Digest, waiting: impl Fn()) -> Result<Claim> {
        let folder = self.root.join("downloads").join(digest.algorithm());
        fs::create_dir_all(&folder).map_err(io_error("make", &folder))?;
        let path = folder.join(digest.hex());
        loop {
            let mut options = File::options();
            let file = options.read(true).write(true).create(true).truncate(false).open(&path);
            let file = lock(file.map_err(io_error("make", &path))?, &path, &waiting)?;
            if is_at(&file, &path) {
                return Ok(Claim { file, path });
            }
        }
    }
}

fn lock(file: File, path: &Path, waiting: &impl Fn()) -> Result<Flock<File>> {
    let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => return Ok(lock),
        Err((file, Errno::EWOULDBLOCK)) => file,
        Err((_, errno)) => return Err(io_error("lock", path)(errno.into())),
    };
    waiting();
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| io_error("lock", path)(errno.into()))
}

/// True when the file still has this name.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let inode = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(own), Ok(named)) => inode(own) == inode(named),
        _ => false,
    }
}

impl Claim {
    /// How many bytes are there already.
    pub fn length(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(io_error("read", &self.path))?.len())
    }

    /// True when what is there is the blob of this digest.
    pub fn is(&self, digest: &Digest) -> bool {
        let found = File::open(&self.path).and_then(|file| Hashed::new(file, digest).finish());
        found.is_ok_and(|found| found == *digest)
    }

    /// Throws away what is there beyond so many bytes.
    pub fn cut(&self, length: u64) -> Result<()> {
        self.file.set_len(length).map_err(io_error("cut", &self.path))
    }

    /// Gives the blob, whole and verified, its place.
    pub fn publish(self, to: &Path) -> Result<()> {
        publish(&self.file, &self.path, to)
    }

    /// Removes it.
    pub fn remove(self) -> Result<()> {
        fs::remove_file(&self.path).map_err(io_error("remove", &self.path))
    }

    /// Reads what is there and then `rest`, whose bytes are added to what is there.
    pub fn growing<R: Read>(&self, length: u64, rest: R) -> Growing<'_, R> {
        Growing { file: &self.file, length, at: 0, rest, failed: None }
    }
}

/// Why the bytes ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// The rest did not come.
    Coming,
    /// There is no room for it, or the like.
    Writing,
}

/// A download that is read while it grows.
pub(super) struct Growing<'f, R> {
    file: &'f File,
    length: u64,
    at: u64,
    pub rest: R,
    /// A failure stays: the words are given again.
    pub failed: Option<(Failed, String)>,
}

impl<R: Read> Growing<'_, R> {
    fn grow(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, (Failed, String)> {
        let count = self.rest.read(buffer).map_err(|error| (Failed::Coming, cause(&error)))?;
        let written = self.file.write_all_at(&buffer[..count], self.length);
        let words = |error: io::Error| format!("keep what came: {}", cause(&error));
        written.map_err(|error| (Failed::Writing, words(error)))?;
        self.length += count as u64;
        Ok(count)
    }
}

impl<R: Read> Read for Growing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some((_, words)) = &self.failed {
            return Err(io::Error::other(words.clone()));
        }
        if self.at < self.length {
            let left = usize::try_from(self.length - self.at).unwrap_or(usize::MAX);
            let length = buffer.len().min(left);
            let count = self.file.read_at(&mut buffer[..length], self.at)?;
            self.at += count as u64;
            return Ok(count);
        }
        match self.grow(buffer) {
            Ok(count) => {
                self.at = self.length;
                Ok(count)
            }
            Err((failed, words)) => {
                self.failed = Some((failed, words.clone()));
                Err(io::Error::other(words))
            }
        }
    }
}
