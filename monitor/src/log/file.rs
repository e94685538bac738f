//! A container's log file: appended to, bounded, with one predecessor.
//!
//! `NAME.log` grows to its limit and is then renamed to `NAME.log.1`, in place
//! of the one before it. This happens between two batches only, so a batch never
//! lies in two files; one that alone is larger than the limit gets a file of its
//! own. A file that somebody else has removed or shortened is made anew or gone
//! on with.
//!
//! Containers that look after logs may write below [`ROOT`]. So no link is followed there, and what is no
//! regular file is not opened: the monitor waits for no pipe and writes to nobody else's file.

use nix::errno::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use sys::regular::Folder;

/// What openat2(2) says where the folder of a log is not.
const NO_FOLDER: [Errno; 3] = [Errno::ENOENT, Errno::ENOTDIR, Errno::ELOOP];

/// Where all logs lie.
pub const ROOT: &str = "/var/log";

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

    /// One that is open.
    #[cfg(test)]
    pub fn opened(path: PathBuf, limit: u64, file: File) -> Self {
        Self { path, limit, file: Some(file), missing: 0 }
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
        let folder = Folder::of(&self.path, Path::new(ROOT))?;
        folder.rename(name(&self.path), name(&predecessor(&self.path)))?;
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
            let folder = Folder::make(&self.path, Path::new(ROOT))?;
            self.file = Some(folder.open_or_make(name(&self.path), 0o640)?);
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

/// Opens a file of a log, to read it.
///
/// # Errors
/// As openat2(2) has them; it is no regular file, or there is a link on the way below [`ROOT`].
pub fn open(path: &Path) -> io::Result<File> {
    Folder::of(path, Path::new(ROOT))?.open(name(path), File::options().read(true))
}

/// What is known of a file of a log.
///
/// # Errors
/// As openat2(2) has them.
pub fn look(path: &Path) -> io::Result<Metadata> {
    Folder::of(path, Path::new(ROOT))?.find(name(path))?.metadata()
}

/// Removes a file of a log; that there is none is no error. Where a link or a file was put in the place of its folder
/// there is none: what lies there is not ours.
///
/// # Errors
/// As openat2(2) and unlinkat(2) have them.
pub fn remove(path: &Path) -> io::Result<()> {
    remove_below(path, Path::new(ROOT))
}

fn remove_below(path: &Path, root: &Path) -> io::Result<()> {
    let folder = match Folder::of(path, root) {
        Err(error) if NO_FOLDER.iter().any(|no| error.raw_os_error() == Some(*no as i32)) => return Ok(()),
        folder => folder?,
    };
    match folder.remove(name(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn what_is_put_in_the_place_of_a_logs_folder_keeps_nothing() {
        let base = std::env::temp_dir().join(format!("skerry-log-removal-{}", std::process::id()));
        fs::create_dir_all(base.join("other")).unwrap();
        fs::write(base.join("other/0.log"), "other").unwrap();
        fs::write(base.join("file"), "").unwrap();
        symlink("other", base.join("link")).unwrap();
        for place in ["link", "file", "nothing"] {
            remove_below(&base.join(place).join("0.log"), &base).unwrap();
        }
        assert_eq!(fs::read_to_string(base.join("other/0.log")).unwrap(), "other");
        remove_below(&base.join("other/0.log"), &base).unwrap();
        assert!(!base.join("other/0.log").exists());
        fs::create_dir(base.join("other/0.log")).unwrap();
        remove_below(&base.join("other/0.log"), &base).unwrap_err();
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn what_is_put_in_a_logs_place_is_neither_waited_for_nor_written_to() {
        let base = std::env::temp_dir().join(format!("skerry-log-place-{}", std::process::id()));
        fs::create_dir_all(base.join("logs")).unwrap();
        fs::write(base.join("other"), "other").unwrap();
        nix::unistd::mkfifo(&base.join("logs/pipe.log"), Mode::S_IRWXU).unwrap();
        symlink(base.join("other"), base.join("logs/link.log")).unwrap();
        symlink(base.join("new"), base.join("logs/dangling.log")).unwrap();
        for file in ["pipe.log", "link.log", "dangling.log"] {
            let path = base.join("logs").join(file);
            let (done, result) = channel();
            let at = path.clone();
            std::thread::spawn(move || done.send((LogFile::new(at.clone(), 99).prepare(9), open(&at))));
            let (prepared, opened) = result.recv_timeout(Duration::from_secs(60)).expect("it waits");
            assert!(prepared.is_err() && opened.is_err(), "{file}");
            remove(&path).unwrap();
            assert_eq!(LogFile::new(path, 99).prepare(9).unwrap(), 0, "once it is gone");
        }
        assert_eq!(fs::read(base.join("other")).unwrap(), b"other");
        assert!(!base.join("new").exists());
        fs::remove_dir_all(base).unwrap();
    }
}
