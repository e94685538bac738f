//! Disks that tests give to a node.

use crate::Result;
use crate::image::said;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// A drive with the volume label `label` and one file, `node.toml`, of these bytes.
///
/// # Errors
///
/// When mke2fs(8) fails.
pub(crate) fn config_drive(folder: &Path, label: &str, toml: &[u8]) -> Result<PathBuf> {
    let content = fresh(folder, "content");
    fs::create_dir(&content)?;
    fs::write(content.join("node.toml"), toml)?;
    drive(folder, label, &content, "4M")
}

/// A drive with the volume label `label` and the files of `content`, in blocks that a CD-ROM can have too.
///
/// # Errors
///
/// When mke2fs(8) fails, for instance because `size` is too small.
pub(crate) fn drive(folder: &Path, label: &str, content: &Path, size: &str) -> Result<PathBuf> {
    let drive = fresh(folder, "drive");
    let mut make = Command::new("mke2fs");
    make.args(["-q", "-F", "-t", "ext4", "-b", "4096", "-O", "^has_journal", "-L", label, "-d"]);
    said(make.args([content, &drive]).arg(size))?;
    Ok(drive)
}

/// A path in `folder` that no other call in this process has.
pub(crate) fn fresh(folder: &Path, name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    folder.join(format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// A folder for a test's files, removed with this value.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// An empty folder.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn new() -> Result<Self> {
        static ONCE: Once = Once::new();
        let all = crate::image::target().join("scratch");
        ONCE.call_once(|| remove_abandoned(&all));
        let path = fresh(&all, &std::process::id().to_string());
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A drive with this volume label, and a `node.toml` or nothing on it.
    ///
    /// # Errors
    ///
    /// When mke2fs(8) fails.
    pub fn config_drive(&self, label: &str, toml: Option<&str>) -> Result<PathBuf> {
        if let Some(toml) = toml {
            return config_drive(&self.0, label, toml.as_bytes());
        }
        let nothing = fresh(&self.0, "content");
        fs::create_dir(&nothing)?;
        drive(&self.0, label, &nothing, "4M")
    }

    /// A blank disk of `mebibytes`, sparse.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn blank_disk(&self, mebibytes: u64) -> Result<PathBuf> {
        let path = fresh(&self.0, "disk");
        File::create(&path)?.set_len(mebibytes << 20)?;
        Ok(path)
    }
}

/// Removes what programs left that were killed, or that kept something to their end.
fn remove_abandoned(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.split('-').next().unwrap_or_default();
        if !Path::new("/proc").join(owner).exists() {
            let _in_use_or_gone = fs::remove_dir_all(entry.path());
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _left_behind = fs::remove_dir_all(&self.0);
    }
}
