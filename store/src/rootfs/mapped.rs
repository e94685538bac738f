//! ID-mapped copies of layers, each mounted over its layer for as long as an overlay is being made: the overlay
//! takes copies for itself, and its options name the layers as ever.

use super::mountinfo::Mount;
use crate::error::{Result, io_error};
use nix::mount::{MntFlags, umount2};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use sys::mount_tree;

/// A mapped copy of what is mounted somewhere, over it.
pub(super) struct Mapped(PathBuf);

impl Mapped {
    /// Mounts it. Owners are seen as `users`, a user namespace, has them.
    pub(super) fn over(point: &Path, users: BorrowedFd<'_>) -> Result<Self> {
        let named = || io_error("map the IDs of", point);
        let below = File::open(point).map_err(named())?;
        let copy = mount_tree::copy(below.as_fd(), c"", false).map_err(named())?;
        mount_tree::map_ids(copy.as_fd(), false, users).map_err(named())?;
        mount_tree::attach(copy.as_fd(), below.as_fd()).map_err(named())?;
        Ok(Self(point.to_owned()))
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // One that stays is cleared away before the next overlay is made.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    }
}

/// Takes away what a program that was killed has left.
pub(super) fn clear(mounted: &[Mount], mounts: &Path) -> Result<()> {
    let left = mounted.iter().filter(|mount| mount.is_mapped && mount.point.starts_with(mounts));
    for mount in left {
        umount2(&mount.point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
            .map_err(|errno| io_error("unmount", &mount.point)(errno.into()))?;
    }
    Ok(())
}
