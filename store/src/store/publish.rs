//! How a file comes to be there whole or not at all.

use crate::error::{Result, io_error};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The right to write, held as long as this lives. What an earlier holder left
/// in `tmp/` is gone when it is taken.
pub(super) struct Lock {
    _folder: Flock<File>,
    tmp: PathBuf,
}

impl Lock {
    /// Waits for the lock.
    pub fn take(root: &Path) -> Result<Self> {
        let tmp = root.join("tmp");
        let folder = File::open(&tmp).map_err(io_error("open", &tmp))?;
        let folder = Flock::lock(folder, FlockArg::LockExclusive)
            .map_err(|(_, errno)| io_error("lock", &tmp)(errno.into()))?;
        for entry in fs::read_dir(&tmp).map_err(io_error("list", &tmp))? {
            let path = entry.map_err(io_error("list", &tmp))?.path();
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
        Ok(Self { _folder: folder, tmp })
    }

    /// Begins a file that is not there until [`Draft::publish`].
    pub fn draft(&self, name: &str) -> Result<Draft> {
        let path = self.tmp.join(name);
        let mut options = File::options();
        let file =
            options.read(true).write(true).create_new(true).open(&path).map_err(io_error("make", &path))?;
        Ok(Draft { path, file })
    }

    /// Makes a file that vanishes when it is closed.
    pub fn scratch(&self) -> Result<File> {
        let draft = self.draft("scratch")?;
        draft.file.try_clone().map_err(io_error("open", &draft.path))
    }

    /// Publishes a small file in one go.
    pub fn write(&self, name: &str, bytes: &[u8], to: &Path) -> Result<()> {
        let mut draft = self.draft(name)?;
        draft.file.write_all(bytes).map_err(io_error("write", &draft.path))?;
        draft.publish(to)
    }
}

/// A file in `tmp/`, removed unless it is published.
pub(super) struct Draft {
    path: PathBuf,
    pub file: File,
}

impl Draft {
    /// Brings the file to disk and renames it to `to`, in place of what is there.
    pub fn publish(self, to: &Path) -> Result<()> {
        self.file.sync_all().map_err(io_error("write", &self.path))?;
        if let Some(folder) = to.parent()
            && !folder.is_dir()
        {
            fs::create_dir(folder).map_err(io_error("make", folder))?;
            sync_folder_of(folder)?;
        }
        fs::rename(&self.path, to).map_err(io_error("rename a new file to", to))?;
        sync_folder_of(to)
    }
}

impl Drop for Draft {
    /// Nothing remains of a draft: after a rename its path names nothing.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Brings the listing that names `path` to disk.
pub(super) fn sync_folder_of(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error("write", folder))
}
