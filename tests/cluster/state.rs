//! What a cluster leaves in `target/cluster`, or in the folder `SKERRY_CLUSTER`, while it runs.
//!
//! ```text
//! target/cluster/lock          locked as long as the cluster is there; its owner's process ID
//!                kubeconfig    for `kubectl` on this machine
//!                log           what the owner said after the cluster was up
//!                NAME.console  a node's console
//!                etcd, pki, *.log, *.disk
//! ```

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::PathBuf;
use tests::{Result, repository};

/// The folder of the cluster, which may be there or not.
pub struct State {
    pub folder: PathBuf,
}

impl State {
    pub fn new() -> Self {
        let other = std::env::var_os("SKERRY_CLUSTER").map(PathBuf::from);
        Self { folder: other.unwrap_or_else(|| repository().join("target/cluster")) }
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Makes this process the owner of an empty folder; `None` when another one is.
    pub fn take(&self) -> Result<Option<File>> {
        fs::create_dir_all(&self.folder)?;
        let mut lock = File::options().create(true).truncate(false).write(true).open(self.lock())?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(cause)) => return Err(cause.into()),
        }
        lock.set_len(0)?;
        write!(lock, "{}", std::process::id())?;
        Ok(Some(lock))
    }

    /// The process that owns the cluster, if there is one.
    pub fn owner(&self) -> Result<Option<i32>> {
        let Ok(lock) = File::open(self.lock()) else { return Ok(None) };
        match lock.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(fs::read_to_string(self.lock())?.parse().ok()),
            Err(TryLockError::Error(cause)) => Err(cause.into()),
        }
    }

    /// Waits until nobody owns the cluster.
    pub fn wait_until_free(&self) -> Result {
        match File::open(self.lock()) {
            Ok(lock) => Ok(lock.lock_shared()?),
            Err(_) => Ok(()),
        }
    }

    /// Removes everything but what was said.
    pub fn clear(&self) -> Result {
        match fs::remove_dir_all(&self.folder) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(cause.into()),
            _ => Ok(()),
        }
    }

    fn lock(&self) -> PathBuf {
        self.folder.join("lock")
    }
}
