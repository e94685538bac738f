//! A container's log file: appended to, bounded, with one predecessor.
//!
//! `NAME.log` grows to its limit and is then renamed to `NAME.log.1`, in place
//! of the one before it. This happens between two batches only, so a batch never
//! lies in two files; one that alone is larger than the limit gets a file of its
//! own. A file that somebody else has removed or shortened is made anew or gone
//! on with.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A container's log.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    limit: u64,
    file: Option<File>,
    missing: u64,
}

impl LogFile {
    /// The log at this path, which is opened when it is first needed; at most
    /// `limit` bytes go into it before it is rotated.
    pub fn new(path: PathBuf, limit: u64) -> Self {
        Self { path, limit, file: None, missing: 0 }
    }

    /// Makes ready for a batch of this many bytes, and says at which offset it
    /// will begin.
    pub fn prepare(&mut self, length: usize) -> io::Result<u64> {
        let now = self.file()?.metadata()?;
        if now.nlink() == 0 {
            self.file = None;
            return Ok(self.file()?.metadata()?.len());
        }
        if now.len() == 0 || now.len() + length as u64 <= self.limit {
            return Ok(now.len());
        }
        fs::rename(&self.path, predecessor(&self.path))?;
        self.file = None;
        Ok(self.file()?.metadata()?.len())
    }

    /// Brings the file to hold `batch` from `offset` on, whatever part of it is
    /// there already: all of it, or on an error none.
    pub fn complete(&mut self, offset: u64, batch: &[u8]) -> io::Result<()> {
        let mut file = self.file()?;
        let length = file.metadata()?.len();
        let there = usize::try_from(length.saturating_sub(offset)).unwrap_or(usize::MAX).min(batch.len());
        file.write_all(&batch[there..]).inspect_err(|_| {
            // A torn entry would spoil the next one; shortening needs no space.
            let _ = file.set_len(offset.min(length));
        })
    }

    fn file(&mut self) -> io::Result<&File> {
        if self.file.is_none() {
            if let Some(folder) = self.path.parent() {
                fs::create_dir_all(folder)?;
            }
            self.file = Some(OpenOptions::new().create(true).append(true).mode(0o640).open(&self.path)?);
        }
        // The line above has just put it there.
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Notes that this many bytes of output were dropped. The first time in a
    /// row, gives a line that says why.
    pub fn dropped(&mut self, bytes: usize, reason: &str) -> Option<String> {
        let first = self.missing == 0;
        self.missing += bytes as u64;
        first.then(|| format!("write {}: {reason}", self.path.display()))
    }

    /// Notes that a batch was written. The first time after some were dropped,
    /// gives their size in bytes.
    pub fn written(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.missing)).filter(|&missing| missing > 0)
    }
}

/// Where the file that came before this one is kept.
pub fn predecessor(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".1");
    PathBuf::from(name)
}
