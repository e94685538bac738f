//! Who writes, and what of the store they need.
//!
//! ```text
//! tmp/                 the gate: locked for a moment, or while a collection runs
//! tmp/N/               a session: locked (flock(2)) as long as its writer lives
//! tmp/N/needs          its lease: files of the store that no collection may take
//! tmp/N/…              what it has not published yet
//! ```
//!
//! Any number of sessions write at the same time. The kernel takes a lock
//! back when its holder dies, so a session that can be locked is a dead one, and goes
//! away with all that is in it when the next one begins. A session is made and locked, and
//! its lease written, with the gate shut: who collects sees all of them or
//! comes first, and then the session finds what is left.

use super::publish::Draft;
use crate::error::{Error, Result, io_error};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The right to change what sessions rely on, held as long as this lives.
pub(super) struct Gate {
    _folder: Flock<File>,
    root: PathBuf,
}

impl Gate {
    /// Waits until nobody else has it.
    pub fn shut(root: &Path) -> Result<Self> {
        let tmp = root.join("tmp");
        let folder = File::open(&tmp).map_err(io_error("open", &tmp))?;
        let folder = Flock::lock(folder, FlockArg::LockExclusive)
            .map_err(|(_, errno)| io_error("lock", &tmp)(errno.into()))?;
        Ok(Self { _folder: folder, root: root.to_owned() })
    }

    /// Removes what dead sessions left, and gives the files that the living need.
    pub fn leases(&self) -> Result<BTreeSet<PathBuf>> {
        let tmp = self.root.join("tmp");
        let mut needed = BTreeSet::new();
        for entry in fs::read_dir(&tmp).map_err(io_error("list", &tmp))? {
            let path = entry.map_err(io_error("list", &tmp))?.path();
            if !path.is_dir() {
                remove(fs::remove_file(&path), &path)?;
            } else if let Some(_lock) = lock_if_free(&path)? {
                remove(fs::remove_dir_all(&path), &path)?;
            } else {
                let lines = fs::read_to_string(path.join("needs")).unwrap_or_default();
                needed.extend(lines.lines().map(|line| self.root.join(line)));
            }
        }
        Ok(needed)
    }
}

/// What is gone already is as good as removed.
pub(super) fn remove(removed: std::io::Result<()>, path: &Path) -> Result<()> {
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Locks a file or folder unless its holder lives. One that is gone is as good as held.
pub(super) fn lock_if_free(path: &Path) -> Result<Option<Flock<File>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(io_error("open", path))?,
    };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(io_error("lock", path)(errno.into())),
    }
}

/// A writer's own folder and lease, gone with it.
pub(super) struct Session {
    _lock: Flock<File>,
    root: PathBuf,
    folder: PathBuf,
    drafts: AtomicU64,
}

impl Session {
    /// Begins to write, once the gate is open.
    pub fn begin(root: &Path) -> Result<Self> {
        let gate = Gate::shut(root)?;
        gate.leases()?;
        let folder = make_folder(&root.join("tmp"))?;
        let lock = lock_if_free(&folder)?
            .ok_or_else(|| Error::wrong(folder.display(), "is locked by another program"))?;
        Ok(Self { _lock: lock, root: root.to_owned(), folder, drafts: AtomicU64::new(0) })
    }

    /// Takes out a lease on these files, whether they are there or not. What is
    /// there from now on stays.
    pub fn need(&self, paths: &BTreeSet<PathBuf>) -> Result<()> {
        let lines: String = paths
            .iter()
            .filter_map(|path| path.strip_prefix(&self.root).ok())
            .map(|path| format!("{}\n", path.display()))
            .collect();
        let path = self.folder.join("needs");
        let _gate = Gate::shut(&self.root)?;
        fs::write(&path, lines).map_err(io_error("write", &path))
    }

    /// Begins a file that is not there until [`Draft::publish`].
    pub fn draft(&self) -> Result<Draft> {
        let number = self.drafts.fetch_add(1, Ordering::Relaxed);
        Draft::new(self.folder.join(format!("draft{number}")))
    }

    /// Makes a file that vanishes when it is closed.
    pub fn scratch(&self) -> Result<File> {
        let draft = self.draft()?;
        draft.file.try_clone().map_err(io_error("open", &self.folder))
    }

    /// Publishes a small file in one go.
    pub fn write(&self, bytes: &[u8], to: &Path) -> Result<()> {
        let mut draft = self.draft()?;
        draft.file.write_all(bytes).map_err(io_error("write", to))?;
        draft.publish(to)
    }
}

impl Drop for Session {
    /// Still locked, so that nobody takes it for a dead one meanwhile.
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Makes the folder with the lowest free number.
fn make_folder(tmp: &Path) -> Result<PathBuf> {
    let mut number = 0;
    loop {
        let folder = tmp.join(number.to_string());
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            made => return made.map(|()| folder.clone()).map_err(io_error("make", &folder)),
        }
    }
}
