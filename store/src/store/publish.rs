//! How a file comes to be there whole or not at all.

use crate::digest::Digest;
use crate::error::{Result, io_error};
use crate::verity;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// A file in `tmp/`, removed unless it is published.
pub(super) struct Draft {
    path: PathBuf,
    pub file: File,
}

impl Draft {
    pub(super) fn new(path: PathBuf) -> Result<Self> {
        let mut options = File::options();
        let file =
            options.read(true).write(true).create_new(true).open(&path).map_err(io_error("make", &path))?;
        Ok(Self { path, file })
    }

    /// Brings the file to disk, ends all writing to it and seals it where the file system can;
    /// tells its fs-verity digest. `to` is what it is going to be.
    pub fn seal(&mut self, to: &Path) -> Result<Digest> {
        self.file.sync_all().map_err(io_error("write", to))?;
        self.file = File::open(&self.path).map_err(io_error("open", &self.path))?;
        verity::seal(&self.file).map_err(io_error("seal", to))
    }

    /// Brings the file to disk and renames it to `to`, in place of what is there.
    pub fn publish(self, to: &Path) -> Result<()> {
        publish(&self.file, &self.path, to)
    }
}

impl Drop for Draft {
    /// Nothing remains of a draft: after a rename its path names nothing.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Brings `file` to disk, renames it from `from` to `to`, and brings that to disk.
pub(crate) fn publish(file: &File, from: &Path, to: &Path) -> Result<()> {
    file.sync_all().map_err(io_error("write", to))?;
    if let Some(folder) = to.parent()
        && !folder.is_dir()
    {
        fs::create_dir_all(folder).map_err(io_error("make", folder))?;
        sync_folder_of(folder)?;
    }
    fs::rename(from, to).map_err(io_error("rename a new file to", to))?;
    sync_folder_of(to)
}

/// Brings the listing that names `path` to disk.
pub(super) fn sync_folder_of(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error("write", folder))
}
